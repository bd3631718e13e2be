-- The page of that name among the lists of this key, as `keep.lua` stored it.
--
-- Returns "<fill token> <version> <end (ms)> <page>", unless that has ended or something was announced
-- since; else the fill token with which the page may be kept; or false where read.lua has to be asked for
-- one. Writes nothing. `young` is how long (ms) a Redis without memory gives none.
local function kept_page(lists, name, young)
  local floor = redis.call('GET', lists .. ':guard')
  if not floor then return false end
  local token, version = floor:match('^([^:]+):(.+)$')
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local entry = redis.call('HGET', lists .. ':pages', name)
  if entry then
    local its_token, its_version, ends = entry:match('^(%S+) (%S+) (%S+) ')
    if its_token == token and tonumber(its_version) >= tonumber(version) and tonumber(ends) > now then
      return entry
    end
  end
  local born = redis.call('GET', 'versioned_cache:born')
  if not born or now - born < tonumber(young) then return false end
  return token
end
