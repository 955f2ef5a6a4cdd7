-- queue/push_once: put a job into the queue, unless its id was there within a window of time.
--
-- KEYS[1..]          the queue's keys, as queue/jobs names them; the last is the id's mark, which expires
-- ARGV[1]  most      integer of jobs that may be in the queue; 0: any number
-- ARGV[2]  token     string  who waits for room, as queue/jobs says; empty: nobody
-- ARGV[3]  priority  integer 1 high, 2 normal, 3 low
-- ARGV[4]  delay     integer milliseconds after which it is there
-- ARGV[5]  job       string
-- ARGV[6]  id        string
-- ARGV[7]  window    integer milliseconds, longer than a push may be repeated
-- ARGV[8]  push      string  unique to this push
--
-- returns 1  it is, or was, put into the queue by this push
-- returns 0  there is no room; the token waits for it
-- returns 2  another push has put that id there
-- retry: safe
-- uses: jobs
local most, token, level, wait = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local job, id, window, push = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local size = redis.pcall('XLEN', normal)
if type(size) == 'table' then return size end -- WRONGTYPE
local known = redis.call('GET', mark)
if known then return known == push and 1 or 2 end
if most > 0 and depth() + 1 > most then
  if token ~= '' then redis.call('ZADD', blocked, 'NX', text(clock()), token) end
  return 0
end
if wait > 0 then
  delay(level, job, id, clock(), wait)
else
  local added = add(level, job, id)
  if added.err then return added end
end
redis.call('SET', mark, push, 'PX', window)
hand_out()
return 1
