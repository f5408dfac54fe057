-- Invalidates keys: it voids the leases of those who load them, and tells all.
-- KEYS: sequence, entries. ARGV: channel, the length of what stands before the key in the name of an entry, a channel
-- of other programs or nothing.
-- Answers the number of the invalidation in its sequence.
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]))
end
local sequence = redis.call('INCR', KEYS[1])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local message, keys = {struct.pack('<I8', sequence), ARGV[3] == '' and 'i' or 'p'}, {}
for at = 2, #KEYS do
  -- An error, where it is no string: that goes as well.
  local header = redis.pcall('GETRANGE', KEYS[at], 0, 87)
  local held = type(header) == 'string' and #header == 88 and string.sub(header, 1, 3) == 'SJ\1'
    and string.byte(header, 4) == 6 and struct.unpack('<I8', header, 33) > now
  if held then
    -- For its writers: what they write may be older than this.
    redis.call('SETRANGE', KEYS[at], 24, struct.pack('<I8', sequence))
  else
    redis.call('UNLINK', KEYS[at])
  end
  local key = string.sub(KEYS[at], ARGV[2] + 1)
  message[#message + 1] = struct.pack('<I2', #key) .. key
  keys[#keys + 1] = key
end
-- Who may not tell it is found out by the gap in the sequence.
redis.pcall('PUBLISH', ARGV[1], table.concat(message))
if ARGV[3] ~= '' then
  for _, key in ipairs(keys) do
    redis.pcall('PUBLISH', ARGV[3], key)
  end
end
return sequence
