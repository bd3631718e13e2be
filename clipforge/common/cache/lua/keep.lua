-- Keep a page of a list, unless it is below the floor.
--
-- KEYS   pages, floor
-- ARGV   its name, its version, its life (ms), the fill token that reading gave, life of the floor (ms), how
--        many pages are kept at most, the page
-- Returns 1, or 0 when it was refused
local floor = redis.call('GET', KEYS[2])
if not floor then
  return 0
end
local token, version = floor:match('^([^:]+):(.+)$')
if token ~= ARGV[4] or tonumber(ARGV[2]) < tonumber(version) then
  return 0
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('DEL', KEYS[1])
end
local now = redis.call('TIME')
local ends = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('HSET', KEYS[1], ARGV[1], token .. ' ' .. ARGV[2] .. ' ' .. string.format('%.0f', ends) .. ' ' .. ARGV[7])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
