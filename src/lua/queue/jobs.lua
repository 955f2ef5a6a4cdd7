-- queue/jobs: what the queue's scripts have in common; no script of its own.
--
-- A job waits in the stream of its priority, or, by the microsecond when it is due, in `delayed`:
-- "<number> <priority> <when pushed> <length of id> <id><job>". Who is given one has it pending in the stream's group,
-- and in `taken`, by the microsecond when it is given to another, as a ticket: "<priority> <id in the stream> <delivery>".
-- The delivery makes one holder's ticket different from the next one's; one that was given back has ` back` behind it. A
-- job that is done is in no stream.
--
-- Where memory is short a script's first write is denied if it may need more, the later ones are not: so what must be
-- possible then begins with one that needs none.
--
-- Who waits for jobs is in `waiters`, by when it began: <client>/<number>/<visibility>/<most deliveries>/<consumer>.
-- The last of them is given the next job, over its client's channel; the first looks out for what falls due. Who waits
-- for room is in `blocked`, by when it began: <client>/<number>/<how many jobs there may be when it goes on>/...

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

-- Speaks to who waits; whether its process heard it. nil: this user may not speak to it, and nothing is known.
local function tell(token, word, ...)
  local client, number = string.match(token, '^(%x+)/(%d+)')
  local heard = redis.pcall('PUBLISH', 'tandem:' .. client, table.concat({word, number, ...}, ' '))
  if type(heard) == 'table' then return nil end
  return heard > 0
end

-- The first who waits and lives is to ask when the next job is due.
local function wake_first()
  local first = redis.call('ZRANGE', waiters, 0, 0)[1]
  while first and tell(first, 'ask') == false do
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
    -- What is there already can be taken all the same.
    if not added.err then redis.call('ZREM', delayed, member) end
  end
end

-- Of a stream's entry, as {job, id, when pushed in milliseconds}; of a stranger's no job.
local function fields_of(id, entry)
  local out = {}
  for i = 1, #entry, 2 do out[entry[i]] = entry[i + 1] end
  return {out.job, out.id or '', string.match(out.at or id, '^%d+') or string.match(id, '^%d+')}
end

local function finish(level, ...)
  redis.call('XACK', KEYS[level], group, ...)
  redis.call('XDEL', KEYS[level], ...)
end

-- Tells as many that wait for room, or all where nothing is left.
local function make_room(places)
  if redis.call('ZCARD', blocked) == 0 then return end
  local now = depth()
  if now == 0 then places = math.huge end
  for _, one in ipairs(redis.call('ZRANGE', blocked, 0, -1)) do
    if places == 0 then return end
    if now <= tonumber(string.match(one, '^%x+/%d+/(%d+)')) then
      local heard = tell(one, 'ask')
      if heard == nil then return end
      redis.call('ZREM', blocked, one)
      if heard then places = places - 1 end
    end
  end
end

local function bury(level, id, fields, deliveries, why)
  redis.call('XADD', dead, '*', 'job', fields[1] or '', 'error', why, 'deliveries', deliveries, 'priority', level,
    'id', fields[2], 'at', fields[3])
  finish(level, id)
  make_room(1)
end

-- Gives it these entries of a stream, for the delivery of that number. They are noted first, so that they come again
-- whatever fails after that; a microsecond apart, so that what is left behind together comes back in its order.
local function give(out, level, entries, delivery, worker, now)
  local words = {}
  for i, entry in ipairs(entries) do
    words[#words + 1] = text(now + worker.visibility * 1000 + #out + i)
    words[#words + 1] = level .. ' ' .. entry[1] .. ' ' .. delivery
  end
  redis.call('ZADD', taken, unpack(words))
  for i, entry in ipairs(entries) do
    local fields = fields_of(entry[1], entry[2])
    if fields[1] then
      out[#out + 1] = {level, entry[1], delivery, fields[3], fields[2], fields[1]}
    else
      bury(level, entry[1], fields, delivery, 'an entry without a field named job')
      redis.call('ZREM', taken, words[2 * i])
    end
  end
end

-- Those that were held for too long, by whoever it was.
local function take_over(out, count, worker, now)
  for _ = 1, 1000 do
    local ticket = redis.call('ZRANGEBYSCORE', taken, '-inf', text(now), 'LIMIT', 0, 1)[1]
    if not ticket or #out == count then return end
    local level, id, delivery = string.match(ticket, '^(%d) (%S+) (%d+)')
    level, delivery = tonumber(level), tonumber(delivery)
    -- Also where nobody has it any more: somebody removed the consumer. No such group: it is made anew, and everything
    -- in the stream given out once more.
    local function claim(ask) return ask('XCLAIM', KEYS[level], group, worker.consumer, 0, id, 'FORCE') end
    local claimed = claim(redis.pcall)
    if claimed.err and not string.find(claimed.err, 'NOGROUP', 1, true) then claim(redis.call) end
    local entry = claimed[1]
    if entry and delivery >= worker.most then
      bury(level, id, fields_of(id, entry[2]), delivery, 'not acknowledged in ' .. delivery .. ' deliveries')
    end
    redis.call('ZREM', taken, ticket)
    if entry and delivery < worker.most then give(out, level, {entry}, delivery + 1, worker, now) end
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
      give(out, level, entries, 1, worker, now)
    end
  end
  return out
end

local function worker_of(token)
  local visibility, most, consumer = string.match(token, '^%x+/%d+/(%d+)/(%d+)/(.*)$')
  return {visibility = tonumber(visibility), most = tonumber(most), consumer = consumer}
end

-- Larger ones are not sent to who waits: messages that are under way have a limit (client-output-buffer-limit pubsub).
local largest_told = 65536

-- Gives what there is to those who wait and live.
local function hand_out()
  local token = redis.call('ZREVRANGE', waiters, 0, 0)[1]
  local now = token and clock()
  while token do
    local job = take(worker_of(token), 1, now)[1]
    if not job then return end
    local is_large = #job[6] > largest_told
    if is_large then take_back(job[1], job[2], job[3], job[3] - 1, now) end
    local heard = false
    while token and heard == false do
      if is_large then
        heard = tell(token, 'take')
      else
        heard = tell(token, 'job', job[1], job[2], job[3], job[4], #normal, #job[5], normal .. job[5] .. job[6])
      end
      if heard ~= nil then redis.call('ZREM', waiters, token) end
      if heard ~= true then token = redis.call('ZREVRANGE', waiters, 0, 0)[1] end
    end
    if is_large then return end -- who asks for it hands out what is behind it
    if not heard then return take_back(job[1], job[2], job[3], job[3] - 1, now) end
    token = redis.call('ZREVRANGE', waiters, 0, 0)[1]
  end
end
