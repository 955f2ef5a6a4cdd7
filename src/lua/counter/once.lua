-- counter/once: change the number if it lies in a range, once, however often it is asked.
--
-- KEYS[1]  number    string  decimal text; absent is 0
-- KEYS[2]  record    string  "sequence what text": the asker's last change, and what came of it; expires
-- ARGV[1]  sequence  integer of this change, greater than those of the asker's before
-- ARGV[2]  lifetime  integer milliseconds for which the record is kept, > 0
-- ARGV[3]  verb      string  INCRBY, DECRBY or SET
-- ARGV[4]  operand   string  decimal text
-- ARGV[5]  from      string  decimal text: the lowest number that is changed
-- ARGV[6]  to        string  decimal text: the highest
--
-- returns {1, old}   changed; what it was, decimal text
-- returns {0, ''}    not changed: it is out of the range
-- returns {2, text}  not changed: the server's error
-- returns an error, and changes nothing, when not even that can be recorded
-- retry: safe
-- uses: number
local number, record = KEYS[1], KEYS[2]
local sequence, lifetime = ARGV[1], ARGV[2]
local verb, operand, from, to = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local known = redis.pcall('GET', record)
if type(known) == 'table' then return known end
if known then
  local last, what, text = string.match(known, '^(%d+) (%d) (.*)$')
  if last == sequence then return {tonumber(what), text} end
  -- It was delayed on its way, and its asker has gone on since.
  if tonumber(last) > tonumber(sequence) then return redis.error_reply('ERR too late') end
end

local function judge()
  local old = redis.pcall('GET', number) or '0'
  if type(old) == 'table' then return 2, old.err end
  if verb == 'SET' and from == to and old ~= from then return 0, '' end -- a text that is no number, too
  if not is_number(old) then return 2, 'ERR value is not an integer or out of range' end
  if not (at_most(from, old) and at_most(old, to)) then return 0, '' end
  return 1, old
end

local function change()
  if verb == 'INCRBY' then return redis.pcall('INCRBY', number, operand) end
  if verb == 'DECRBY' then return redis.pcall('DECRBY', number, operand) end
  return redis.pcall('SET', number, operand)
end

local function write(what, text)
  return redis.pcall('SET', record, sequence .. ' ' .. what .. ' ' .. text, 'PX', lifetime)
end

-- The record goes first: where it cannot be written, nothing is changed.
local what, text = judge()
local written = write(what, text)
if written.err then return written end
if what == 1 then
  local done = change()
  if type(done) == 'table' and done.err then
    what, text = 2, done.err
    write(what, text)
  end
end
return {what, text}
