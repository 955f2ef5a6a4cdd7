-- lock/run_all: what the scripts that commit have in common; no script of its own.

-- What came of the commit with that number, where it was run before: asked again because its answer was lost. A copy
-- that comes late, after another commit of the same holder, is not run, and nobody waits for its answer.
local function known_answer(record, number)
  local known, code, answer = string.match(record or '', '^(%d+) (%d) (.*)$')
  if not known or tonumber(known) < tonumber(number) then return nil end
  if known == number then return {tonumber(code), answer} end
  return {0}
end

-- Runs the commands in `words`, from the one at `at` on: the answer, and what is to be known of it if anything was
-- applied.
local function run_all(number, words, at)
  local applied, refused, reply = 0, nil, ''
  while at <= #words do
    local count = tonumber(words[at])
    local answer = redis.pcall(unpack(words, at + 1, at + count))
    local kind = type(answer)
    if kind == 'table' and answer.err then
      if applied == 0 then return {2, answer.err}, nil end
      refused = refused or answer.err
    else
      applied = applied + 1
      reply = kind == 'table' and (answer.ok or '') or kind == 'boolean' and '' or answer
    end
    at = at + count + 1
  end
  local out = refused and {3, refused} or {1, reply}
  return out, number .. ' ' .. out[1] .. ' ' .. out[2]
end
