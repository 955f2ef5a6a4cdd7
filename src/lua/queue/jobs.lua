-- queue/jobs: what the queue's scripts have in common; no script of its own.
--
-- A job waits in the stream of its priority, or, by the microsecond when it is due, in `delayed`:
-- "<number> <priority> <when pushed> <length of id> <id><job>". Who is given one has it pending in the stream's group, and
-- in `taken`, by the microsecond when it is given to another, as a ticket: "<priority> <id in the stream> <delivery>". The
-- delivery makes one holder's ticket different from the next one's; one that was given back has ` back` behind it. A job
-- that is done is in no stream.
--
-- Where memory is short a script's first write is denied if it may need more, the later ones are not: so what must be
-- possible then begins with one that needs none.
--
-- Who waits for jobs is in `waiters`, by when it began: <client>/<number>/<visibility>/<most deliveries>/<consumer>. The
-- last of them is given the next job, over its client's channel; the first looks out for what falls due. Who waits for
-- room is in `blocked`, by how many jobs there may be when it goes on.

local high, normal, low, delayed, taken, waiters, blocked, dead, state, mark = unpack(KEYS)
local group = 'workers'

-- Microseconds of the server's clock.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

-- Speaks to who waits; whether its process heard it.
local function tell(token, word, ...)
  local client, number = string.match(token, '^(%x+)/(%d+)')
  return redis.call('PUBLISH', 'tandem:' .. client, table.concat({word, number, ...}, ' ')) > 0
end

-- The first who waits and lives is to ask when the next job is due.
local function wake_first()
  local first = redis.call('ZRANGE', waiters, 0, 0)[1]
  while first and not tell(first, 'ask') do
    redis.call('ZREM', waiters, first)
    first = redis.call('ZRANGE', waiters, 0, 0)[1]
  end
end

-- All that are not done.
local function depth()
  return redis.call('XLEN', high) + redis.call('XLEN', normal) + redis.call('XLEN', low) + redis.call('ZCARD', delayed)
end

local function add(level, job, id, pushed)
  local words = {'job', job}
  if id ~= '' then words[3], words[4] = 'id', id end
  if pushed then words[#words + 1], words[#words + 2] = 'at', pushed end
  return redis.pcall('XADD', KEYS[level], '*', unpack(words)) -- an error when memory is short
end

-- Puts it where it waits until then.
local function delay(level, job, id, now, milliseconds)
  local number = redis.call('HINCRBY', state, 'delayed', 1)
  local words = string.format('%016.0f %d %.0f %d ', number, level, math.floor(now / 1000), #id)
  local member = words .. id .. job
  redis.call('ZADD', delayed, text(now + milliseconds * 1000), member)
  if redis.call('ZRANK', delayed, member) == 0 then wake_first() end
end

local function release_due(now)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', text(now), 'LIMIT', 0, 1000)) do
    local level, pushed, length, at = string.match(member, '^%d+ (%d) (%d+) (%d+) ()')
    local job = at + length
    local added = add(tonumber(level), string.sub(member, job), string.sub(member, at, job - 1), pushed)
    if added.err then return end -- what is there already can be taken all the same
    redis.call('ZREM', delayed, member)
  end
end

-- Of a stream's entry, as {job, id, when pushed in milliseconds}; of a stranger's no job.
local function fields_of(id, entry)
  local out = {}
  for i = 1, #entry, 2 do out[entry[i]] = entry[i + 1] end
  return {out.job, out.id or '', out.at or string.match(id, '^%d+')}
end

local function finish(level, id)
  redis.call('XACK', KEYS[level], group, id)
  redis.call('XDEL', KEYS[level], id)
end

local function bury(level, id, fields, deliveries, why)
  redis.call('XADD', dead, '*', 'job', fields[1] or '', 'error', why, 'deliveries', deliveries, 'priority', level,
    'id', fields[2], 'at', fields[3])
  finish(level, id)
end

-- As many as have gone for room now.
local function make_room(places)
  if redis.call('ZCARD', blocked) == 0 then return end
  while places > 0 do
    local one = redis.call('ZRANGEBYSCORE', blocked, depth(), '+inf', 'LIMIT', 0, 1)[1]
    if not one then return end
    redis.call('ZREM', blocked, one)
    if tell(one, 'ask') then places = places - 1 end
  end
end

-- Notes that it is held, and for how long.
local function give(out, level, id, delivery, fields, visibility, now)
  redis.call('ZADD', taken, text(now + visibility * 1000), level .. ' ' .. id .. ' ' .. delivery)
  out[#out + 1] = {level, id, delivery, fields[3], fields[2], fields[1]}
end

-- What was held for too long, by whoever it was.
local function take_over(out, count, worker, now)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', taken, '-inf', text(now), 'LIMIT', 0, count)) do
    local level, id, delivery = string.match(member, '^(%d) (%S+) (%d+)')
    level, delivery = tonumber(level), tonumber(delivery)
    -- No such group: it is made anew, and everything in the stream given out once more.
    local claimed = redis.pcall('XCLAIM', KEYS[level], group, worker.consumer, 0, id)
    redis.call('ZREM', taken, member)
    local entry = claimed[1]
    if entry and delivery >= worker.most then
      bury(level, id, fields_of(id, entry[2]), delivery, 'not acknowledged in ' .. delivery .. ' deliveries')
      make_room(1)
    elseif entry then
      give(out, level, id, delivery + 1, fields_of(id, entry[2]), worker.visibility, now)
    end
  end
end

local function read(level, count, consumer)
  if redis.call('XLEN', KEYS[level]) == 0 then return {} end
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', KEYS[level], '>')
  if reply and reply.err then
    redis.call('XGROUP', 'CREATE', KEYS[level], group, '0')
    reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', KEYS[level], '>')
  end
  return reply and reply[1][2] or {}
end

-- It is not held any more, and given to another then, as if it had been delivered so many times.
local function take_back(level, id, delivery, counted, when)
  local ticket = level .. ' ' .. id .. ' '
  redis.call('ZREM', taken, ticket .. delivery)
  redis.call('ZADD', taken, text(when), ticket .. counted .. ' back')
end

-- Up to so many jobs for it: those that others left behind, then those of the highest priority.
local function take(worker, count, now)
  local out = {}
  if redis.call('HEXISTS', state, 'paused') == 1 then return out end
  release_due(now)
  take_over(out, count, worker, now)
  for level = 1, 3 do
    while #out < count do
      local entries = read(level, count - #out, worker.consumer)
      if #entries == 0 then break end
      for _, entry in ipairs(entries) do
        local fields = fields_of(entry[1], entry[2])
        if fields[1] then
          give(out, level, entry[1], 1, fields, worker.visibility, now)
        else
          bury(level, entry[1], fields, 1, 'an entry without a field named job')
        end
      end
    end
  end
  return out
end

local function worker_of(token)
  local visibility, most, consumer = string.match(token, '^%x+/%d+/(%d+)/(%d+)/(.*)$')
  return {visibility = tonumber(visibility), most = tonumber(most), consumer = consumer}
end

-- Gives what there is to those who wait and live.
local function hand_out(now)
  local token = redis.call('ZREVRANGE', waiters, 0, 0)[1]
  while token do
    local job = take(worker_of(token), 1, now)[1]
    if not job then return end
    local heard = false
    while token and not heard do
      redis.call('ZREM', waiters, token)
      heard = tell(token, 'job', job[1], job[2], job[3], job[4], #job[5], job[5] .. job[6])
      token = redis.call('ZREVRANGE', waiters, 0, 0)[1]
    end
    if not heard then take_back(job[1], job[2], job[3], job[3] - 1, now) end
  end
end
