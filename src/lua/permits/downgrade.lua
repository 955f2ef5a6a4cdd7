-- permits/downgrade: hold with others from now on what was held alone; at no moment does anybody else hold it alone.
--
-- KEYS[1]  holders  zset    see permits/acquire
-- KEYS[2]  waiters  zset    see permits/acquire
-- KEYS[3]  state    hash    see permits/acquire
-- ARGV[1]  token    string  that holds alone
-- ARGV[2]  shared   string  the token that holds from now on, unique to this call
-- ARGV[3]  lease    integer milliseconds from now, > 0
-- ARGV[4]  grant    integer milliseconds that a waiter has to take up a grant, > 0
--
-- returns {1, fence}  held by the second token for a whole lease from now
-- returns {0}         no longer held
-- retry: safe
-- uses: hand_out
local holders, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local token, shared, lease, grant = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local size = redis.pcall('ZCARD', holders)
if type(size) == 'table' then return size end -- WRONGTYPE: raised, it would lose its code before Redis 7
local now = clock()
if holds(holders, shared, now) then
  redis.call('ZADD', holders, now + lease * 1000, shared)
  return {1, tonumber(redis.call('HGET', state, shared))}
end
if not holds(holders, token, now) then return {0} end
forget(holders, state, token)
local fence = take(holders, state, shared, lease, now)
hand_out(holders, waiters, state, grant, now)
return {1, fence}
