-- topic/read: messages that a topic keeps, from somewhere on.
--
-- KEYS[1]  history  stream   see topic/publish
-- ARGV[1]  from     string   the lowest id
-- ARGV[2]  birth    string   of the history which that id is of; empty for any
-- ARGV[3]  most     integer  so many messages at most, > 0
-- ARGV[4]  bytes    integer  no more are added to so many bytes of them
--
-- returns {}                   there are none, of any id
-- returns {id, field, anew, more, id, field, message, ...}
--   id, field   of the last one that there is
--   anew        1 where nothing is of that birth any more, and those that follow begin with the first one, else 0
--   more        1 where there may be more than those that follow, else 0
-- retry: safe
local history, from, birth, most, bytes = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local last = redis.pcall('XREVRANGE', history, '+', '-', 'COUNT', 1)
if last.err then return last end -- WRONGTYPE
if #last == 0 then return {} end
local function is_of_another(entry)
  local its = string.match(entry[2][1], '^(%d+) %d+$')
  return birth ~= '' and its and its ~= birth
end
local anew = is_of_another(last[1]) and is_of_another(redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1])
if anew then from = '0-1' end

local out, count, size, more = {last[1][1], last[1][2][1], anew and 1 or 0, 1}, 0, 0, true
while more and count < most and size < bytes do
  local some = redis.call('XRANGE', history, from, '+', 'COUNT', 10) -- large ones come one by one, nearly
  for _, entry in ipairs(some) do
    out[#out + 1], out[#out + 2], out[#out + 3] = entry[1], entry[2][1], entry[2][2]
    count, size = count + 1, size + #entry[2][2]
  end
  more = #some == 10
  if more then
    local time, number = string.match(some[10][1], '^(%d+)-(%d+)$')
    from = time .. '-' .. string.format('%.0f', number + 1)
  end
end
out[4] = more and 1 or 0
return out
