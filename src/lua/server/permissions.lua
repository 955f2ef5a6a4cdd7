-- server/permissions: which commands this user may not run.
--
-- ARGV[1]    key       on which; it is not touched
-- ARGV[2..]  commands  whole ones, their words separated by spaces, KEY for the key; behind a ? those that the server
--                      need not know
--
-- returns    denied    those of them that are forbidden, or unknown to the server
-- returns an error where the server has no way to tell (before Redis 7)
--
-- retry: safe
local told, check = pcall(function() return redis.acl_check_cmd end)
if not (told and check) then
  return redis.error_reply('ERR permissions cannot be checked before Redis 7')
end
local denied = {}
for i = 2, #ARGV do
  local command = ARGV[i]
  local words = {}
  local optional, rest = string.match(command, '^(%??)(.*)$')
  for word in string.gmatch(rest, '%S+') do
    words[#words + 1] = word == 'KEY' and ARGV[1] or word
  end
  local known, allowed = pcall(check, unpack(words))
  if not (known and allowed) and (known or optional == '') then
    denied[#denied + 1] = command
  end
end
return denied
