-- KEYS  windows      ARGV  for each: limit, cost
local windows = {}
for i, key in ipairs(KEYS) do
  windows[i] = {key = key, limit = tonumber(ARGV[2 * i - 1]), cost = tonumber(ARGV[2 * i])}
end
return charge(windows)
