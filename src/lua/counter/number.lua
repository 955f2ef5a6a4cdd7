-- Numbers are compared as texts, of which the server takes each in its one shortest form only: one that went through
-- Lua would be exact up to 2^53.

-- Whether a <= b.
local function at_most(a, b)
  local negative = string.sub(a, 1, 1) == '-'
  if negative ~= (string.sub(b, 1, 1) == '-') then return negative end
  if negative then a, b = b, a end
  return #a < #b or (#a == #b and a <= b)
end

-- Whether the server would take it for a number of 64 bits.
local function is_number(text)
  if text ~= '0' and not string.match(text, '^%-?[1-9]%d*$') then return false end
  return at_most('-9223372036854775808', text) and at_most(text, '9223372036854775807')
end

