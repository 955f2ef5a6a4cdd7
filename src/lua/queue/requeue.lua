-- queue/requeue: dead letters are jobs again, as if they had never been given to anybody.
--
-- KEYS[1..]   the queue's keys, as queue/jobs names them
-- ARGV[1..]   string  their ids among the dead letters
--
-- returns how many there were
--
-- Not to be repeated: the second run finds none, and says so.
-- uses: jobs
local count = 0
for i = 1, #ARGV do
  local letter = redis.call('XRANGE', dead, ARGV[i], ARGV[i])[1]
  if letter then
    local fields = {}
    for at = 1, #letter[2], 2 do fields[letter[2][at]] = letter[2][at + 1] end
    local added = add(tonumber(fields.priority), fields.job, fields.id, fields.at)
    if added.err then return added end
    redis.call('XDEL', dead, ARGV[i])
    count = count + 1
  end
end
hand_out()
return count
