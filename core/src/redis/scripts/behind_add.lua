-- Adds a write to its partition, and marks its key as dirty.
-- KEYS: stream, totals, dirty keys. ARGV: the write, what it weighs, its key, "1" if it is a state and no change.
-- A key is dirty by the sequence of its last write, below 0 where all that waits is changes.
-- Answers what all writes that wait weigh now, and the sequence of this one: by the server's order, whatever the clocks of
-- the writers are.
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[2], 'sequence') or 0)
local sequence = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('XADD', KEYS[1], '*', 'r', ARGV[1], 's', sequence)
redis.call('HSET', KEYS[2], 'sequence', sequence)
redis.call('HINCRBY', KEYS[2], 'depth', 1)
local is_state = ARGV[4] == '1' or tonumber(redis.call('HGET', KEYS[3], ARGV[3]) or -1) > 0
redis.call('HSET', KEYS[3], ARGV[3], (is_state and '' or '-') .. sequence)
return {redis.call('HINCRBY', KEYS[2], 'bytes', ARGV[2]), tonumber(sequence)}
