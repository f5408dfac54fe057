-- Reads writes of a partition, for its owner.
-- KEYS: stream, owner, dead letters. ARGV: token, the place to begin at, how many, how many bytes.
-- Answers -1 for who is not the owner; otherwise for each its place, itself, its sequence, and 'd' with the reason if it is
-- dead.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return -1
end
local answer, bytes = {}, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])) do
  local row = entry[2][2]
  bytes = bytes + #row
  if #answer > 0 and bytes > tonumber(ARGV[4]) then
    break
  end
  local reason = redis.call('HGET', KEYS[3], entry[1])
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = row
  answer[#answer + 1] = tonumber(entry[2][4])
  answer[#answer + 1] = reason and 'd' .. reason or ''
end
return answer
