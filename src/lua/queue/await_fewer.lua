-- queue/await_fewer: whether there are so few jobs; else wait until there are.
--
-- KEYS[1..]       the queue's keys, as queue/jobs names them
-- ARGV[1]  token  string  who waits, as queue/jobs says
-- ARGV[2]  most   integer of jobs that are not done
--
-- returns 1 or 0; the token waits for it
-- retry: safe
-- uses: jobs
local token, most = ARGV[1], tonumber(ARGV[2])
local size = redis.pcall('XLEN', normal)
if type(size) == 'table' then return size end -- WRONGTYPE
if depth() <= most then return 1 end
redis.call('ZADD', blocked, most, token)
return 0
