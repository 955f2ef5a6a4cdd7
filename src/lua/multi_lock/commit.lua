-- multi_lock/commit: run commands, all in one go, while all the locks are held by this token, and not otherwise.
--
-- KEYS[1]   state  hash     of the first name, see lock/commit
-- KEYS[2..] locks  strings  the holder's token
-- ARGV[1]  token  string  as given to acquire
-- ARGV[2]  number integer of this commit, greater than those of the token's before
-- ARGV[3..]       string  for each command the number of its words, then the words; at most 7,000 words each
--
-- returns as lock/commit
-- retry: safe
-- beyond: KEYS, in the words of the commands: only their caller knows which of them are keys
-- uses: lock/run_all
local state = KEYS[1]
local token, number = ARGV[1], ARGV[2]

-- First: what was done is not done twice, whoever holds the locks by now.
local known = redis.call('HMGET', state, 'committer', 'commit')
local answer = known[1] == token and known_answer(known[2], number)
if answer then return answer end
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) ~= token then return {0} end
end
local out, record = run_all(number, ARGV, 3)
if record then redis.call('HSET', state, 'committer', token, 'commit', record) end
return out
