-- permits/renew: lengthen the lease of a permit that is still held.
--
-- KEYS[1]  holders  zset    see permits/acquire
-- ARGV[1]  token    string  as given to acquire
-- ARGV[2]  lease    integer milliseconds from now, > 0
--
-- returns 1  still held, for a whole lease from now
-- returns 0  no longer held by this token
-- retry: safe
local ends = redis.pcall('ZSCORE', KEYS[1], ARGV[1])
if type(ends) == 'table' then return ends end -- WRONGTYPE: raised, it would lose its code before Redis 7
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if not ends or tonumber(ends) <= now then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2] * 1000, ARGV[1])
return 1
