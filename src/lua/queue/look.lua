-- queue/look: what there is in the queue.
--
-- KEYS[1..]  the queue's keys, as queue/jobs names them
--
-- returns {ready, delayed, taken, dead, oldest, waiting, paused}
--            oldest: milliseconds since the oldest job in the streams was pushed, -1 where there is none; waiting: of
--            those who wait for jobs; paused: 1 or 0
-- retry: safe
-- uses: jobs
local size = redis.pcall('XLEN', normal)
if type(size) == 'table' then return size end -- WRONGTYPE
local now, oldest = math.floor(clock() / 1000), nil
for level = 1, 3 do
  local first = redis.call('XRANGE', KEYS[level], '-', '+', 'COUNT', 1)[1]
  local pushed = first and tonumber(fields_of(first[1], first[2])[3])
  if pushed and pushed < (oldest or now + 1) then oldest = pushed end
end
local waiting, held = redis.call('ZCARD', delayed), redis.call('ZCARD', taken)
return {
  math.max(depth() - waiting - held, 0), waiting, held, redis.call('XLEN', dead), oldest and math.max(now - oldest, 0) or -1,
  redis.call('ZCARD', waiters), redis.call('HEXISTS', state, 'paused'),
}
