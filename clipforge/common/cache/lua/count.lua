-- Add to a counter that ends by itself.
-- KEYS  counter      ARGV  what to add (0 only looks), life (seconds) of a new one
-- Returns the count
if ARGV[1] == '0' then
  return tonumber(redis.call('GET', KEYS[1]) or '0')
end
local left = redis.call('PTTL', KEYS[1])
-- First, because a script that has written already may go on although memory is full.
redis.call('PERSIST', KEYS[1])
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], left > 0 and left or ARGV[2] * 1000)
return count
