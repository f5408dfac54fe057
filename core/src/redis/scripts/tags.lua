-- Reads the versions of tags, and gives one to each that has none. It never had that one before: odd numbers are of the
-- clock, even ones of invalidations.
-- KEYS: the empty tag, tags. ARGV: how long those are kept at least, in ms. The empty one is on every entry and stays.
-- Answers their versions, 8 bytes each; nothing for a tag that a writer holds: see hold_tags.lua.
local least, time = tonumber(ARGV[1]), nil
local versions = {}
for at = 1, #KEYS do
  local version = redis.pcall('GET', KEYS[at])
  if type(version) == 'string' and #version > 0 and #version % 24 == 0 then
    version = ''
  elseif type(version) ~= 'string' or #version ~= 8 then
    time = time or redis.call('TIME')
    version = struct.pack('<I8', (time[1] * 1000000 + time[2]) * 2 + 1)
    if at == 1 then
      redis.call('SET', KEYS[at], version)
    else
      redis.call('SET', KEYS[at], version, 'PX', least * 2)
    end
  elseif at > 1 then
    -- Twice as long, so that not every use is a write.
    local life = redis.call('PTTL', KEYS[at])
    if life >= 0 and life < least then
      redis.call('PEXPIRE', KEYS[at], least * 2)
    end
  end
  versions[at] = version
end
return versions
