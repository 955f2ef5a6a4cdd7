-- permits/release: give a permit back and hand out what is free then, or leave the queue.
--
-- KEYS[1]  holders  zset    see permits/acquire
-- KEYS[2]  waiters  zset    see permits/acquire
-- KEYS[3]  state    hash    see permits/acquire
-- ARGV[1]  token    string  as given to acquire
-- ARGV[2]  grant    integer milliseconds that a waiter has to take up a grant, > 0
-- ARGV[3]  fence    integer of the hold that ends; 0 from a waiter, who has none yet
--
-- returns 1  released by this call, or by an earlier one for the same fence
-- returns 0  this token holds nothing, and nobody else does, or fewer than the limit says
-- returns 2  this token holds nothing, and others hold what it held
-- retry: safe
-- uses: hand_out
local holders, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local token, grant, fence = ARGV[1], ARGV[2], tonumber(ARGV[3])

local ends = redis.pcall('ZSCORE', holders, token)
if type(ends) == 'table' then return ends end -- WRONGTYPE: raised, it would lose its code before Redis 7
local now = clock()
local known = redis.call('HMGET', state, token, 'fence', 'limit')
local led = first_of(waiters) == token

-- First of all the commands that free memory: after them a server that has none left allows the others.
local held = ends and tonumber(ends) > now
if held then
  forget(holders, state, token)
elseif known[1] and not ends then
  -- Somebody deleted the key: remembered like one whose lease has ended.
  redis.pcall('ZADD', holders, now, token)
end
redis.call('ZREM', waiters, token)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', string.format('%.0f', now - day), 'LIMIT', 0, 10)) do
  forget(holders, state, old)
end
hand_out(holders, waiters, state, grant, now, led)
-- Nothing is known any more of a token that was released.
local asked_again = not known[1] and fence > 0 and fence <= tonumber(known[2] or 0)
if held or asked_again then return 1 end
return fits(holders, state, known[3] and token or '', now) and 0 or 2
