-- cached_map/change: store or erase an entry, and tell everybody who keeps it.
--
-- KEYS[1]  map        hash
-- KEYS[2]  ends       zset     see shared_map/set
-- KEYS[3]  changes    integer  how many changes were told; the channel tandem:<this key> is where
-- ARGV[1]  writer     string   who changes it, without spaces
-- ARGV[2]  field      string
-- ARGV[3]  condition  string   'always', 'absent', or 'equal': if it is `expected`
-- ARGV[4]  expected   string
-- ARGV[5]  what       integer  0 to erase, 1 to store, 2 to store and leave the end as it is
-- ARGV[6]  ttl        integer  milliseconds until it ends, 0 for never
-- ARGV[7]  value      string
-- ARGV[8]  carried    integer  of how many bytes field and values are told at most
--
-- returns {1, had, n, left}  done, or erased what was not there (n is 0 then, and nothing is told): whether there was an
--                            entry, the number of this change, the milliseconds until it ends, -1 for never
-- returns {0, 1, value}      nothing was done: it is value
-- returns {0, 0}             nothing was done: there is none
-- returns an error           nothing was done
--
-- tells   "<writer> <n> <left> <size of field> <of what was there, or -> <of what is, or ->\n" and these bytes, one after
--         the other; with + for a size that there is, and without the bytes of both, where they are too many
--
-- `changes` is counted before the map is touched: who is told by the server that both have changed, in this order, knows
-- that it was done here. The keys are read once more at the end, so that whoever sends this is told of the next change.
-- uses: shared_map/entry
local map, ends, changes, field = KEYS[1], KEYS[2], KEYS[3], ARGV[2]
local stored = redis.pcall('HGET', map, field)
if type(stored) == 'table' then return stored end -- WRONGTYPE
local before, at = value_of(stored)
if ARGV[3] == 'absent' and before or ARGV[3] == 'equal' and before ~= ARGV[4] then
  return before and {0, 1, before} or {0, 0}
end
local had = before and 1 or 0
if ARGV[5] == '0' and not stored then return {1, 0, 0, -1} end
local channel = 'tandem:' .. changes
local told, check = pcall(function() return redis.acl_check_cmd end)
if told and check and not check('PUBLISH', channel, '') then
  return redis.error_reply('NOPERM this user may not tell what it changes')
end

-- Before anything is changed: an `ends` that is no sorted set ends the script here.
local ending = ARGV[5] ~= '0' and (ARGV[6] ~= '0' and string.format('%.0f', clock() + ARGV[6]) or
  ARGV[5] == '2' and end_of(map, ends, field, before and at)) or nil
local n = redis.pcall('INCRBY', changes, 1)
if type(n) == 'table' then return n end
local fault
if ARGV[5] == '0' then
  local done = redis.pcall('HDEL', map, field)
  fault = type(done) == 'table' and done
  if not fault then redis.pcall('ZREM', ends, field) end
else
  fault = store(map, ends, field, ARGV[7], ending)
end
if fault then
  redis.call('DECRBY', changes, 1)
  return fault
end
if ending then sweep(map, ends, 16) end

local left = ending and math.max(ending - clock(), 0) or -1
local now = ARGV[5] ~= '0' and ARGV[7] or nil
local function told_size(value) return value and string.format('%d', #value) or '-' end
local text
if #field + #(before or '') + #(now or '') <= tonumber(ARGV[8]) then
  text = string.format('%s %.0f %.0f %d %s %s\n', ARGV[1], n, left, #field, told_size(before), told_size(now)) .. field ..
    (before or '') .. (now or '')
else
  text = string.format('%s %.0f %.0f %d %s %s\n', ARGV[1], n, left, #field, before and '+' or '-', now and '+' or '-') ..
    field
end
redis.call('HEXISTS', map, field)
redis.call('GET', changes)
redis.call('PUBLISH', channel, text)
return {1, had, n, left}
