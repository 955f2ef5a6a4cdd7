-- buffered_counter/flush: add to the number what a client has gathered, once, however often it is asked.
--
-- KEYS[1]  number    string   decimal text; absent is 0
-- KEYS[2]  record    string   of this client's flushes of this number: the last one; expires
-- ARGV[1]  sequence  integer  of the flush, from 1 on, growing
-- ARGV[2]  memory    integer  milliseconds for which the record is kept, > 0
-- ARGV[3]  amount    integer
--
-- returns 1          added, now or before
-- returns {0, text}  refused for good, and nothing was added: the key holds no number, or it would overflow
-- returns an error   and nothing was added now: what is denied may be asked again
-- retry: safe
-- uses: buffering/once
local number, record = KEYS[1], KEYS[2]
local before = answer_before(record, ARGV[1])
if before then return before end
local denied = note(record, ARGV[1], ARGV[2])
if denied then return denied end
local now = redis.pcall('INCRBY', number, ARGV[3])
if type(now) == 'table' then return refuse(record, ARGV[1], ARGV[2], now) end
return 1
