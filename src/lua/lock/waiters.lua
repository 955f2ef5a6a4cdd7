-- lock/waiters: who waits for the lock, and since when.
--
-- KEYS[1]  waiters  zset  tokens in the order in which they came, by the microsecond
-- ARGV[1]  most     integer of them that are wanted, the first of the queue; > 0
--
-- returns {now, token, joined, token, joined, ...}  microseconds of the server's clock, as text
-- retry: safe
local time = redis.call('TIME')
local out = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')
table.insert(out, 1, string.format('%.0f', time[1] * 1000000 + time[2]))
return out
