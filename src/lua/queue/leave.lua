-- queue/leave: wait no longer, for a job or for room.
--
-- KEYS[1..]       the queue's keys, as queue/jobs names them
-- ARGV[1]  token  string  who waited
--
-- returns 0  it did wait for a job, and was given none
-- returns 1  it did not: one may have been given to it; it is told `none` behind that
-- retry: safe
-- uses: jobs
local token = ARGV[1]
if redis.call('ZREM', blocked, token) == 0 then make_room(1) end -- if it was told of room, that is another's
local rank = redis.call('ZRANK', waiters, token)
if not rank then
  tell(token, 'none')
  hand_out() -- if it was to take one, that is another's
  return 1
end
redis.call('ZREM', waiters, token)
if rank == 0 then wake_first() end
return 0
