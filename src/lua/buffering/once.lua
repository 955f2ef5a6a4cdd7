-- What was answered to the flush `sequence` before; nil when it is new. A record is the number of the last flush, and
-- behind it why that one was refused, if it was.
local function answer_before(record, sequence)
  local last = redis.pcall('GET', record)
  if type(last) == 'table' then return last end -- WRONGTYPE
  if not last then return nil end
  local number, refusal = string.match(last, '^(%d+) ?(.*)$')
  if not number then return redis.error_reply('ERR the record of flushes is none') end
  if tonumber(number) < tonumber(sequence) then return nil end
  if number == sequence and refusal ~= '' then return {0, refusal} end
  return 1
end

-- Writes down that the flush was applied, before it is: what is denied here (OOM, READONLY) has changed nothing.
local function note(record, sequence, memory)
  local noted = redis.pcall('SET', record, sequence, 'PX', memory)
  return noted.err and noted or nil
end

-- The opposite, so that no late copy of it is applied when the reason is gone.
local function refuse(record, sequence, memory, fault)
  redis.call('SET', record, sequence .. ' ' .. fault.err, 'PX', memory)
  return {0, fault.err}
end
