-- lock/owner: who holds the lock, as one picture.
--
-- KEYS[1]  lock     string  the holder's token
-- KEYS[2]  waiters  zset    tokens in the order in which they came
-- KEYS[3]  state    hash    see lock/acquire
--
-- returns {}                            nobody
-- returns {token, left, since, waiters}  left: milliseconds of the lease, -1 when it never expires;
--                                       since: server's time in milliseconds, 0 for a stranger's lock
-- retry: safe
local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end -- WRONGTYPE: raised, it would lose its code before Redis 7
if not owner then return {} end
local ours = string.match(owner, '^%x+/%d+k?/%d+/')
local since = ours and tonumber(redis.call('HGET', KEYS[3], 'since') or 0) or 0
return {owner, redis.call('PTTL', KEYS[1]), since, redis.call('ZCARD', KEYS[2])}
