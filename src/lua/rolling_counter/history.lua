-- rolling_counter/history: what rolling_counter/read says, and the newest periods that were kept, all of one moment.
--
-- KEYS[1]   history  zset    see rolling_counter/remember
-- KEYS[2..]          strings count, :start, :last, :pstart; any may be absent
-- ARGV[1]   most     integer periods that are wanted, > 0
--
-- returns {seconds, microseconds, text or nil of each string, {"start count", ...}}  the newest last
-- returns an error when a key is of another type
--
-- Reads only.
-- retry: safe
local kept = redis.pcall('ZRANGE', KEYS[1], -tonumber(ARGV[1]), -1)
if kept.err then return kept end
local answer = redis.call('TIME')
for i = 2, #KEYS do
  local text = redis.pcall('GET', KEYS[i])
  if type(text) == 'table' then return text end
  answer[1 + i] = text
end
answer[2 + #KEYS] = kept
return answer
