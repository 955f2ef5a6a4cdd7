-- statistics/merge: merge what a client has gathered into the current period, once, however often it is asked; in a new
-- period what was current becomes the last.
--
-- KEYS[1]  current   hash     start, since, count, sum, sum.rest, m2, min, max, mean, stddev and buckets; expires
-- KEYS[2]  last      hash     the same, of the period before that had values; expires
-- KEYS[3]  record    string   of this client's flushes: the last one; expires
-- ARGV[1]  sequence  integer  of the flush, from 1 on, growing
-- ARGV[2]  memory    integer  milliseconds for which the record is kept, > 0
-- ARGV[3]  period    integer  seconds, > 0
-- ARGV[4]  count     integer  of values, > 0
-- ARGV[5]  sum       real
-- ARGV[6]  rest      real     what the sum lacks
-- ARGV[7]  m2        real     sum of the squares of the distances from the mean
-- ARGV[8]  min       real
-- ARGV[9]  max       real
-- ARGV[10..]         string, integer   a bucket, how many are in it, the next bucket ...
--
-- returns 1          merged, now or before
-- returns {0, text}  refused for good, and nothing was merged
-- returns an error   and nothing was merged now: it may be asked again
-- retry: safe
-- uses: buffering/once
local current, last, record = KEYS[1], KEYS[2], KEYS[3]
local before = answer_before(record, ARGV[1])
if before then return before end

-- Whatever may go wrong with what is there goes wrong before anything is written.
local period = tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local start = now - now % period
local known = redis.pcall('HMGET', current, 'start', 'count', 'sum', 'sum.rest', 'm2', 'min', 'max')
if known.err then return known end
local moves = known[1] and tonumber(known[1]) < start
local fresh = moves or not known[1]
if fresh then
  known = {start, 0, 0, 0, 0, ARGV[8], ARGV[9]}
end
start = tonumber(known[1]) -- a clock that was set back joins the period that has begun

local count, sum, rest = tonumber(known[2]), tonumber(known[3]), tonumber(known[4])
local more, more_sum = tonumber(ARGV[4]), tonumber(ARGV[5])
local apart = count > 0 and more_sum / more - sum / count or 0
local m2 = known[5] + ARGV[7] + apart * apart * count * more / (count + more)
local total = sum + more_sum
local part = total - sum
local lack = (sum - (total - part)) + (more_sum - part) + rest + ARGV[6]
count, sum = count + more, total + lack
rest = lack - (sum - total)
if rest ~= rest then sum, rest = total, 0 end -- beyond the range of numbers there is none
local min, max = known[6], known[7]
if tonumber(ARGV[8]) < tonumber(min) then min = ARGV[8] end
if tonumber(ARGV[9]) > tonumber(max) then max = ARGV[9] end

local days = math.floor(start / 86400) + 719468 -- since 0000-03-01
local era = math.floor(days / 146097)
local day = days - era * 146097
local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
local month = math.floor((5 * day + 2) / 153)
local since = string.format('%04d-%02d-%02dT%02d:%02d:%02d', year + era * 400 + (month < 10 and 0 or 1),
  month + (month < 10 and 3 or -9), day - math.floor((153 * month + 2) / 5) + 1,
  math.floor(start / 3600) % 24, math.floor(start / 60) % 60, start % 60)

local names, counts = {}, {}
for i = 10, #ARGV, 2 do
  names[#names + 1], counts[#counts + 1] = ARGV[i], tonumber(ARGV[i + 1])
end
local step = 1000 -- at once: Lua's stack is finite
for first = 1, fresh and 0 or #names, step do
  local there = redis.call('HMGET', current, unpack(names, first, math.min(first + step - 1, #names)))
  for i = 1, #there do
    counts[first + i - 1] = counts[first + i - 1] + (there[i] or 0)
  end
end

local denied = note(record, ARGV[1], ARGV[2])
if denied then return denied end
local function text(number) return string.format('%.17g', number) end
local moved = not moves and {} or redis.pcall('RENAME', current, last)
if moved.err then return refuse(record, ARGV[1], ARGV[2], moved) end
local set = redis.pcall('HSET', current, 'start', start, 'since', since, 'count', string.format('%.0f', count), 'sum',
  text(sum), 'sum.rest', text(rest), 'm2', text(m2), 'min', min, 'max', max, 'mean', text(sum / count), 'stddev',
  text(math.sqrt(m2 / count)))
if type(set) == 'table' then return refuse(record, ARGV[1], ARGV[2], set) end
for first = 1, #names, step do
  local fields = {}
  for i = first, math.min(first + step - 1, #names) do
    fields[#fields + 1], fields[#fields + 2] = names[i], string.format('%.0f', counts[i])
  end
  redis.call('HSET', current, unpack(fields))
end
-- Who may not is not told so: it was merged, and would be again.
redis.pcall('PEXPIRE', current, math.max((start + 25 * period - now) * 1000, 1000))
return 1
