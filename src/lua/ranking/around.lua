-- ranking/around: who stands around a member.
--
-- KEYS[1]  ranking  zset
-- ARGV[1]  member   string
-- ARGV[2]  above    integer of those with a better rank, at most; >= 0
-- ARGV[3]  below    integer of those with a worse one, at most; >= 0
--
-- returns {}                                    it is not there
-- returns {rank, member, score, member, score...}  the rank of the first of them, 0 is the best
local rank = redis.pcall('ZREVRANK', KEYS[1], ARGV[1])
if type(rank) == 'table' then return rank end -- an error, in the server's own words
if not rank then return {} end
local first = math.max(0, rank - ARGV[2])
local out = redis.call('ZREVRANGE', KEYS[1], first, rank + ARGV[3], 'WITHSCORES')
table.insert(out, 1, first)
return out
