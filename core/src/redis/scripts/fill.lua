-- Stores what the holder of a lease has loaded. Anybody else's fill does nothing: the key was written since, or the
-- lease was taken over.
-- KEYS: entry, sequence. ARGV: token, the new entry, its life in ms, channel, key.
-- Answers the number of the last write, or 0 where it was refused.
local header = redis.call('GETRANGE', KEYS[1], 0, 87)
local _, state, flags = string.byte(header, 3, 5)
local leased = state == 2 or state == 4 or state == 5
if #header < 88 or not leased or string.sub(header, 9, 24) ~= ARGV[1] then
  return 0
end
local generation = redis.call('GET', KEYS[2])
if not generation then
  local time = redis.call('TIME')
  generation = string.format('%.0f', time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[2], generation)
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SETRANGE', KEYS[1], 24, struct.pack('<I8', generation))
if flags % 32 >= 16 then
  redis.pcall('PUBLISH', ARGV[4], struct.pack('<I8', generation) .. 'f' .. struct.pack('<I2', #ARGV[5]) .. ARGV[5])
end
return tonumber(generation)
