-- Notes which writes of a partition are dead letters, for its owner.
-- KEYS: owner, dead letters. ARGV: token, then place and reason of each, after 'd'; without that it is one no more.
-- Answers 1; -1 for who is not the owner.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
for index = 2, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[index])
  else
    redis.call('HSET', KEYS[2], ARGV[index], string.sub(ARGV[index + 1], 2))
  end
end
return 1
