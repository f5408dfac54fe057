-- Keeps a lease for longer.
-- KEYS: entry. ARGV: token, lease in ms from now.
-- Answers 1, or 0 where the lease is lost.
local header = redis.call('GETRANGE', KEYS[1], 0, 87)
local state = string.byte(header, 4)
local leased = state == 2 or state == 4 or state == 5
if #header < 88 or not leased or string.sub(header, 9, 24) ~= ARGV[1] then
  return 0
end
local lease = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SETRANGE', KEYS[1], 32, struct.pack('<I8', now + lease))
local life = redis.call('PTTL', KEYS[1])
if life >= 0 and life < lease then
  redis.call('PEXPIRE', KEYS[1], lease)
end
return 1
