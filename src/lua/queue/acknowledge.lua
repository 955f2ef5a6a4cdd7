-- queue/acknowledge: jobs are done.
--
-- KEYS[1..]   the queue's keys, as queue/jobs names them
-- ARGV[1..]   string  the tickets
--
-- returns for each 1: it is done, and never given again; 0: it was given to another meanwhile, who has it
-- retry: safe
-- uses: jobs
local out, done = {}, {{}, {}, {}}
for i = 1, #ARGV do
  local level, id = string.match(ARGV[i], '^(%d) (%S+)')
  level = tonumber(level)
  if redis.call('ZREM', taken, ARGV[i]) == 1 then
    table.insert(done[level], id)
    out[i] = 1
  else
    -- Of this word's first run, whose answer was lost, nothing is pending; nor where another acknowledged it.
    local pending = redis.pcall('XPENDING', KEYS[level], group, id, id, 1)
    out[i] = not pending.err and #pending == 0 and 1 or 0
  end
end
for level, ids in ipairs(done) do
  if #ids > 0 then finish(level, unpack(ids)) end
end
make_room(#done[1] + #done[2] + #done[3])
return out
