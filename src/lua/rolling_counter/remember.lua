-- rolling_counter/remember: write periods that have ended to the history, where it has them not.
--
-- KEYS[1]   history  zset    "start count" of each period, by the digits of its start; as many as are kept
-- KEYS[2..]          strings of each period that has ended its count, absent is 0, and its start, absent where there was
--                            none
-- ARGV[1]   keep     integer how many periods, > 0
--
-- returns 1     done
-- returns text  an error, after which some are not written: never an error reply, for it runs within EXEC
-- retry: safe
local history, keep = KEYS[1], tonumber(ARGV[1])
for i = 2, #KEYS, 2 do
  local j = i + 1
  local count, start = redis.pcall('GET', KEYS[i]) or '0', redis.pcall('GET', KEYS[j])
  if type(count) == 'string' and type(start) == 'string' and string.match(count, '^%-?%d+$')
    and string.match(start, '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d$') then
    local digits, entry = string.gsub(start, '%D', ''), start .. ' ' .. count
    local known = redis.pcall('ZRANGEBYSCORE', history, digits, digits)
    if known.err then return known.err end
    if known[1] ~= entry then
      if known[1] then redis.pcall('ZREM', history, known[1]) end
      local added = redis.pcall('ZADD', history, digits, entry)
      if type(added) == 'table' then return added.err end
    end
  end
end
local size = redis.pcall('ZCARD', history)
if type(size) == 'table' then return size.err end
if size > keep then
  for _, entry in ipairs(redis.pcall('ZRANGE', history, 0, size - keep - 1)) do redis.pcall('ZREM', history, entry) end
end
return 1
