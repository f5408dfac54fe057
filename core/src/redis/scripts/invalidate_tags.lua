-- Invalidates tags: they get a version that no entry carries, and all are told. One that the server does not know has no
-- entry that is good; nor has one that a writer holds, and stays held.
-- KEYS: sequence, tags. ARGV: channel, the length of what stands before the tag in its name.
-- Answers the number of the invalidation in its sequence; the new version is twice that.
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]))
end
local sequence = redis.call('INCR', KEYS[1])
local version = struct.pack('<I8', sequence * 2)
local message, all = {}, false
for at = 2, #KEYS do
  local tag = string.sub(KEYS[at], ARGV[2] + 1)
  local life = redis.call('PTTL', KEYS[at])
  if tag == '' then
    redis.call('SET', KEYS[at], version)
    all = true
  elseif life > 0 then
    local there = redis.pcall('STRLEN', KEYS[at])
    if type(there) ~= 'number' or there == 0 or there % 24 ~= 0 then
      redis.call('SET', KEYS[at], version, 'PX', life)
    end
  else
    redis.call('UNLINK', KEYS[at])
  end
  message[#message + 1] = struct.pack('<I2', #tag) .. tag
end
message = all and 'x' or 't' .. table.concat(message)
-- Who may not tell it is found out by the gap in the sequence.
redis.pcall('PUBLISH', ARGV[1], struct.pack('<I8', sequence) .. message)
return sequence
