-- Takes writes out of a partition, for its owner.
-- KEYS: stream, owner, totals, dirty keys, dead letters. ARGV: token, then place, weight, key and sequence of each.
-- Answers how many were there; -1 for who is not the owner.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return -1
end
local count = 0
for index = 2, #ARGV, 4 do
  if redis.call('XDEL', KEYS[1], ARGV[index]) == 1 then
    count = count + 1
    redis.call('HINCRBY', KEYS[3], 'bytes', -ARGV[index + 1])
    redis.call('HINCRBY', KEYS[3], 'depth', -1)
    redis.call('HDEL', KEYS[5], ARGV[index])
  end
  -- A later write of the key keeps it dirty.
  if redis.call('HGET', KEYS[4], ARGV[index + 2]) == ARGV[index + 3] then
    redis.call('HDEL', KEYS[4], ARGV[index + 2])
  end
end
return count
