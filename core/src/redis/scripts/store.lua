-- Stores what a writer has written to the source, and ends its hold: if nobody else has held the key or written it since
-- its intent. Else this does nothing, and the writer is to invalidate.
-- KEYS: entry, sequence. ARGV: token of the writer, the number of its intent, the new entry, its life in ms, channel, key,
-- a channel of other programs or nothing.
-- Answers the number of the write in its sequence, or 0 where it was refused.
local header = redis.pcall('GETRANGE', KEYS[1], 0, 111)
if type(header) ~= 'string' or #header ~= 112 or string.sub(header, 1, 3) ~= 'SJ\1' or string.byte(header, 4) ~= 6 then
  return 0
end
local time = redis.call('TIME')
-- One writer, this one, whose time is not over, and the number of its intent: each who comes by leaves another one.
if redis.call('STRLEN', KEYS[1]) ~= 112 or string.sub(header, 89, 104) ~= ARGV[1]
  or struct.unpack('<I8', header, 105) <= time[1] * 1000 + math.floor(time[2] / 1000)
  or struct.unpack('<I8', header, 25) ~= tonumber(ARGV[2]) then
  return 0
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]))
end
local sequence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('SETRANGE', KEYS[1], 24, struct.pack('<I8', sequence))
-- Who may not tell it is found out by the gap in the sequence.
redis.pcall('PUBLISH', ARGV[5], struct.pack('<I8', sequence) .. (ARGV[7] == '' and 'i' or 'p')
  .. struct.pack('<I2', #ARGV[6]) .. ARGV[6])
if ARGV[7] ~= '' then
  redis.pcall('PUBLISH', ARGV[7], ARGV[6])
end
return sequence
