-- Which keys are still dirty, and by which write.
-- KEYS: dirty keys, totals. ARGV: keys. Answers bytes and number of the writes that wait, then the sequence for each key, 0
-- for none.
local totals = redis.call('HMGET', KEYS[2], 'bytes', 'depth')
local answer = {tonumber(totals[1] or 0), tonumber(totals[2] or 0)}
for _, key in ipairs(ARGV) do
  answer[#answer + 1] = tonumber(redis.call('HGET', KEYS[1], key) or 0)
end
return answer
