-- shared_map/change: store or erase one entry if it still is what was read.
--
-- KEYS[1]  map       hash
-- ARGV[1]  field     string
-- ARGV[2]  had       integer 1 when the entry was there, 0 when it was not
-- ARGV[3]  expected  string  what it was, to the byte; not looked at when it was not there
-- ARGV[4]  keep      integer 1 to store, 0 to erase
-- ARGV[5]  desired   string  what to store; not looked at when erasing
--
-- returns {1}         done
-- returns {0}         nothing was done: the entry is not there now
-- returns {0, value}  nothing was done: the entry is value now
local map, field = KEYS[1], ARGV[1]
local had, expected, keep, desired = ARGV[2] == '1', ARGV[3], ARGV[4] == '1', ARGV[5]

local now = redis.pcall('HGET', map, field)
if type(now) == 'table' then return now end -- an error, in the server's own words
if had and now ~= expected then return now and {0, now} or {0} end
if not had and now then return {0, now} end

local done
if keep then
  done = redis.pcall('HSET', map, field, desired)
else
  done = redis.pcall('HDEL', map, field)
end
if type(done) == 'table' then return done end
return {1}
