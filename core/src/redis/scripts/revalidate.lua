-- Reads an entry, unless it is the one that the caller has.
-- KEYS: entry. ARGV: the header of the one that it has.
-- Answers 1 where it is still that, and fresh; else what a GET answers.
local header = redis.pcall('GETRANGE', KEYS[1], 0, 87)
if type(header) == 'string' and #header == 88 then
  local known, state = ARGV[1], string.byte(header, 4)
  -- While a new value is loaded ahead of its end, the token is that of the one who loads it.
  local same_token = state == 5 or (state == 1 and string.sub(header, 9, 24) == string.sub(known, 9, 24))
  if same_token and string.sub(header, 1, 3) == string.sub(known, 1, 3) and string.sub(header, 6, 8) == string.sub(known, 6, 8)
    and string.sub(header, 25, 32) == string.sub(known, 25, 32) and string.sub(header, 41, 64) == string.sub(known, 41, 64) then
    local time = redis.call('TIME')
    if struct.unpack('<I8', header, 41) > time[1] * 1000 + math.floor(time[2] / 1000) then
      return 1
    end
  end
end
return redis.call('GET', KEYS[1])
