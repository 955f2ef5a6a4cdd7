-- multi_lock/release: give several locks back and hand each to its first waiter, or leave the queue of one.
--
-- KEYS[1..]  of each name its lock, waiters and state, as in lock/acquire
-- ARGV[1]  token    string  as given to acquire
-- ARGV[2]  grant    integer milliseconds that a waiter has to take up a grant, > 0
-- ARGV[3]  fence    integer of the hold that ends; 0 from a waiter, who has none yet
--
-- returns as lock/release, the worst of what it says of each: 2, else 0, else 1. Where a key is of another type the
--         others are given back, and the answer is that error
-- retry: safe
-- uses: lock/hand_over
local worst, refusal = 1, nil
for i = 1, #KEYS, 3 do
  local lock, waiters, state = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local found = give_back(lock, waiters, state, ARGV[1], ARGV[2], ARGV[3], 0, 0)
  if type(found) == 'table' then
    refusal = found
  elseif found ~= 1 and worst ~= 2 then
    worst = found
  end
end
return refusal or worst
