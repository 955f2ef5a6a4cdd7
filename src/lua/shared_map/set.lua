-- shared_map/set: store an entry that may have an end, or one that is not there.
--
-- KEYS[1]  map    hash     field: value, as the server's HPEXPIREAT or the value says with an end
-- KEYS[2]  ends   zset     fields that were given an end, by it, in milliseconds; some have none any more
-- ARGV[1]  field  string
-- ARGV[2]  value  string
-- ARGV[3]  ttl    integer  milliseconds until it ends; 0 for never
-- ARGV[4]  over   integer  1 also over what is there, 0 only where nothing is
--
-- returns 1  done
-- returns 0  nothing was done: there is such an entry
-- uses: entry
local map, ends = KEYS[1], KEYS[2]
local field, value, ttl, over = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local there = redis.pcall('HEXISTS', map, field)
if type(there) == 'table' then return there end -- WRONGTYPE
if not over and there == 1 and value_of(redis.call('HGET', map, field)) then return 0 end
local at = ttl ~= '0' and string.format('%.0f', clock() + ttl) or nil
local fault = store(map, ends, field, value, at)
if fault then return fault end
if at then sweep(map, ends, 16) end
return 1
