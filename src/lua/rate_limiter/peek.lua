-- rate_limiter/peek: how many permits there are.
--
-- KEYS[1]  taken  string  see rate_limiter/take
-- ARGV[1]  rate   integer see rate_limiter/take
-- ARGV[2]  per    integer see rate_limiter/take
-- ARGV[3]  burst  integer see rate_limiter/take
--
-- returns n
--
-- Reads only.
-- retry: safe
-- uses: bucket
local taken = KEYS[1]
local now, debt, rest = look(taken)
if not now then return debt end
return available(debt, rest)
