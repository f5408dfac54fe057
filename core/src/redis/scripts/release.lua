-- Gives a lease back without a value: whoever waits may load. A value that was there before stays as it was.
-- KEYS: entry. ARGV: token, channel, key.
-- Answers 1, or 0 where the lease was lost before.
local header = redis.call('GETRANGE', KEYS[1], 0, 87)
local _, state, flags = string.byte(header, 3, 5)
local leased = state == 2 or state == 4 or state == 5
if #header < 88 or not leased or string.sub(header, 9, 24) ~= ARGV[1] then
  return 0
end
local waited = flags % 32 >= 16
if state == 2 then
  redis.call('UNLINK', KEYS[1])
else
  redis.call('SETRANGE', KEYS[1], 3, string.char(state == 5 and 1 or 3, waited and flags - 16 or flags))
  redis.call('SETRANGE', KEYS[1], 8, string.rep('\0', 16))
  redis.call('SETRANGE', KEYS[1], 32, string.rep('\0', 8))
end
if waited then
  redis.pcall('PUBLISH', ARGV[2], string.rep('\0', 8) .. 'r' .. struct.pack('<I2', #ARGV[3]) .. ARGV[3])
end
return 1
