-- Shares the partitions among the workers that are alive: each has one owner, by a lease.
-- KEYS: workers, totals, the owner of each partition. ARGV: token of this worker, lease in ms, 1 if it wants partitions,
-- those that it gives back, as numbers from 1 on.
-- Answers: its share, bytes and number of the writes that wait, and the partitions that are its own.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for index = 4, #ARGV do
  local owner = KEYS[2 + ARGV[index]]
  if redis.call('GET', owner) == ARGV[1] then
    redis.call('DEL', owner)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
local share = math.ceil((#KEYS - 2) / math.max(1, redis.call('ZCARD', KEYS[1])))
local mine, free = {}, {}
for index = 3, #KEYS do
  local owner = redis.call('GET', KEYS[index])
  if owner == ARGV[1] then
    redis.call('PEXPIRE', KEYS[index], ARGV[2])
    mine[#mine + 1] = index - 2
  elseif not owner then
    free[#free + 1] = index - 2
  end
end
if ARGV[3] == '1' then
  for _, partition in ipairs(free) do
    if #mine < share then
      redis.call('SET', KEYS[2 + partition], ARGV[1], 'PX', ARGV[2])
      mine[#mine + 1] = partition
    end
  end
end
local totals = redis.call('HMGET', KEYS[2], 'bytes', 'depth')
local answer = {share, tonumber(totals[1] or 0), tonumber(totals[2] or 0)}
for _, partition in ipairs(mine) do
  answer[#answer + 1] = partition
end
return answer
