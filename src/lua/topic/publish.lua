-- topic/publish: keep a message, and tell it to all that listen.
--
-- KEYS[1]  history  stream   entries of one field, "birth n": when this history began, in microseconds of the server's
--                            clock, and the number of the message, from 1 on; its value is the message
-- ARGV[1]  channel  string   where those listen who want no history
-- ARGV[2]  most     integer  so many are kept, > 0
-- ARGV[3]  message  string
-- ARGV[4]  told     string   the channel where those of the history listen
--
-- returns {count}   of connections that were told
-- returns an error  nothing was done
--
-- tells   the message, at `channel`; "<id> <birth> <n>\n" and the message, at `told`
local history, channel, message, told = KEYS[1], ARGV[1], ARGV[3], ARGV[4]

local last = redis.pcall('XREVRANGE', history, '+', '-', 'COUNT', 1)
if last.err then return last end -- WRONGTYPE
local knows, check = pcall(function() return redis.acl_check_cmd end)
if knows and check and not (check('PUBLISH', channel, '') and check('PUBLISH', told, '')) then
  return redis.error_reply('NOPERM this user may not publish at the channels of the topic')
end

local birth, n
if last[1] then birth, n = string.match(last[1][2][1], '^(%d+) (%d+)$') end
if not birth or #birth > 16 or #n > 15 then -- none, or a stranger's, whose numbers are too large to go on from
  local time = redis.call('TIME')
  birth, n = string.format('%.0f', time[1] * 1000000 + time[2]), 0
end
local field = birth .. ' ' .. string.format('%.0f', n + 1)
local id = redis.pcall('XADD', history, 'MAXLEN', ARGV[2], '*', field, message)
if type(id) == 'table' and id.err then return id end
local count = redis.call('PUBLISH', told, id .. ' ' .. field .. '\n' .. message)
return {count + redis.call('PUBLISH', channel, message)}
