-- queue/drain: whether every job is done; else wait until it is.
--
-- KEYS[1..]       the queue's keys, as queue/jobs names them
-- ARGV[1]  token  string  who waits, as queue/jobs says, for no job
--
-- returns 1 or 0; the token waits for it
-- retry: safe
-- uses: jobs
local token = ARGV[1]
local size = redis.pcall('XLEN', normal)
if type(size) == 'table' then return size end -- WRONGTYPE
if depth() == 0 then return 1 end
redis.call('ZADD', blocked, 'NX', text(clock()), token)
return 0
