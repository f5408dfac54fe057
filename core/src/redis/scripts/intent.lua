-- Holds keys for a writer who is about to change what they stand for: until it gives the hold back, or its time is over,
-- nothing is filled in. With no time this gives the hold back. Either way what stood there goes, the leases of
-- those who load it are void, and all are told.
-- A hold is the header of its entry, and behind it a token (16 bytes) and a deadline (8) for each writer.
-- KEYS: sequence, entries. ARGV: channel, the length of what stands before the key in the name of an entry, token of the
-- writer, time in ms, a channel of other programs or nothing, a header of a hold for each entry.
-- Answers the number of this in the sequence of writes.
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]))
end
local sequence = redis.call('INCR', KEYS[1])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token, ttl = ARGV[3], tonumber(ARGV[4])
local message, keys = {struct.pack('<I8', sequence), ARGV[5] == '' and 'i' or 'p'}, {}
for at = 2, #KEYS do
  local writers, last = {}, 0
  -- An error, where it is no string: that goes.
  local header = redis.pcall('GETRANGE', KEYS[at], 0, 87)
  if type(header) == 'string' and #header == 88 and string.sub(header, 1, 3) == 'SJ\1' and string.byte(header, 4) == 6 then
    local others = redis.call('GETRANGE', KEYS[at], 88, -1)
    for from = 1, #others - 23, 24 do
      local deadline = struct.unpack('<I8', others, from + 16)
      -- One that has died is dropped at its deadline, whatever the others do.
      if deadline > now and string.sub(others, from, from + 15) ~= token then
        writers[#writers + 1] = string.sub(others, from, from + 23)
        last = math.max(last, deadline)
      end
    end
  end
  if ttl > 0 then
    writers[#writers + 1] = token .. struct.pack('<I8', now + ttl)
    last = math.max(last, now + ttl)
  end
  if #writers == 0 then
    redis.call('UNLINK', KEYS[at])
  else
    local stub = ARGV[at + 4]
    local held = string.sub(stub, 1, 24) .. struct.pack('<I8I8', sequence, last) .. string.sub(stub, 41, 64)
      .. struct.pack('<I2', math.min(#writers, 65535)) .. string.sub(stub, 67, 88)
    redis.call('SET', KEYS[at], held .. table.concat(writers), 'PX', last - now)
  end
  local key = string.sub(KEYS[at], ARGV[2] + 1)
  message[#message + 1] = struct.pack('<I2', #key) .. key
  keys[#keys + 1] = key
end
-- Who may not tell it is found out by the gap in the sequence.
redis.pcall('PUBLISH', ARGV[1], table.concat(message))
if ARGV[5] ~= '' then
  for _, key in ipairs(keys) do
    redis.pcall('PUBLISH', ARGV[5], key)
  end
end
return sequence
