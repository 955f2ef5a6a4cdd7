-- shared_map/erase: erase entries.
--
-- KEYS[1]   map     hash
-- KEYS[2]   ends    zset    see shared_map/set
-- ARGV[1..] fields  string  at most 7,000
--
-- returns how many there were; those that had ended are not counted
-- uses: entry
local map, ends = KEYS[1], KEYS[2]
local known = redis.pcall('EXISTS', ends)
if known ~= 1 then return redis.pcall('HDEL', map, unpack(ARGV)) end
local size = redis.pcall('HLEN', map)
if type(size) == 'table' then return size end -- WRONGTYPE
local erased = 0
for i = 1, #ARGV do
  local field = ARGV[i]
  local ended = redis.call('ZSCORE', ends, field) and not value_of(redis.call('HGET', map, field))
  local done = redis.pcall('HDEL', map, field)
  if type(done) == 'table' then return done end
  if not ended then erased = erased + done end
  redis.pcall('ZREM', ends, field)
end
if redis.call('EXISTS', map) == 0 then redis.pcall('UNLINK', ends) end
return erased
