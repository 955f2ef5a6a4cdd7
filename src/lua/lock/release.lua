-- lock/release: give the lock back and hand it to the first waiter, or leave the queue.
--
-- KEYS[1]  lock     string  the holder's token
-- KEYS[2]  waiters  zset    tokens in the order in which they came
-- KEYS[3]  state    hash    see lock/acquire
-- ARGV[1]  token    string  as given to acquire
-- ARGV[2]  grant    integer milliseconds that a waiter has to take up a grant, > 0
-- ARGV[3]  fence    integer of the hold that ends; 0 from a waiter, who has none yet
-- ARGV[4]  run      integer hand-offs in a row after which the key is left free once, for strangers; 0: never
-- ARGV[5]  moment   integer milliseconds for which it is left free
--
-- returns 1  released by this call, or by an earlier one for the same fence
-- returns 0  this token holds nothing, and nobody else does
-- returns 2  this token holds nothing, somebody else does
-- retry: safe
-- uses: hand_over
local lock, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local token, grant, fence, run, moment = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local owner = redis.pcall('GET', lock)
if type(owner) == 'table' then return owner end -- WRONGTYPE: raised, it would lose its code before Redis 7
if owner ~= token then
  local led = redis.call('ZRANGE', waiters, 0, 0)[1] == token
  redis.call('ZREM', waiters, token)
  if led then name_leader(waiters, math.max(0, redis.call('PTTL', lock)), owner or '') end
  if was_released(state, fence) then return 1 end
  return owner and 2 or 0
end

-- First of all the command that frees memory: after it a server that has none left allows the others.
redis.call('DEL', lock)
local released = fence > 0 and ARGV[3] or redis.call('HGET', state, 'fence') or '0'
if redis.call('ZCARD', waiters) > 0 then
  if run > 0 and redis.call('HINCRBY', state, 'run', 1) > run then
    local time = redis.call('TIME')
    redis.call('HSET', state, 'released', released, 'run', 0, 'moment', moment,
      'yielding', time[1] * 1000 + math.floor(time[2] / 1000) + moment)
    name_leader(waiters, moment, '')
    return 1
  end
  if hand_over(lock, waiters, state, grant, released) then return 1 end
elseif run > 0 then
  redis.call('HDEL', state, 'run')
end
redis.call('HSET', state, 'released', released)
return 1
