-- One moment is kept: when all that was taken will have come back (the theoretical arrival time of GCRA). It is exact:
-- whole microseconds, and a rest in 1/rate of one. All numbers stay below 2^53, where Lua's are whole.
local rate, per, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- The time in which n permits come back.
local function time_of(n)
  local rest = n * (per % rate)
  return n * math.floor(per / rate) + math.floor(rest / rate), rest % rate
end

local limit, limit_rest = time_of(burst)
local longest_wait = 3600000000 -- an hour: nobody waits for longer

-- The server's time, and how long after it all will have come back; or nil and an error.
local function look(taken)
  local text = redis.pcall('GET', taken)
  if type(text) == 'table' then return nil, text end
  local moment, rest = string.match(text or '0 0', '^(%d+) (%d+)$')
  if not moment then return nil, redis.error_reply('ERR the text there is not a rate limiter\'s') end
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local debt = moment - now + math.floor(rest / rate) -- the rest may be of another rate
  if debt < 0 or debt > limit + longest_wait then return now, 0, 0 end -- more only when the clock was set back
  return now, debt, rest % rate
end

-- By how many microseconds, rounded up, n more permits come too early; 0 or less when they do not.
local function excess(n, debt, rest)
  local back, back_rest = time_of(n)
  return debt + back - limit + math.ceil((rest + back_rest - limit_rest) / rate)
end

-- How many permits there are.
local function available(debt, rest)
  local n = math.max(0, math.min(burst, math.floor(burst - (debt * rate + rest) / per)))
  while n > 0 and excess(n, debt, rest) > 0 do n = n - 1 end -- what the division lost
  while n < burst and excess(n + 1, debt, rest) <= 0 do n = n + 1 end
  return n
end

