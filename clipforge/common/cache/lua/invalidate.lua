-- Raise the version floor: the value is at this version now, or will be once a transaction has committed.
--
-- KEYS   value, floor
-- ARGV   version, life of the floor (ms)
-- Returns 1 if that raised it
local floor = redis.call('GET', KEYS[2])
local token, version
if floor then
  token, version = floor:match('^([^:]+):(.+)$')
else
  local now = redis.call('TIME')
  token, version = now[1] .. '.' .. now[2], '-1'
end
if tonumber(ARGV[1]) <= tonumber(version) then
  if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
  end
  return 0
end
-- In this order: a script that has written already may go on although memory is full.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], token .. ':' .. ARGV[1], 'PX', ARGV[2])
return 1
