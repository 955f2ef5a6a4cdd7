-- shared_map/contains: whether there is such an entry.
--
-- KEYS[1]  map    hash
-- KEYS[2]  ends   zset    see shared_map/set
-- ARGV[1]  field  string
--
-- returns 1  there is
-- returns 0  there is none, or it has ended
--
-- Reads only.
-- retry: safe
-- uses: entry
local map, ends, field = KEYS[1], KEYS[2], ARGV[1]
local there = redis.pcall('HEXISTS', map, field)
if there ~= 1 or not redis.call('ZSCORE', ends, field) then return there end
return value_of(redis.call('HGET', map, field)) and 1 or 0
