-- counter/add_within: add to the number if it lies in a range.
--
-- KEYS[1]  number  string  decimal text; absent is 0
-- ARGV[1]  n       string  decimal text
-- ARGV[2]  from    string  decimal text: the lowest number that is added to
-- ARGV[3]  to      string  decimal text: the highest; every number from `from` on bears the adding of n
--
-- returns {1, old}  added; what it was, decimal text
-- returns {0, old}  not added
-- returns an error, and changes nothing, when the key holds no number
--
-- Not to be repeated: the second run would add again.
-- uses: number
local number = KEYS[1]
local old = redis.pcall('GET', number) or '0'
if type(old) == 'table' then return old end
if not is_number(old) then return redis.error_reply('ERR value is not an integer or out of range') end
if not (at_most(ARGV[2], old) and at_most(old, ARGV[3])) then return {0, old} end
local done = redis.pcall('INCRBY', number, ARGV[1])
if type(done) == 'table' then return done end
return {1, old}
