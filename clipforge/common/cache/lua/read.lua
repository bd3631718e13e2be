-- Read a coherent value, or learn that there is none and on what terms one may be stored.
--
-- KEYS   value, guard, lock, when this Redis was first seen without memory
-- ARGV   grace (ms): with less than this left to live the value is old, and one caller is told so
--        life of the guard (ms); life of the lock (ms); how long a Redis without memory is young (ms)
-- Returns {"hit", value}
--         {"old", value, lease}   as a hit, but this caller, alone, shall load it anew
--         {"miss", lease}         load it; the lease is asked for when it is stored. It is empty while
--                                 Redis is young: then nothing is stored
local grace, guard_life, lock_life = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local value = redis.call('GET', KEYS[1])
if value and (grace == 0 or redis.call('PTTL', KEYS[1]) >= grace) then
  return {'hit', value}
end
if value and not redis.call('SET', KEYS[3], '1', 'NX', 'PX', lock_life) then
  return {'hit', value}
end
-- The guard is "<lease>:<version>". One that had to be made anew, because it ended or because Redis
-- lost its memory, has another lease: what was read from the database before then is not taken. Its
-- life is not renewed here: one that a rollback left too high has to end.
local guard = redis.call('GET', KEYS[2])
if not guard then
  local now = redis.call('TIME')
  guard = now[1] .. '.' .. now[2] .. ':-1'
  redis.call('SET', KEYS[2], guard, 'PX', guard_life)
end
local lease = guard:match('^[^:]+')
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
if redis.call('SET', KEYS[4], now_ms, 'NX') or now_ms - redis.call('GET', KEYS[4]) < tonumber(ARGV[4]) then
  lease = ''
end
if value then
  return {'old', value, lease}
end
return {'miss', lease}
