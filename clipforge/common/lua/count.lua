-- Add to a counter that ends by itself.
-- KEYS  counter      ARGV  what to add (0 only looks), life (seconds) of a new one
-- Returns the count
if ARGV[1] == '0' then
  return tonumber(redis.call('GET', KEYS[1]) or '0')
end
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count == tonumber(ARGV[1]) then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return count
