-- permits/hand_out: what the scripts that give permits away have in common; no script of its own.
--
-- A token as in lock/hand_over. With an `s` behind its number it shares: <client>/<number>s/... ; one without holds
-- alone. Of those who share there may be as many as the limit says, where there is one.
--
-- Who held, and whose lease has ended, stays among the holders for a day: so its own release is told the truth.

local day = 86400000000

-- Speaks to the process that made the token; how many heard it: 0 means that it is gone.
local function tell(token, text)
  return redis.call('PUBLISH', 'tandem:' .. string.match(token, '^[^/]*'), text)
end

local function shares(token)
  return string.match(token, '^%x+/%d+s/')
end

-- Microseconds of the server's clock.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function after(moment)
  return string.format('(%.0f', moment)
end

local function holds(holders, token, now)
  local ends = redis.call('ZSCORE', holders, token)
  return ends and tonumber(ends) > now
end

local function first_of(waiters)
  return redis.call('ZRANGE', waiters, 0, 0)[1]
end

-- Whether there is room for it among those who hold now.
local function fits(holders, state, token, now)
  local one = redis.call('ZRANGEBYSCORE', holders, after(now), '+inf', 'LIMIT', 0, 1)[1]
  if not one then return true end
  if not (shares(one) and shares(token)) then return false end
  local limit = redis.call('HGET', state, 'limit')
  return not limit or redis.call('ZCOUNT', holders, after(now), '+inf') < tonumber(limit)
end

-- A fence greater than any before; see lock/hand_over.
local function next_fence(state, now)
  return math.max((redis.call('HGET', state, 'fence') or 0) + 1, now)
end

local function take(holders, state, token, milliseconds, now, fence)
  fence = fence or next_fence(state, now)
  redis.call('ZADD', holders, now + milliseconds * 1000, token)
  redis.call('HSET', state, 'fence', fence, token, fence)
  return fence
end

local function forget(holders, state, token)
  redis.call('ZREM', holders, token)
  redis.call('HDEL', state, token, 'commit ' .. token)
end

-- Gives permits to those who come first and live, as long as there is room. The grants are short, and say their fences:
-- see lock/hand_over. Who leads the queue then and did not before is told so; it asks who holds, should it have to wait
-- for longer.
local function hand_out(holders, waiters, state, grant, now, new_leader)
  local first = first_of(waiters)
  while first do
    local room = fits(holders, state, first, now)
    if not (room or new_leader) then return end
    local fence = room and next_fence(state, now)
    local heard = tell(first, room and string.format('grant %.0f 0 ', fence) .. first or 'first ' .. first)
    if heard > 0 and not room then return end
    redis.call('ZREM', waiters, first)
    if heard > 0 then take(holders, state, first, grant, now, fence) end
    new_leader = true
    first = first_of(waiters)
  end
end
