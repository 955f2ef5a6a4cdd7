-- topic/read: messages that a topic keeps, from somewhere on.
--
-- KEYS[1]  history  stream   see topic/publish
-- ARGV[1]  after    string   the id of the last one that was told, or one before the first
-- ARGV[2]  birth    string   of the history which that id is of; empty for any
-- ARGV[3]  most     integer  so many messages at most, > 0
-- ARGV[4]  bytes    integer  no more are added to so many bytes of them
--
-- returns {}                   there are none, of any id
-- returns {kept, id, field, more, id, field, message, ...}
--   kept        1 where those that follow come after the id; also where it and all before it were trimmed
--               2 where the one of that id is gone, but not all before it: id, field  of the last of these
--               0 where nothing is of that birth any more, and those that follow begin with the first one
--   more        1 where there may be more than those that follow, else 0
-- retry: safe
local history, after, birth, most, bytes = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local last = redis.pcall('XREVRANGE', history, '+', '-', 'COUNT', 1)
if last.err then return last end -- WRONGTYPE
if #last == 0 then return {} end
local function is_of_another(entry)
  local its = string.match(entry[2][1], '^(%d+) %d+$')
  return birth ~= '' and its and its ~= birth
end
local kept, id, field = 1, '', ''
local here = redis.call('XREVRANGE', history, after, '-', 'COUNT', 1)[1]
if not here or here[1] ~= after or is_of_another(here) then
  if is_of_another(last[1]) and is_of_another(redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]) then
    kept, after = 0, '0-0'
  elseif here then
    kept, id, field = 2, here[1], here[2][1]
  end
end

-- Some at a time, few where they may be large. Each time again with the last one of before.
local out, count, size, some, largest, more = {kept, id, field, 1}, 0, 0, 1, 1, true
while more and count < most and size < bytes do
  local entries = redis.call('XRANGE', history, after, '+', 'COUNT', some + 1)
  more = #entries > some
  for i, entry in ipairs(entries) do
    if i > 1 or entry[1] ~= after then
      local message = entry[2][2]
      out[#out + 1], out[#out + 2], out[#out + 3] = entry[1], entry[2][1], message
      count, size, largest = count + 1, size + #message, math.max(largest, #message)
    end
  end
  if more then after = entries[#entries][1] end
  some = math.max(1, math.min(10, some * 2, most - count, math.floor((bytes - size) / largest)))
end
out[4] = more and 1 or 0
return out
