-- topic/begin: where somebody begins who wants the latest messages.
--
-- KEYS[1]  history  stream   see topic/publish
-- ARGV[1]  replay   integer  so many of them, or all that there are
--
-- returns {}              there are none
-- returns {id, field, 0}  he begins with this one, the first that there is
-- returns {id, field, 1}  he begins after it
-- retry: safe
local history, replay = KEYS[1], tonumber(ARGV[1])

local size = redis.pcall('XLEN', history)
if type(size) == 'table' then return size end -- WRONGTYPE
if size == 0 then return {} end
if replay >= size then
  local first = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
  return {first[1], first[2][1], 0}
end
-- Some at a time, for they come here with their messages: few where these may be large. Each time again with the last one
-- of before.
local at, again, left, some, largest = '+', 0, replay + 1, 1, 1
local id, field
while left > 0 do
  local entries = redis.call('XREVRANGE', history, at, '-', 'COUNT', math.min(left, some) + again)
  for i = 1 + again, #entries do
    left, largest = left - 1, math.max(largest, #entries[i][2][2])
  end
  id, field = entries[#entries][1], entries[#entries][2][1]
  at, again, some = id, 1, math.max(1, math.min(100, some * 2, math.floor(1048576 / largest)))
end
return {id, field, 1}
