-- lock/hand_over: what the scripts that give a lock away have in common; no script of its own.
--
-- A token: <client>/<number>[k]/<pid>/<start>/<place>/<host>/<client name>. k: its process keeps the lock for a while
-- after a release, unless it is told that another one wants it. place: boot and namespaces, within which pid and start
-- name one process for ever.

-- A fence greater than any before, also when the counter was lost or came back older (a backup, a replica that lagged):
-- it never stays behind the server's clock in microseconds.
local function take_fence(state)
  local time = redis.call('TIME')
  local before = redis.call('HMGET', state, 'fence', 'released')
  local last = tonumber(before[1] or 0)
  local fence = math.max(last + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', state, 'fence', fence, 'since', time[1] * 1000 + math.floor(time[2] / 1000))
  if before[1] ~= before[2] then redis.call('HSET', state, 'lost', last) end
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
-- asks for the whole lease as soon as it hears, and one that cannot is passed over when the grant expires.
local function hand_over(lock, waiters, state, grant)
  while true do
    local first = redis.call('ZRANGE', waiters, 0, 0)[1]
    if not first then return nil end
    local heard = tell(first, 'grant ' .. first)
    redis.call('ZREM', waiters, first)
    if heard > 0 then
      redis.call('SET', lock, first, 'PX', grant)
      take_fence(state)
      name_leader(waiters, grant, first)
      return first
    end
  end
end

-- Has the token wait for what `owner` holds, for so many milliseconds yet: in the queue, if it is to join. Whether it is
-- the first there.
local function wait_in_line(waiters, token, join, milliseconds, owner)
  if string.match(owner, '^%x+/%d+k/') then tell(owner, 'wanted ' .. owner) end
  local queued = redis.call('ZSCORE', waiters, token)
  if join and not queued then
    local last = redis.call('ZRANGE', waiters, -1, -1, 'WITHSCORES')[2]
    local time = redis.call('TIME')
    redis.call('ZADD', waiters, string.format('%.0f', math.max((last or 0) + 1, time[1] * 1000000 + time[2])), token)
  end
  local leads = redis.call('ZRANGE', waiters, 0, 0)[1] == token
  if queued and not leads then
    -- The first looks out for all of them: who comes to look after its place makes sure that it lives.
    name_leader(waiters, math.max(0, milliseconds), owner)
    leads = redis.call('ZRANGE', waiters, 0, 0)[1] == token
  end
  return leads
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
  redis.call('HSET', state, 'released', tonumber(fence) > 0 and fence or redis.call('HGET', state, 'fence') or 0)
  if redis.call('ZCARD', waiters) == 0 then
    if run > 0 then redis.call('HDEL', state, 'run') end
    return 1
  end
  if run > 0 and redis.call('HINCRBY', state, 'run', 1) > run then
    local time = redis.call('TIME')
    redis.call('HSET', state, 'run', 0, 'yielding', time[1] * 1000 + math.floor(time[2] / 1000) + moment,
      'moment', moment)
    name_leader(waiters, moment, '')
    return 1
  end
  hand_over(lock, waiters, state, grant)
  return 1
end
