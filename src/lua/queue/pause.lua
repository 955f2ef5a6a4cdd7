-- queue/pause: give out no job any more, or again.
--
-- KEYS[1..]        the queue's keys, as queue/jobs names them
-- ARGV[1]  paused  integer 1 or 0
--
-- returns 1  that is changed
-- returns 0  it was so before
-- uses: jobs
if ARGV[1] == '1' then return redis.call('HSET', state, 'paused', text(clock())) end
local was = redis.call('HDEL', state, 'paused')
hand_out()
wake_first()
return was
