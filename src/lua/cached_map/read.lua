-- cached_map/read: what entries are, and for how long, to be kept until somebody changes them.
--
-- KEYS[1]   map      hash
-- KEYS[2]   ends     zset     see shared_map/set
-- KEYS[3]   changes  integer  how many changes were told
-- ARGV[1..] fields   string
--
-- returns {n, value, left ...}  the number of the last change that was told; then for each field its value, false for
--                               none, and the milliseconds until it ends, -1 for never
--
-- Reads only. Whoever sends it has the server track the map and `changes` for it.
-- retry: safe
-- uses: shared_map/entry
local map, ends = KEYS[1], KEYS[2]
local size = redis.pcall('HLEN', map)
if type(size) == 'table' then return size end -- WRONGTYPE
local n = redis.pcall('GET', KEYS[3])
if type(n) == 'table' then return n end
local out = {tonumber(n or 0)}
for i = 1, #ARGV do
  local value, at = value_of(redis.call('HGET', map, ARGV[i]))
  local ending = value and end_of(map, ends, ARGV[i], at)
  out[#out + 1] = value or false
  out[#out + 1] = ending and math.max(ending - clock(), 0) or -1
end
return out
