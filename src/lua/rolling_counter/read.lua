-- rolling_counter/read: the server's time and the texts of some keys, all of one moment.
--
-- KEYS[1..]  count, :start and, where they are wanted, :last, :pstart   strings, any may be absent
--
-- returns {seconds, microseconds, text or nil of each key}   strings; the time as TIME gives it
-- returns an error when a key is of another type
--
-- Reads only.
-- retry: safe
local answer = redis.call('TIME')
for i = 1, #KEYS do
  local text = redis.pcall('GET', KEYS[i])
  if type(text) == 'table' then
    return text
  end
  answer[2 + i] = text
end
return answer
