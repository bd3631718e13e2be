-- Recognise a key, charge the windows of its tier, and read a cached value: one round trip.
--
-- KEYS  the cached row of the key
-- ARGV  the digest of the whole key; a family of values that each organization has one of, or '=' and the
--       key of one that all share, or '@<young> <family> <name>' of a page of lists that each organization
--       has (see page.lua), or ''; the life that a value must have left (ms), or 0; the networks of the
--       key among which the caller was found, or '';
--       then for each window: scope, field of the limits, cost
-- Returns {"admitted", key, organization, limits, value, life, window, ...}   the rows as JSON, and the
--                                              cached value of that family, if there is one
--         {"elsewhere", key, organization, limits}     it has networks, and not those: nothing was counted
--         {"inactive", key, organization, limits}      its organization is suspended: nothing was counted
--         {"refused"}                          wrong secret, revoked or expired: nothing was counted
--         {"unknown"}                          not all rows are cached: ask the database
local key = redis.call('GET', KEYS[1])
if not key then return {'unknown'} end
local row = cjson.decode(key)
if row.digest ~= ARGV[1] or row.revoked_at ~= cjson.null then return {'refused'} end
if row.expires_ms ~= cjson.null and tonumber(row.expires_ms) <= clock() then return {'refused'} end

local organization = redis.call('GET', 'orgs:organization:' .. row.organization_id)
if not organization then return {'unknown'} end
local org = cjson.decode(organization)
local limits = redis.call('GET', 'orgs:limits:' .. org.tier)
if not limits then return {'unknown'} end
if not org.is_active then return {'inactive', key, organization, limits} end
if row.allowed_addresses ~= '' and row.allowed_addresses ~= ARGV[4] then
  return {'elsewhere', key, organization, limits}
end
local limit_of = cjson.decode(limits)
if org.rate_limit_override ~= cjson.null then
  limit_of.requests_per_minute = org.rate_limit_override
end

local value, name = false, ARGV[2]
local young, lists, page = name:match('^@(%d+) (%S+) (%S+)$')
if young then
  value = kept_page(lists .. ':' .. row.organization_id, page, young)
elseif name ~= '' then
  name = name:match('^=(.+)') or name .. ':' .. row.organization_id
  if ARGV[3] == '0' or redis.call('PTTL', name) >= tonumber(ARGV[3]) then value = redis.call('GET', name) end
end
local windows = {}
for i = 5, #ARGV, 3 do
  local name = 'limit:' .. row.organization_id .. ':' .. ARGV[i]
  table.insert(windows, {key = name, limit = tonumber(limit_of[ARGV[i + 1]]), cost = tonumber(ARGV[i + 2])})
end
return {'admitted', key, organization, limits, value, unpack(charge(windows))}
