-- Asks for the right to load a key: at most one holds it, until its deadline or until the key is written.
-- KEYS: entry, sequence, dirty keys. ARGV: token, lease in ms, an entry without a value, "1" to take it though the value is fresh, the key.
-- Answers {1, number of the last write} won, {2, entry} there is a fresh value, {3, ms} another one loads, {4, ms} nothing may be filled in,
-- {5} an entry of a kind that is left alone, {6} a new value of the key waits to be written behind: what would be loaded is older.
local token, lease, stub = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = struct.pack('<I8', now + lease)

-- 1 where a value or a deletion waits, -1 where changes alone do.
local function dirty()
  local sequence = redis.call('HGET', KEYS[3], ARGV[5])
  return sequence and (string.sub(sequence, 1, 1) == '-' and -1 or 1) or 0
end

local function won()
  return {1, tonumber(redis.call('GETRANGE', KEYS[2], 0, -1)) or 0}
end

local function begin()
  local waits = dirty()
  if waits ~= 0 then
    return waits > 0 and {6} or {4, lease}
  end
  local leased = string.sub(stub, 1, 8) .. token .. string.sub(stub, 25, 32) .. deadline .. string.sub(stub, 41)
  redis.call('SET', KEYS[1], leased, 'PX', lease)
  return won()
end

local header = redis.pcall('GETRANGE', KEYS[1], 0, 87)
if type(header) ~= 'string' or #header < 88 or string.sub(header, 1, 2) ~= 'SJ' then
  -- Nothing, or nothing that any release wrote.
  return begin()
end
local format, state, flags = string.byte(header, 3, 5)
if format ~= 1 or state < 1 or state > 6 then
  return {5}
end
local fresh = state == 1 or state == 5
if fresh and ARGV[4] ~= '1' and struct.unpack('<I8', header, 41) > now then
  return {2, redis.call('GET', KEYS[1])}
end
local left = struct.unpack('<I8', header, 33) - now
if left > 0 and state == 6 then
  return {4, left}
end
if left > 0 and (state == 2 or state == 4 or state == 5) and string.sub(header, 9, 24) ~= token then
  if flags % 32 < 16 then
    redis.call('SETRANGE', KEYS[1], 4, string.char(flags + 16))
  end
  return {3, left}
end
if state == 2 or state == 6 then
  return begin()
end
local waits = dirty()
if waits ~= 0 then
  return waits > 0 and {6} or {4, lease}
end
if flags % 32 >= 16 then
  flags = flags - 16
end
redis.call('SETRANGE', KEYS[1], 3, string.char(fresh and 5 or 4, flags))
redis.call('SETRANGE', KEYS[1], 8, token)
redis.call('SETRANGE', KEYS[1], 32, deadline)
local life = redis.call('PTTL', KEYS[1])
if life >= 0 and life < lease then
  redis.call('PEXPIRE', KEYS[1], lease)
end
return won()
