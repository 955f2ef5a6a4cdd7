-- lock/renew: lengthen the lease of a lock that is still held.
--
-- KEYS[1]  lock   string  the holder's token
-- ARGV[1]  token  string  as given to acquire
-- ARGV[2]  lease  integer milliseconds from now, > 0
--
-- returns 1  still held, for a whole lease from now
-- returns 0  no longer held by this token
-- retry: safe
local owner = redis.pcall('GET', KEYS[1])
if type(owner) == 'table' then return owner end -- WRONGTYPE: raised, it would lose its code before Redis 7
if owner ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
