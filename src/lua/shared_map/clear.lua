-- shared_map/clear: delete the map, and nothing that is not a map.
--
-- KEYS[1]  map   hash
-- KEYS[2]  ends  zset  see shared_map/set
--
-- returns 1  done
-- returns 0  there was none
local size = redis.pcall('HLEN', KEYS[1])
if type(size) == 'table' then return size end -- WRONGTYPE: it is somebody else's
redis.call('UNLINK', KEYS[2])
return redis.call('UNLINK', KEYS[1])
