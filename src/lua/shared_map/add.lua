-- shared_map/add: add to a number whose end lies in the field, where HINCRBY finds no number.
--
-- KEYS[1]  map    hash
-- KEYS[2]  ends   zset    see shared_map/set
-- ARGV[1]  field  string
-- ARGV[2]  n      string  decimal text
--
-- returns the sum, decimal text, with the end it had; what has ended is 0, and has none any more
-- returns an error, and adds nothing, where something else lies there
-- uses: entry
local map, ends = KEYS[1], KEYS[2]
local field, n = ARGV[1], ARGV[2]
local stored = redis.pcall('HGET', map, field)
if type(stored) == 'table' then return stored end -- WRONGTYPE
local value, at = value_of(stored)
if at then
  local done = redis.pcall('HSET', map, field, value or '0')
  if type(done) == 'table' then return done end
end
local sum = redis.pcall('HINCRBY', map, field, n)
if type(sum) == 'table' then
  if at then redis.call('HSET', map, field, stored) end
  return sum
end
sum = redis.call('HGET', map, field) -- as text: numbers that went through Lua are exact up to 2^53 only
if value and at then
  redis.call('HSET', map, field, mark .. at .. ' ' .. sum)
else
  redis.pcall('ZREM', ends, field)
end
return sum
