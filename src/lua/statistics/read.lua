-- statistics/read: the server's time and some hashes, all of one moment.
--
-- KEYS[1..]  hashes   any may be absent
--
-- returns {seconds, hash, ...}   strings; of each hash its fields and values in turn
-- returns an error when a key is of another type
--
-- Reads only.
-- retry: safe
local answer = {redis.call('TIME')[1]}
for i = 1, #KEYS do
  local hash = redis.pcall('HGETALL', KEYS[i])
  if hash.err then return hash end
  answer[1 + i] = hash
end
return answer
