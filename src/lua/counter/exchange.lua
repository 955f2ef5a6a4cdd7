-- counter/exchange: set the number, and answer what it was.
--
-- KEYS[1]  number    string  decimal text; absent is 0
-- ARGV[1]  desired   string  decimal text
--
-- returns old        string  decimal text: a Lua number would lose digits beyond 2^53
-- returns an error, and changes nothing, when the key holds no number
--
-- Not to be repeated: the second run would answer `desired`.
local refused = redis.pcall('INCRBY', KEYS[1], 0) -- the server's own check; also makes an absent number 0
if type(refused) == 'table' then
  return refused
end
local old = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
return old
