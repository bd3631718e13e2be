-- Replace a value by one with more in it, if it is still the one that was read.
--
-- KEYS   value
-- ARGV   the value as it was read, the new one
-- Returns 1, or 0 when it is another by now, or none
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
