-- shared_map/read: what entries are now, if others are what they were.
--
-- KEYS[1]   map    hash
-- KEYS[2]   ends   zset     fields that were given an end, by it; see shared_map/set
-- ARGV[1]   known  integer  of how many entries it is known what they were
-- ARGV[2..] words  string   field, had, expected of each of these, as for shared_map/change; then the fields to read
--
-- returns {1, had, value ...}  for each field: 1 and its value, or 0 and nothing
-- returns {0}                  one of the known entries is another now
--
-- What it changes is not seen by anybody: it removes what has ended.
-- retry: safe
-- uses: entry
local map, ends = KEYS[1], KEYS[2]
local size = redis.pcall('HLEN', map)
if type(size) == 'table' then return size end -- WRONGTYPE
local known = 3 * tonumber(ARGV[1]) + 1
for i = 2, known, 3 do
  local value = value_of(redis.call('HGET', map, ARGV[i]))
  if ARGV[i + 1] == '1' and value ~= ARGV[i + 2] or ARGV[i + 1] == '0' and value then return {0} end
end
local out = {1}
for i = known + 1, #ARGV do
  local value = value_of(redis.call('HGET', map, ARGV[i]))
  out[#out + 1] = value and 1 or 0
  out[#out + 1] = value or ''
end
if redis.call('EXISTS', ends) == 1 then sweep(map, ends, 16) end
return out
