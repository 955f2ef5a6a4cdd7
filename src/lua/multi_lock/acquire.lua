-- multi_lock/acquire: take several locks, all or none; or take them in their order up to the first that is taken, and
-- join its queue. Asked again, go on from there, or renew the holder's lease.
--
-- KEYS[1..]  of each name its lock, waiters and state, as in lock/acquire; the names in the order in which all take them
-- ARGV[1]  token    string  unique to this acquisition; the same for all names
-- ARGV[2]  lease    integer milliseconds, > 0
-- ARGV[3]  join     integer 1 to wait in the queue with what comes before it in hand, 0 to keep nothing if not all
-- ARGV[4]  grant    integer milliseconds that a waiter has to take up a grant, > 0
--
-- returns {1, fence}               all held by this token for a whole lease from now; the fence is that of each name
-- returns {0, left, leads, owner, adopted, which}
--                                  not all held: as lock/acquire says it, of the first name that cannot be had; how
--                                  many names come before it. With join these are held for a whole lease, without it
--                                  none is
-- retry: safe
-- uses: lock/hand_over
local token, lease, join, grant = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]

local owners = {}
for i = 1, #KEYS, 3 do
  owners[i] = redis.pcall('GET', KEYS[i])
  if type(owners[i]) == 'table' then return owners[i] end -- WRONGTYPE: raised, it would lose its code before Redis 7
end

-- Who keeps this token from the lock at `i`, and for how many milliseconds; nothing when it may have it.
local function obstacle(i)
  local lock, waiters, state = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  if not owners[i] then
    local first = redis.call('ZRANGE', waiters, 0, 0)[1]
    local free = first and left_free(state) or 0
    if free > 0 then return '', free end
    -- Nobody barges: who came first gets it, who asks joins the end.
    if first and first ~= token then owners[i] = hand_over(lock, waiters, state, grant) end
  end
  if owners[i] and owners[i] ~= token then return owners[i], redis.call('PTTL', lock) end
end

local function take(i)
  local lock, waiters, state = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  if owners[i] == token then
    redis.call('PEXPIRE', lock, lease)
    return tonumber(redis.call('HGET', state, 'fence') or take_fence(state))
  end
  redis.call('SET', lock, token, 'PX', lease)
  if redis.call('ZREM', waiters, token) == 1 then name_leader(waiters, lease, token) end
  return take_fence(state)
end

local at, owner, left = 1, nil, nil
while at <= #KEYS do
  owner, left = obstacle(at)
  if owner then break end
  at = at + 3
end

if not owner then
  local fences, highest = {}, 0
  for i = 1, #KEYS, 3 do
    fences[i] = take(i)
    highest = math.max(highest, fences[i])
  end
  for i = 1, #KEYS, 3 do
    if fences[i] ~= highest then redis.call('HSET', KEYS[i + 2], 'fence', highest) end
  end
  return {1, highest}
end

-- What lies behind is given back, should something before it have been lost: nobody waits for a name with a later one
-- in hand, and nobody stands in two queues.
for i = 1, #KEYS, 3 do
  if i < at and join then
    take(i)
  elseif i ~= at and (owners[i] == token or redis.call('ZSCORE', KEYS[i + 1], token)) then
    give_back(KEYS[i], KEYS[i + 1], KEYS[i + 2], token, grant, 0, 0, 0)
  end
end
local adopted = left == -1 and join
if adopted then
  redis.call('PEXPIRE', KEYS[at], lease) -- a stranger's: see lock/acquire
  left = tonumber(lease)
end
local leads = wait_in_line(KEYS[at + 1], token, join, left, owner)
return {0, left, leads and 1 or 0, owner, adopted and 1 or 0, (at - 1) / 3}
