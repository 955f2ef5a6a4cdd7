-- multi_lock/renew: lengthen the lease of several locks that are all still held.
--
-- KEYS[1..]  the locks  strings  the holder's token
-- ARGV[1]  token  string  as given to acquire
-- ARGV[2]  lease  integer milliseconds from now, > 0
--
-- returns 1  all still held, for a whole lease from now
-- returns 0  one is no longer held by this token; none was renewed
-- retry: safe
for i = 1, #KEYS do
  local owner = redis.pcall('GET', KEYS[i])
  if type(owner) == 'table' then return owner end -- WRONGTYPE: raised, it would lose its code before Redis 7
  if owner ~= ARGV[1] then return 0 end
end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
return 1
