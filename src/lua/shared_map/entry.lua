-- What lies in a field: the value. Where it ends, and the server has no expiry of fields (before Redis 7.4 and Valkey
-- 9): "\1until <end> <value>". A value that begins like that by itself is kept as one whose end is 0: none. Ends are
-- milliseconds of the server's clock, after which an entry is no more.
local mark = '\1until '

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The value of what lies in a field, and its end where that lies there, too. No value: there is none, or it has ended.
local function value_of(stored)
  if not stored or string.sub(stored, 1, #mark) ~= mark then return stored or nil end
  local at, from = string.match(stored, '^(%d+) ()', #mark + 1)
  if not at then return stored end -- a stranger's text
  if at == '0' then return string.sub(stored, from) end
  if tonumber(at) < clock() then return nil, at end
  return string.sub(stored, from), at
end

local function does_not_know(answer)
  return type(answer) == 'table' and answer.err and string.find(answer.err, 'nknown .*command')
end

-- When an entry ends, nil for never; `at` is what value_of told. Only what `ends` knows can have an end that does not
-- lie in the field.
local function end_of(map, ends, field, at)
  if at or not redis.call('ZSCORE', ends, field) then return at end
  local told = redis.pcall('HPEXPIRETIME', map, 'FIELDS', 1, field)
  return type(told) == 'table' and type(told[1]) == 'number' and told[1] > 0 and string.format('%.0f', told[1]) or nil
end

-- Stores a value that ends at `at`, or never. The server's error, and nothing was stored; nil when it was.
local function store(map, ends, field, value, at)
  local plain = string.sub(value, 1, #mark) == mark and mark .. '0 ' .. value or value
  if not at then
    local done = redis.pcall('HSET', map, field, plain)
    return type(done) == 'table' and done or nil
  end
  local known = redis.pcall('HPEXPIREAT', map, at, 'FIELDS', 1, field) -- asks; what it does HSET undoes
  local native = not does_not_know(known)
  if native and type(known) == 'table' and known.err then return known end
  local noted = redis.pcall('ZADD', ends, at, field)
  if type(noted) == 'table' then return noted end
  local done = redis.pcall('HSET', map, field, native and plain or mark .. at .. ' ' .. value)
  if type(done) == 'table' then return done end
  if native then
    redis.call('HPEXPIREAT', map, at, 'FIELDS', 1, field)
    -- A day after the last of them nothing is left to be removed, however late the server is.
    local last = redis.pcall('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
    if last then redis.pcall('PEXPIREAT', ends, string.format('%.0f', last + 86400000)) end
  end
end

-- Removes up to `most` entries that have ended, and what `ends` says of others that have an end no more. A server with
-- expiry of fields removes them when it is asked for them. Whether there are more; and how many could not be removed,
-- where nothing may be (a replica): then nobody looks for more.
local function sweep(map, ends, most)
  if redis.call('EXISTS', map) == 0 then
    redis.pcall('UNLINK', ends)
    return false, 0
  end
  local due = redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. string.format('%.0f', clock()), 'LIMIT', 0, most)
  local left, denied = 0, false
  for i = 1, #due do
    local value, at = value_of(redis.call('HGET', map, due[i]))
    if at and not value and type(redis.pcall('HDEL', map, due[i])) == 'table' then
      left, denied = left + 1, true
    else
      denied = type(redis.pcall('ZREM', ends, due[i])) == 'table' or denied
    end
  end
  return #due == most and not denied, left
end
