-- counter/compare_exchange: set the number if it is the expected one.
--
-- KEYS[1]  number    string  decimal text; absent is 0
-- ARGV[1]  expected  string  decimal text
-- ARGV[2]  desired   string  decimal text
--
-- returns 1          set
-- returns 0          it is another, or the key holds no number; not set
--
-- Texts are compared: the server takes no number but in its one shortest form.
-- Not to be repeated: the second run would find `desired`.
local now = redis.pcall('GET', KEYS[1])
if type(now) == 'table' then
  return now
end
if (now or '0') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
