-- Over how many partitions the keys of a write-behind are spread: as the first process said.
-- KEYS: the record. ARGV: what this process would say. Answers what holds.
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return tonumber(redis.call('GET', KEYS[1]))
