-- permits/acquire: take a permit, or all there are, or join the queue; asked again, renew the holder's lease or keep the
-- waiter's place.
--
-- KEYS[1]  holders  zset    tokens, by the microsecond of the server's clock when the lease ends
-- KEYS[2]  waiters  zset    tokens in the order in which they are served, by the microsecond
-- KEYS[3]  state    hash    fence, limit; of each holder its fence and its last commit; never expires: fences must grow
-- ARGV[1]  token    string  unique to this acquisition; says whether it shares, see permits/hand_out
-- ARGV[2]  lease    integer milliseconds, > 0
-- ARGV[3]  join     integer 1 to wait in the queue, 0 only to try
-- ARGV[4]  grant    integer milliseconds that a waiter has to take up a grant, > 0
-- ARGV[5]  ahead    integer milliseconds, >= 0: it is served before those who have waited for less
-- ARGV[6]  limit    integer of those who share, where none is known yet; 0: none
--
-- returns {1, fence, limit}        held by this token for a whole lease from now; of how many, 0 for no limit
-- returns {0, left, leads, owner, limit, fence, owner, ...}
--                                  not held: milliseconds until it is worth asking again, whether this token is first
--                                  in the queue (1 or 0), the last fence as lock/acquire says it, and who holds: of those
--                                  whose leases end first a few
-- retry: safe
-- uses: hand_out
local holders, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local token, lease, join, grant, ahead, limit = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5], tonumber(ARGV[6])

-- How many of the holders are named: whoever leads the queue watches them.
local named = 16

local size = redis.pcall('ZCARD', holders)
if type(size) == 'table' then return size end -- WRONGTYPE: raised, it would lose its code before Redis 7
local now = clock()
local known = redis.call('HMGET', state, 'limit', token)
if known[1] then
  limit = tonumber(known[1])
elseif limit > 0 then
  redis.call('HSET', state, 'limit', limit)
end

if size > 0 and holds(holders, token, now) then
  redis.call('ZADD', holders, now + lease * 1000, token)
  return {1, known[2] and tonumber(known[2]) or take(holders, state, token, lease, now), limit}
end

-- Nobody barges: who came first gets it, who asks joins the end.
local first = first_of(waiters)
if first and first ~= token then
  hand_out(holders, waiters, state, grant, now)
  first = first_of(waiters)
end
if (not first or first == token) and fits(holders, state, token, now) then
  local fence = take(holders, state, token, lease, now)
  if first then
    redis.call('ZREM', waiters, token)
    hand_out(holders, waiters, state, grant, now, true)
  end
  return {1, fence, limit}
end

local queued = redis.call('ZSCORE', waiters, token)
if join and not queued then
  local last = redis.call('ZRANGE', waiters, -1, -1, 'WITHSCORES')[2]
  local score = math.max((last or 0) + 1, now) - ahead * 1000
  redis.call('ZADD', waiters, string.format('%.0f', score), token)
end
local owners = redis.call('ZRANGEBYSCORE', holders, after(now), '+inf', 'WITHSCORES', 'LIMIT', 0, named)
local left = owners[2] and math.ceil((owners[2] - now) / 1000) or 0
if queued and first ~= token then
  -- The first looks out for all of them: who comes to look after its place makes sure that it lives.
  while first and tell(first, 'lead ' .. left .. ' ' .. first .. ' ') == 0 do
    redis.call('ZREM', waiters, first)
    first = first_of(waiters)
  end
end
local last = redis.call('HGET', state, 'fence') or '0'
local out = {0, left, first_of(waiters) == token and 1 or 0, owners[1] or '', limit, last}
for i = 3, #owners, 2 do out[#out + 1] = owners[i] end
return out
