-- rate_limiter/take: take permits, for now or for a moment to come.
--
-- KEYS[1]  taken    string  "moment rest": when all that was taken will have come back, in microseconds of the server's
--                           clock and 1/rate of one; expires then
-- ARGV[1]  rate     integer permits that come back in each per, from 1 to 1,000,000
-- ARGV[2]  per      integer microseconds, > 0
-- ARGV[3]  burst    integer permits that may be out at once, from 1 to 1,000,000
-- ARGV[4]  least    integer permits that are wanted, from 1 to burst
-- ARGV[5]  most     integer permits that are taken where there are so many, least or more
-- ARGV[6]  longest  integer microseconds that the caller would wait for the least, up to an hour
--
-- returns {n, wait}  n were taken, which count so many microseconds from now
-- returns {0, wait}  none was taken: the least may be there then
--
-- Not to be repeated: the second run would take as many again.
-- uses: bucket
local taken = KEYS[1]
local now, debt, rest = look(taken)
if not now then return debt end
local n = tonumber(ARGV[4])
local wait = math.max(0, excess(n, debt, rest))
if wait > tonumber(ARGV[6]) then return {0, wait} end
if wait == 0 then n = math.max(n, math.min(tonumber(ARGV[5]), available(debt, rest))) end

local back, back_rest = time_of(n)
debt = debt + back + math.floor((rest + back_rest) / rate)
rest = (rest + back_rest) % rate
local lifetime = math.ceil(debt / 1000) + 2 -- expiry goes by whole milliseconds of a clock that is read beforehand
local done = redis.pcall('SET', taken, string.format('%.0f %.0f', now + debt, rest), 'PX', string.format('%.0f', lifetime))
if done.err then return done end
return {n, wait}
