-- permits/holders: who holds, as one picture.
--
-- KEYS[1]  holders  zset    see permits/acquire
-- KEYS[2]  waiters  zset    see permits/acquire
-- KEYS[3]  state    hash    see permits/acquire
-- ARGV[1]  most     integer of them that are wanted, > 0
--
-- returns {limit, waiters, token, left, fence, token, left, fence, ...}
--                   limit: 0 for none; left: milliseconds of the lease; the fence is the moment in which it was taken,
--                   in microseconds of the server's clock, unless the clock was set back since
-- retry: safe
local all = redis.pcall('ZCARD', KEYS[1])
if type(all) == 'table' then return all end -- WRONGTYPE: raised, it would lose its code before Redis 7
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local out = {tonumber(redis.call('HGET', KEYS[3], 'limit') or 0), redis.call('ZCARD', KEYS[2])}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #found, 2 do
  out[#out + 1] = found[i]
  out[#out + 1] = math.ceil((found[i + 1] - now) / 1000)
  out[#out + 1] = tonumber(redis.call('HGET', KEYS[3], found[i]) or 0)
end
return out
