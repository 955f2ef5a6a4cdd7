-- lock/acquire: take a free lock, or join the queue; asked again, renew the holder's lease or keep the waiter's place.
--
-- KEYS[1]  lock     string  the holder's token, expires with its lease
-- KEYS[2]  waiters  zset    tokens in the order in which they came, by the microsecond
-- KEYS[3]  state    hash    fence, since, released, lost, run, yielding, moment, committer,
--                          commit; never expires: fences must grow
-- ARGV[1]  token    string  unique to this acquisition
-- ARGV[2]  lease    integer milliseconds, > 0
-- ARGV[3]  join     integer 1 to wait in the queue, 0 only to try
-- ARGV[4]  grant    integer milliseconds that a waiter has to take up a grant, > 0
--
-- returns {1, fence}               held by this token for a whole lease from now
-- returns {0, left, leads, owner, adopted, fence}
--                                  not held: milliseconds until it is worth asking again, whether this token is first
--                                  in the queue (1 or 0), who holds it ('' when it is left free for strangers), whether
--                                  that is a stranger who had no lease and was given ours (1 or 0), and the last fence
--                                  there was: a grant with a greater one was given after this answer
-- retry: safe
-- uses: hand_over
local lock, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local token, lease, join, grant = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]

local function take(others_wait)
  redis.call('SET', lock, token, 'PX', lease)
  if others_wait then
    redis.call('ZREM', waiters, token)
    name_leader(waiters, lease, token)
  end
  return {1, take_fence(state)}
end

local function wait(left, owner, adopted)
  local leads = wait_in_line(waiters, token, join, left, owner)
  return {0, left, leads and 1 or 0, owner, adopted and 1 or 0, redis.call('HGET', state, 'fence') or '0'}
end

local owner = redis.pcall('GET', lock)
if type(owner) == 'table' then return owner end -- WRONGTYPE: raised, it would lose its code before Redis 7
if not owner then
  local first = redis.call('ZRANGE', waiters, 0, 0)[1]
  local free = first and left_free(state) or 0
  if free > 0 then return wait(free, '') end
  -- Nobody barges: who came first gets it, who asks joins the end.
  if first and first ~= token then owner = hand_over(lock, waiters, state, grant) end
  if not owner then return take(first) end
end

if owner == token then
  redis.call('PEXPIRE', lock, lease)
  return {1, redis.call('HGET', state, 'fence') or take_fence(state)}
end

local left = redis.call('PTTL', lock)
local adopted = left == -1 and join
if adopted then
  -- A stranger died between SETNX and EXPIRE, or is about to EXPIRE: what the classic code does, so do we.
  redis.call('PEXPIRE', lock, lease)
  left = tonumber(lease)
end
return wait(left, owner, adopted)
