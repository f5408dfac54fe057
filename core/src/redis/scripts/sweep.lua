-- Frees the memory of what was stored before the last clear, and is not read any more.
-- KEYS: entries. ARGV: the version of the empty tag.
-- Answers how many went.
local count = 0
for at = 1, #KEYS do
  local header = redis.pcall('GETRANGE', KEYS[at], 0, 97)
  local stays = false
  if type(header) == 'string' and #header >= 88 and string.sub(header, 1, 3) == 'SJ\1' then
    local state = string.byte(header, 4)
    -- What is being loaded or written is somebody's.
    stays = (state ~= 1 and state ~= 3) or string.sub(header, 89, 98) == '\0\0' .. ARGV[1]
  end
  if not stays then
    count = count + redis.call('UNLINK', KEYS[at])
  end
end
return count
