-- queue/pop: take jobs, or wait for one.
--
-- KEYS[1..]       the queue's keys, as queue/jobs names them
-- ARGV[1]  token  string  who asks, as queue/jobs says
-- ARGV[2]  count  integer of jobs, > 0: up to so many
-- ARGV[3]  join   integer 1 to wait where there is none, 0 only to look
-- ARGV[4]  waits  integer 1 when it has waited since it asked before
--
-- returns {due}     there is none: milliseconds until one may be due by itself, -1 for never; the token waits
-- returns {0, job, ...}
--                   each as {priority, id in the stream, delivery, when pushed in milliseconds, id, job}
-- returns {-2}      it does not wait any more: one may have been given to it, and told
--
-- Not to be repeated: the second run would take others.
-- uses: jobs
local token, count, join = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local size = redis.pcall('XLEN', normal)
if type(size) == 'table' then return size end -- WRONGTYPE
local rank = ARGV[4] == '1' and redis.call('ZRANK', waiters, token)
if ARGV[4] == '1' and not rank then return {-2} end
local now = clock()
local out = take(worker_of(token), count, now)
if #out > 0 then
  if rank then redis.call('ZREM', waiters, token) end
  hand_out()
  if rank == 0 then wake_first() end -- it looked out for what falls due
  return {0, unpack(out)}
end
if join then
  redis.call('ZREM', blocked, token) -- where it is not: a first write, see queue/jobs
  redis.call('ZADD', waiters, 'NX', text(now), token)
end
if redis.call('HEXISTS', state, 'paused') == 1 then return {-1} end
local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
local ends = redis.call('ZRANGE', taken, 0, 0, 'WITHSCORES')[2]
local soonest = math.min(tonumber(first or math.huge), tonumber(ends or math.huge))
return {soonest < math.huge and math.max(math.ceil((soonest - now) / 1000), 0) or -1}
