-- lock/hand_over: what the scripts that give a lock away have in common; no script of its own.
--
-- A token: <client>/<number>[k]/<pid>/<start>/<place>/<host>/<client name>. k: its process keeps the lock for a while
-- after a release, unless it is told that another one wants it. place: boot and namespaces, within which pid and start
-- name one process for ever.

-- The next fence, and what the state is to say once somebody has it. It is greater than any before, also when the counter
-- was lost or came back older (a backup, a replica that lagged): it never stays behind the server's clock in
-- microseconds. `released`: the fence released last, where that is not written yet.
local function next_fence(state, released)
  local time = redis.call('TIME')
  local before = redis.call('HMGET', state, 'fence', 'released')
  local last = tonumber(before[1] or 0)
  local fence = math.max(last + 1, time[1] * 1000000 + time[2])
  local entry = {'fence', fence, 'since', time[1] * 1000 + math.floor(time[2] / 1000)}
  if released then
    entry[5], entry[6] = 'released', released
  else
    released = before[2]
  end
  if before[1] ~= released then
    entry[#entry + 1] = 'lost'
    entry[#entry + 1] = last
  end
  return fence, entry
end

local function take_fence(state)
  local fence, entry = next_fence(state)
  redis.call('HSET', state, unpack(entry))
  return fence
end

-- Whether the hold with that fence ended by its release, for one that is asked again because its answer was lost. Others
-- may have held since; of those before them it is known which was the last that ended otherwise.
local function was_released(state, fence)
  local known = redis.call('HMGET', state, 'fence', 'released', 'lost')
  local last, released, lost = tonumber(known[1] or 0), tonumber(known[2] or 0), tonumber(known[3] or 0)
  return fence > 0 and (released == fence or last > fence and lost < fence)
end

-- Milliseconds for which a release has left the key free for strangers; 0 or less when it is ours to take. A clock that
-- was set back since does not make them more.
local function left_free(state)
  local yielded = redis.call('HMGET', state, 'yielding', 'moment')
  if not yielded[1] then return 0 end
  local time = redis.call('TIME')
  local left = yielded[1] - (time[1] * 1000 + math.floor(time[2] / 1000))
  return left <= tonumber(yielded[2] or 0) and left or 0
end

-- Speaks to the process that made the token; how many heard it: 0 means that it is gone.
local function tell(token, text)
  return redis.call('PUBLISH', 'tandem:' .. string.match(token, '^[^/]*'), text)
end

-- Where the process that made the token runs; nil of a stranger's.
local function place(token)
  return string.match(token, '^[^/]*/[^/]*/[^/]*/[^/]*/([^/]*)/')
end

-- How far down the queue somebody is looked for who can watch a holder's process: a hand-off stays cheap.
local watchers = 32

-- Tells the first waiter that lives that it leads the queue, for how long the lock is taken, and by whom. Where that
-- one cannot see the holder's process, somebody who can is told as well.
local function name_leader(waiters, milliseconds, owner)
  local where = place(owner)
  if not where then owner = '' end
  local first
  repeat
    first = redis.call('ZRANGE', waiters, 0, 0)[1]
    if not first then return end
    local heard = tell(first, 'lead ' .. milliseconds .. ' ' .. first .. ' ' .. owner)
    if heard == 0 then redis.call('ZREM', waiters, first) end
  until heard > 0
  if not where or where == place(first) then return end
  for _, each in ipairs(redis.call('ZRANGE', waiters, 1, watchers)) do
    if place(each) == where and tell(each, 'watch ' .. each .. ' ' .. owner) > 0 then return end
  end
end

-- Gives the lock to the first waiter that lives; its token, or nil when there is none. The grant is short: its waiter
-- asks for the whole lease when it needs it, and one that cannot is passed over when the grant expires. It says the
-- fence, which is written only for one that has heard, and to a process that would keep the lock whether others wait.
local function hand_over(lock, waiters, state, grant, released)
  local fence, entry = next_fence(state, released)
  while true do
    local first = redis.call('ZPOPMIN', waiters)[1]
    if not first then return nil end
    local wanted = string.match(first, '^%x+/%d+k/') and redis.call('ZCARD', waiters) > 0
    if tell(first, string.format('grant %.0f %d ', fence, wanted and 1 or 0) .. first) > 0 then
      redis.call('SET', lock, first, 'PX', grant)
      redis.call('HSET', state, unpack(entry))
      name_leader(waiters, grant, first)
      return first
    end
  end
end

-- Has the token wait for what `owner` holds, for so many milliseconds yet: in the queue, if it is to join. Whether it is
-- the first there.
local function wait_in_line(waiters, token, join, milliseconds, owner)
  if string.match(owner, '^%x+/%d+k/') then tell(owner, 'wanted ' .. owner) end
  if redis.call('ZSCORE', waiters, token) then
    if redis.call('ZRANGE', waiters, 0, 0)[1] == token then return true end
    -- The first looks out for all of them: who comes to look after its place makes sure that it lives.
    name_leader(waiters, math.max(0, milliseconds), owner)
    return redis.call('ZRANGE', waiters, 0, 0)[1] == token
  end
  if not join then return false end
  local last = redis.call('ZRANGE', waiters, -1, -1, 'WITHSCORES')[2]
  local time = redis.call('TIME')
  redis.call('ZADD', waiters, string.format('%.0f', math.max((last or 0) + 1, time[1] * 1000000 + time[2])), token)
  return not last
end

-- Ends the hold of that token, or its wait; see lock/release.
local function give_back(lock, waiters, state, token, grant, fence, run, moment)
  local owner = redis.pcall('GET', lock)
  if type(owner) == 'table' then return owner end -- WRONGTYPE: raised, it would lose its code before Redis 7
  if owner ~= token then
    local led = redis.call('ZRANGE', waiters, 0, 0)[1] == token
    redis.call('ZREM', waiters, token)
    if led then name_leader(waiters, math.max(0, redis.call('PTTL', lock)), owner or '') end
    if was_released(state, tonumber(fence)) then return 1 end
    return owner and 2 or 0
  end

  -- First of all the command that frees memory: after it a server that has none left allows the others.
  redis.call('DEL', lock)
  local released = tonumber(fence) > 0 and fence or redis.call('HGET', state, 'fence') or '0'
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
end
