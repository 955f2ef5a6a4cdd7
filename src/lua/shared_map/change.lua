-- shared_map/change: store and erase entries, all in one go, if those that were read still are what was read.
--
-- KEYS[1]   map    hash
-- KEYS[2]   ends   zset     fields that were given an end, by it; see shared_map/set
-- ARGV[1]   known  integer  how many entries were read
-- ARGV[2..] words  string   for each of these three: field; had, 1 when it was there, else 0; expected, what it was, to
--                           the byte. Then for each change four: field; what, 0 to erase, 1 to store, 2 to store what
--                           was read and leave its end as it is; milliseconds until it ends, 0 for never; the value
--
-- returns {1}         done
-- returns {0}         nothing was done: the first entry that is not what it was is not there now
-- returns {0, value}  nothing was done: it is value now
-- returns an error    nothing was done
-- uses: entry
local map, ends = KEYS[1], KEYS[2]
local size = redis.pcall('HLEN', map)
if type(size) == 'table' then return size end -- WRONGTYPE
local known = 3 * tonumber(ARGV[1]) + 1
local ends_at = {} -- of those that were read
for i = 2, known, 3 do
  local value, at = value_of(redis.call('HGET', map, ARGV[i]))
  ends_at[ARGV[i]] = value and at
  if ARGV[i + 1] == '1' and value ~= ARGV[i + 2] or ARGV[i + 1] == '0' and value then
    return value and {0, value} or {0}
  end
end

-- What is denied shall be denied before anything is done: of an error in the middle the rest could not be undone.
local erases, stores, ending = false, false, false
for i = known + 1, #ARGV, 4 do
  erases = erases or ARGV[i + 1] == '0'
  stores = stores or ARGV[i + 1] ~= '0'
  ending = ending or ARGV[i + 2] ~= '0'
end
local told, check = pcall(function() return redis.acl_check_cmd end)
if told and check and #ARGV > known + 4 then
  if erases and not check('HDEL', map, 'x') or stores and not check('HSET', map, 'x', 'x') or
    ending and not check('ZADD', ends, '0', 'x') then
    return redis.error_reply('NOPERM this user may not do all of it')
  end
end
local noted = ending and redis.pcall('ZCARD', ends)
if type(noted) == 'table' then return noted end

for i = known + 1, #ARGV, 4 do
  local field, what, ttl = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local fault
  if what == '0' then
    local done = redis.pcall('HDEL', map, field)
    fault = type(done) == 'table' and done
    redis.pcall('ZREM', ends, field)
  else
    local at = ttl ~= '0' and string.format('%.0f', clock() + ttl) or what == '2' and end_of(map, ends, field, ends_at[field]) or nil
    fault = store(map, ends, field, ARGV[i + 3], at)
  end
  if fault then return fault end
end
if ending then sweep(map, ends, 16) end
return {1}
