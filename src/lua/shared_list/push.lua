-- shared_list/push: put elements at an end of a list that holds so many at most.
--
-- KEYS[1]  list   list
-- ARGV[1]  most   integer of elements, > 0
-- ARGV[2]  front  integer 1 to put them before the first, 0 after the last
-- ARGV[3]  full   integer what gives way in a full list: 1 those at the other end, 0 nothing, then none is put there
-- ARGV[4..]       string  the elements, in the order in which they go there; at most 7,000
--
-- returns {size}        of the list, with them
-- returns {size, none}  it is full: nothing was put there
local list, most, front, gives_way = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3] == '1'

local size = redis.pcall('LLEN', list)
if type(size) == 'table' then return size end -- an error, in the server's own words
if not gives_way and size + #ARGV - 3 > most then return {size, 0} end
if front then
  size = redis.pcall('LPUSH', list, unpack(ARGV, 4))
else
  size = redis.pcall('RPUSH', list, unpack(ARGV, 4))
end
if type(size) == 'table' then return size end
if size > most then
  if front then
    redis.call('LTRIM', list, 0, most - 1)
  else
    redis.call('LTRIM', list, -most, -1)
  end
end
return {math.min(size, most)}
