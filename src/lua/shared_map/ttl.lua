-- shared_map/ttl: how long an entry has.
--
-- KEYS[1]  map    hash
-- KEYS[2]  ends   zset    see shared_map/set
-- ARGV[1]  field  string
--
-- returns n   milliseconds until it ends
-- returns -1  it has no end, or there is none
--
-- Reads only.
-- retry: safe
-- uses: entry
local map, ends, field = KEYS[1], KEYS[2], ARGV[1]
local known = redis.pcall('HPTTL', map, 'FIELDS', 1, field)
if type(known) == 'table' and not does_not_know(known) then
  if known.err then return known end
  if type(known[1]) == 'number' and known[1] >= 0 then return known[1] end
end
local stored = redis.pcall('HGET', map, field)
if type(stored) == 'table' then return stored end -- WRONGTYPE
local value, at = value_of(stored)
return value and at and at - clock() or -1
