-- Read a versioned value, or get the token with which one may be stored.
--
-- KEYS   value, floor, lock, when this Redis was first seen without memory
-- ARGV   grace (ms): with less than this left to live the value is old, and one caller is told so
--        life of the floor (ms); life of the lock (ms); how long a Redis without memory is young (ms)
-- Returns {"hit", value}
--         {"old", value, token}   as a hit, but this caller, alone, shall load it anew
--         {"miss", token}         load it; the token is asked for when it is stored. It is empty while
--                                 Redis is young: then nothing is stored
local grace, floor_life, lock_life = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local value = redis.call('GET', KEYS[1])
if value and (grace == 0 or redis.call('PTTL', KEYS[1]) >= grace) then
  return {'hit', value}
end
if value and not redis.call('SET', KEYS[3], '1', 'NX', 'PX', lock_life) then
  return {'hit', value}
end
-- The floor is "<fill token>:<version>". One that had to be made anew, because it ended or because Redis
-- lost its memory, has another token: what was read from the database before then is not taken. Its
-- life is not renewed here: one that a rollback left too high has to end.
local floor = redis.call('GET', KEYS[2])
if not floor then
  local now = redis.call('TIME')
  floor = now[1] .. '.' .. now[2] .. ':-1'
  redis.call('SET', KEYS[2], floor, 'PX', floor_life)
end
local token = floor:match('^[^:]+')
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
if redis.call('SET', KEYS[4], now_ms, 'NX') or now_ms - redis.call('GET', KEYS[4]) < tonumber(ARGV[4]) then
  token = ''
end
if value then
  return {'old', value, token}
end
return {'miss', token}
