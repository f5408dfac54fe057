-- Proves that this server executes writes, and says how many there were: on the connection that tells of them, so what was
-- told before the answer was all.
-- KEYS: sequence. ARGV: a number of this beat's own, "1" to begin a sequence that is not there.
-- Answers {the number, the sequence or "0", seconds, microseconds}.
local time = redis.call('TIME')
-- Changes nothing, and is a write: a replica, a primary without enough of them, and one that lost its cluster refuse it.
redis.call('PERSIST', KEYS[1])
local sequence = redis.call('GETRANGE', KEYS[1], 0, -1)
if sequence == '' then
  sequence = '0'
  if ARGV[2] == '1' then
    sequence = string.format('%.0f', time[1] * 1000000 + time[2])
    redis.call('SET', KEYS[1], sequence)
  end
end
return {ARGV[1], sequence, time[1], time[2]}
