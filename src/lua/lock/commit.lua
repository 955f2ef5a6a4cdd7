-- lock/commit: run commands, all in one go, while the lock is held by this token, and not otherwise.
--
-- KEYS[1]  lock   string  the holder's token
-- KEYS[2]  state  hash    see lock/acquire; committer and commit: of the last one the token, its number and what came
--                         of it
-- ARGV[1]  token  string  as given to acquire
-- ARGV[2]  number integer of this commit, greater than those of the token's before
-- ARGV[3..]       string  for each command the number of its words, then the words; at most 7,000 words each
--
-- returns {1, reply}  applied; of the last command, where it is a number or a text, else ''
-- returns {0}         not held: nothing was applied
-- returns {2, error}  the first command was refused: nothing was applied
-- returns {3, error}  a later one was refused; the others were applied, as EXEC does it
-- retry: safe
-- beyond: KEYS, in the words of the commands: only their caller knows which of them are keys
-- uses: run_all
local lock, state = KEYS[1], KEYS[2]
local token, number = ARGV[1], ARGV[2]

-- First: what was done is not done twice, whoever holds the lock by now.
local known = redis.call('HMGET', state, 'committer', 'commit')
local answer = known[1] == token and known_answer(known[2], number)
if answer then return answer end
if redis.call('GET', lock) ~= token then return {0} end
local out, record = run_all(number, ARGV, 3)
if record then redis.call('HSET', state, 'committer', token, 'commit', record) end
return out
