-- permits/commit: run commands, all in one go, while this token holds, and not otherwise.
--
-- KEYS[1]  holders zset   see permits/acquire
-- KEYS[2]  state   hash   see permits/acquire
-- ARGV[1]  token   string as given to acquire
-- ARGV[2]  number  integer of this commit, greater than those of the token's before
-- ARGV[3..]        string for each command the number of its words, then the words; at most 7,000 words each
--
-- returns as lock/commit
-- retry: safe
-- beyond: KEYS, in the words of the commands: only their caller knows which of them are keys
-- uses: lock/run_all
local holders, state = KEYS[1], KEYS[2]
local token, number = ARGV[1], ARGV[2]

local ends = redis.pcall('ZSCORE', holders, token)
if type(ends) == 'table' then return ends end -- WRONGTYPE: raised, it would lose its code before Redis 7
local field = 'commit ' .. token
local answer = known_answer(redis.call('HGET', state, field), number)
if answer then return answer end
local time = redis.call('TIME')
if not ends or tonumber(ends) <= time[1] * 1000000 + time[2] then return {0} end
local out, record = run_all(number, ARGV, 3)
if record then redis.call('HSET', state, field, record) end
return out
