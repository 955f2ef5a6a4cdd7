-- lock/release: give the lock back and hand it to the first waiter, or leave the queue.
--
-- KEYS[1]  lock     string  the holder's token
-- KEYS[2]  waiters  zset    tokens in the order in which they came
-- KEYS[3]  state    hash    see lock/acquire
-- ARGV[1]  token    string  as given to acquire
-- ARGV[2]  grant    integer milliseconds that a waiter has to take up a grant, > 0
-- ARGV[3]  fence    integer of the hold that ends; 0 from a waiter, who has none yet
-- ARGV[4]  run      integer hand-offs in a row after which the key is left free once, for strangers; 0: never
-- ARGV[5]  moment   integer milliseconds for which it is left free
--
-- returns 1  released by this call, or by an earlier one for the same fence
-- returns 0  this token holds nothing, and nobody else does
-- returns 2  this token holds nothing, somebody else does
-- retry: safe
-- uses: hand_over
local lock, waiters, state = KEYS[1], KEYS[2], KEYS[3]
local token, grant, fence, run, moment = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
return give_back(lock, waiters, state, token, grant, fence, run, moment)
