-- Holds tags for a writer who is about to change what carries them: until it gives the hold back, or its time is over, they
-- have no version, so that no entry with one of them is good, and none that is filled in becomes so. With no time this gives
-- the hold back. Either way all entries that carry them are dead, and all are told.
-- A hold stands in the place of the version: a token (16 bytes) and a deadline (8) for each writer.
-- KEYS: sequence, tags. ARGV: channel, the length of what stands before the tag in its name, token of the writer, time in ms.
-- Answers the number of this in the sequence of tags.
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]))
end
local sequence = redis.call('INCR', KEYS[1])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token, ttl = ARGV[3], tonumber(ARGV[4])
local message = {struct.pack('<I8', sequence), 't'}
for at = 2, #KEYS do
  local writers, last = {}, 0
  -- An error, where it is no string: that goes.
  local there = redis.pcall('GET', KEYS[at])
  if type(there) == 'string' and #there % 24 == 0 then
    for from = 1, #there, 24 do
      local deadline = struct.unpack('<I8', there, from + 16)
      if deadline > now and string.sub(there, from, from + 15) ~= token then
        writers[#writers + 1] = string.sub(there, from, from + 23)
        last = math.max(last, deadline)
      end
    end
  end
  if ttl > 0 then
    writers[#writers + 1] = token .. struct.pack('<I8', now + ttl)
    last = math.max(last, now + ttl)
  end
  if #writers == 0 then
    -- The next who asks gets a version that it never had.
    redis.call('UNLINK', KEYS[at])
  else
    redis.call('SET', KEYS[at], table.concat(writers), 'PX', last - now)
  end
  local tag = string.sub(KEYS[at], ARGV[2] + 1)
  message[#message + 1] = struct.pack('<I2', #tag) .. tag
end
-- Who may not tell it is found out by the gap in the sequence.
redis.pcall('PUBLISH', ARGV[1], table.concat(message))
return sequence
