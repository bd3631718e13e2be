-- Store a coherent value, unless it is older than what the guard has heard of.
--
-- KEYS   value, guard, lock
-- ARGV   value, its version, its life (ms), the lease that reading gave, life of the guard (ms)
-- Returns 1, or 0 when it was refused
local guard = redis.call('GET', KEYS[2])
redis.call('DEL', KEYS[3])
if not guard then
  return 0
end
local lease, version = guard:match('^([^:]+):(.+)$')
if lease ~= ARGV[4] or tonumber(ARGV[2]) < tonumber(version) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[2], lease .. ':' .. ARGV[2], 'PX', ARGV[5])
return 1
