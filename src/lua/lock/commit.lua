-- lock/commit: run commands, all in one go, while the lock is held by this token, and not otherwise.
--
-- KEYS[1]  lock   string  the holder's token
-- KEYS[2]  state  hash    see lock/acquire; commit: the number of the last one and what came of it
-- ARGV[1]  token  string  as given to acquire
-- ARGV[2]  number string  of this commit, unique to it
-- ARGV[3..]       string  for each command the number of its words, then the words; at most 7,000 words each
--
-- returns {1, reply}  applied; of the last command, where it is a number or a text, else ''
-- returns {0}         not held: nothing was applied
-- returns {2, error}  the first command was refused: nothing was applied
-- returns {3, error}  a later one was refused; the others were applied, as EXEC does it
-- retry: safe
-- beyond: KEYS, in the words of the commands: only their caller knows which of them are keys
local lock, state = KEYS[1], KEYS[2]
local token, number = ARGV[1], ARGV[2]

-- Asked again because its answer was lost: what was done is not done twice, whoever holds the lock by now.
local known, code, before = string.match(redis.call('HGET', state, 'commit') or '', '^(%S+) (%d) (.*)$')
if known == number then return {tonumber(code), before} end
if redis.call('GET', lock) ~= token then return {0} end

local applied, refused, reply = 0, nil, ''
local at = 3
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  local answer = redis.pcall(unpack(ARGV, at + 1, at + words))
  local kind = type(answer)
  if kind == 'table' and answer.err then
    if applied == 0 then return {2, answer.err} end
    refused = refused or answer.err
  else
    applied = applied + 1
    reply = kind == 'table' and (answer.ok or '') or kind == 'boolean' and '' or answer
  end
  at = at + words + 1
end
local out = refused and {3, refused} or {1, reply}
redis.call('HSET', state, 'commit', number .. ' ' .. out[1] .. ' ' .. out[2])
return out
