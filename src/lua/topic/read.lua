-- topic/read: messages that a topic keeps, from somewhere on.
--
-- KEYS[1]  history  stream   see topic/publish
-- ARGV[1]  from     string   the lowest id
-- ARGV[2]  birth    string   of the history which that id is of; empty for any
-- ARGV[3]  count    integer  so many at most, > 0
--
-- returns {}                                    there are none, of any id
-- returns {id, field, anew, id, field, message, ...}  the last one that there is; 1 where nothing is of that birth any
--                                               more, and those that follow begin with the first one, else 0
-- retry: safe
local history, from, birth = KEYS[1], ARGV[1], ARGV[2]

local last = redis.pcall('XREVRANGE', history, '+', '-', 'COUNT', 1)
if last.err then return last end -- WRONGTYPE
if #last == 0 then return {} end
local function is_of_another(entry)
  local its = string.match(entry[2][1], '^(%d+) %d+$')
  return birth ~= '' and its and its ~= birth
end
local anew = is_of_another(last[1]) and is_of_another(redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1])
local out = {last[1][1], last[1][2][1], anew and 1 or 0}
for _, entry in ipairs(redis.call('XRANGE', history, anew and '-' or from, '+', 'COUNT', ARGV[3])) do
  out[#out + 1], out[#out + 2], out[#out + 3] = entry[1], entry[2][1], entry[2][2]
end
return out
