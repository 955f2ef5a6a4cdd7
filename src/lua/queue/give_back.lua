-- queue/give_back: a job was not done: give it to somebody later, or put it among the dead letters.
--
-- KEYS[1..]        the queue's keys, as queue/jobs names them
-- ARGV[1]  ticket  string
-- ARGV[2]  delay   integer milliseconds until it is given to another
-- ARGV[3]  most    integer of deliveries after which it is a dead letter, 0: at once; -1: nobody has looked at it, so
--                  that this delivery does not count
-- ARGV[4]  why     string
--
-- returns 1  it will be given again
-- returns 2  it is a dead letter
-- returns 0  it was given to another meanwhile, or is done
--
-- Not to be repeated: the second run would find nothing to do, and say so.
-- uses: jobs
local ticket, wait, most, why = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local now = clock()
local level, id, delivery = string.match(ticket, '^(%d) (%S+) (%d+)$')
level, delivery = tonumber(level), tonumber(delivery)
if not redis.call('ZSCORE', taken, ticket) then return 0 end
if most == -1 or delivery < most then
  local ends = now + wait * 1000
  take_back(level, id, delivery, most == -1 and delivery - 1 or delivery, ends)
  hand_out()
  wake_first()
  return 1
end
local entry = redis.call('XRANGE', KEYS[level], id, id)[1]
if entry then bury(level, id, fields_of(id, entry[2]), delivery, why) end
redis.call('ZREM', taken, ticket)
return 2
