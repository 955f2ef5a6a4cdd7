-- buffered_counter/read: the number, and which flushes are in it, all of one moment.
--
-- KEYS[1..]  number, and records of flushes   strings, any may be absent
--
-- returns {text or nil of each key}
-- returns an error when a key is of another type
--
-- Reads only.
-- retry: safe
local answer = {}
for i = 1, #KEYS do
  local text = redis.pcall('GET', KEYS[i])
  if type(text) == 'table' then return text end
  answer[i] = text
end
return answer
