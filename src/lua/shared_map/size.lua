-- shared_map/size: how many entries there are.
--
-- KEYS[1]  map   hash
-- KEYS[2]  ends  zset  see shared_map/set
--
-- returns {n, 0}  so many
-- returns {n, 1}  some of them have ended, and there were too many to remove at once: ask again
--
-- Where nothing may be removed (a replica) up to 1,000 that have ended are not counted.
-- retry: safe
-- uses: entry
local map, ends = KEYS[1], KEYS[2]
local size = redis.pcall('HLEN', map)
if type(size) == 'table' then return size end -- WRONGTYPE
if redis.call('EXISTS', ends) == 0 then return {size, 0} end
local more, left = sweep(map, ends, 1000)
return {redis.call('HLEN', map) - left, more and 1 or 0}
