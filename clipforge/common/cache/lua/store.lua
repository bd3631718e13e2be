-- Store a versioned value, unless it is below the floor.
--
-- KEYS   value, floor, lock
-- ARGV   value, its version, its life (ms), the fill token that reading gave, life of the floor (ms)
-- Returns 1, or 0 when it was refused
local floor = redis.call('GET', KEYS[2])
redis.call('DEL', KEYS[3])
if not floor then
  return 0
end
local token, version = floor:match('^([^:]+):(.+)$')
if token ~= ARGV[4] or tonumber(ARGV[2]) < tonumber(version) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[2], token .. ':' .. ARGV[2], 'PX', ARGV[5])
return 1
