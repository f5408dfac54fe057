-- Adds a write to its partition, and marks its key as dirty.
-- KEYS: stream, totals, dirty keys. ARGV: the write, what it weighs, its key.
-- Answers what all writes that wait weigh now, and the sequence of this one: by the server's order, whatever the clocks of
-- the writers are.
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[2], 'sequence') or 0)
local sequence = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('XADD', KEYS[1], '*', 'r', ARGV[1], 's', sequence)
redis.call('HSET', KEYS[2], 'sequence', sequence)
redis.call('HINCRBY', KEYS[2], 'depth', 1)
redis.call('HSET', KEYS[3], ARGV[3], sequence)
return {redis.call('HINCRBY', KEYS[2], 'bytes', ARGV[2]), tonumber(sequence)}
