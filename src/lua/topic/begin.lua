-- topic/begin: where somebody begins who wants the latest messages.
--
-- KEYS[1]  history  stream   see topic/publish
-- ARGV[1]  replay   integer  so many of them, or all that there are
--
-- returns {}              there are none
-- returns {id, field, 0}  he begins with this one
-- returns {id, field, 1}  he begins after it
-- retry: safe
local history, replay = KEYS[1], tonumber(ARGV[1])

local size = redis.pcall('XLEN', history)
if type(size) == 'table' then return size end -- WRONGTYPE
if size == 0 then return {} end
local id, field
if replay == 0 then
  local last = redis.call('XREVRANGE', history, '+', '-', 'COUNT', 1)[1]
  return {last[1], last[2][1], 1}
end
if replay >= size then
  local first = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
  return {first[1], first[2][1], 0}
end
-- Some at a time: they come here with their messages. Each time again with the last one of before.
local at, again = '+', 0
while replay > 0 do
  local some = redis.call('XREVRANGE', history, at, '-', 'COUNT', math.min(replay, 100) + again)
  replay = replay - (#some - again)
  id, field = some[#some][1], some[#some][2][1]
  at, again = id, 1
end
return {id, field, 0}
