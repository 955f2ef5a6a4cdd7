-- queue/extend: jobs are held for longer.
--
-- KEYS[1..]            the queue's keys, as queue/jobs names them
-- ARGV[1]  visibility  integer milliseconds from now, > 0
-- ARGV[2..]            string  the tickets
--
-- returns for each 1: it is; 0: it was given to another meanwhile, or is done
-- retry: safe
-- uses: jobs
local ends, out = text(clock() + ARGV[1] * 1000), {}
for i = 2, #ARGV do
  out[i - 1] = redis.call('ZREM', taken, ARGV[i])
  if out[i - 1] == 1 then redis.call('ZADD', taken, ends, ARGV[i]) end
end
return out
