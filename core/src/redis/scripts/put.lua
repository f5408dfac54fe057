-- Stores a value that was written, not loaded: it voids the lease of whoever loads the key, and tells all.
-- KEYS: entry, sequence. ARGV: the new entry, its life in ms, channel, key,
-- a channel of other programs or nothing.
-- Answers the number of the write in its sequence; below zero where a writer holds the key, so that nothing was stored.
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]))
end
local sequence = redis.call('INCR', KEYS[2])
-- An error, where it is no string: that is overwritten.
local header = redis.pcall('GETRANGE', KEYS[1], 0, 87)
local held = type(header) == 'string' and #header == 88 and string.sub(header, 1, 3) == 'SJ\1' and string.byte(header, 4) == 6
  and struct.unpack('<I8', header, 33) > time[1] * 1000 + math.floor(time[2] / 1000)
-- A writer is between its intent and its invalidation: nobody knows which of the two values is the newer one. The number
-- tells that writer of this one.
if not held then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
redis.call('SETRANGE', KEYS[1], 24, struct.pack('<I8', sequence))
-- Who may not tell it is found out by the gap in the sequence.
redis.pcall('PUBLISH', ARGV[3], struct.pack('<I8', sequence) .. (ARGV[5] == '' and 'i' or 'p')
  .. struct.pack('<I2', #ARGV[4]) .. ARGV[4])
if ARGV[5] ~= '' then
  redis.pcall('PUBLISH', ARGV[5], ARGV[4])
end
return held and -sequence or sequence
