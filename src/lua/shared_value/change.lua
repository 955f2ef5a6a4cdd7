-- shared_value/change: store or erase a value if it still is what was read.
--
-- KEYS[1]  value     string
-- ARGV[1]  had       integer 1 when there was one, 0 when there was none
-- ARGV[2]  expected  string  what it was, to the byte; not looked at when there was none
-- ARGV[3]  keep      integer 1 to store, 0 to erase
-- ARGV[4]  desired   string  what to store; not looked at when erasing
--
-- returns {1}         done
-- returns {0}         nothing was done: there is none now
-- returns {0, value}  nothing was done: it is value now
local key = KEYS[1]
local had, expected, keep, desired = ARGV[1] == '1', ARGV[2], ARGV[3] == '1', ARGV[4]

local now = redis.pcall('GET', key)
if type(now) == 'table' then return now end -- an error, in the server's own words
if had and now ~= expected then return now and {0, now} or {0} end
if not had and now then return {0, now} end

local done
if keep then
  done = redis.pcall('SET', key, desired, 'KEEPTTL')
else
  done = redis.pcall('DEL', key)
end
if type(done) == 'table' and done.err then return done end
return {1}
