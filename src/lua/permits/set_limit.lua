-- permits/set_limit: change how many may hold at once, and hand out what there is more.
--
-- KEYS[1]  holders  zset    see permits/acquire
-- KEYS[2]  waiters  zset    see permits/acquire
-- KEYS[3]  state    hash    see permits/acquire
-- ARGV[1]  limit    integer > 0; who holds beyond a lower one goes on
-- ARGV[2]  grant    integer milliseconds that a waiter has to take up a grant, > 0
--
-- returns 1
-- retry: safe
-- uses: hand_out
local holders, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local size = redis.pcall('ZCARD', holders)
if type(size) == 'table' then return size end -- WRONGTYPE: raised, it would lose its code before Redis 7
redis.call('HSET', state, 'limit', ARGV[1])
hand_out(holders, waiters, state, ARGV[2], clock())
return 1
