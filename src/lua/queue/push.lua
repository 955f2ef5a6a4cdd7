-- queue/push: put jobs into the queue, all or none, and give them to those who wait.
--
-- KEYS[1..]          the queue's keys, as queue/jobs names them
-- ARGV[1]  most      integer of jobs that may be in the queue; 0: any number
-- ARGV[2]  token     string  who waits for room, as queue/jobs says; empty: nobody
-- ARGV[3]  priority  integer 1 high, 2 normal, 3 low
-- ARGV[4]  delay     integer milliseconds after which they are there
-- ARGV[5..]          string  the jobs
--
-- returns 1  they are in the queue
-- returns 0  there is no room; the token waits for it
-- uses: jobs
local most, token, level, wait = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local size = redis.pcall('XLEN', normal)
if type(size) == 'table' then return size end -- WRONGTYPE
local count = #ARGV - 4
if most > 0 and depth() + count > most then
  if token ~= '' then redis.call('ZADD', blocked, 'NX', text(clock()), token) end
  return 0
end
for i = 5, #ARGV do
  if wait > 0 then
    delay(level, ARGV[i], '', clock(), wait)
  else
    local added = add(level, ARGV[i], '')
    if added.err then return added end -- the first: once a script has written, it may go on
  end
end
hand_out()
return 1
