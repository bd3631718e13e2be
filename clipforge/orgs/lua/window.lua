-- Exact sliding windows: one list each, of the times (ms) of what passed, newest first.
--
-- charge{ {key=, limit=, cost=}, ... } lets a request through if it fits every window, and then
-- counts it in all of them; else it counts in none. Returns the life of a window (ms), then for each
-- {passed (0 or 1), limit, remaining, retry (ms), reset (ms)}: `retry` is when the same cost would fit,
-- -1 for never; `reset` is when the oldest entry leaves, 0 for an empty window.
local LIFE = 60000

local function charge(windows)
  local now = clock()
  for _, window in ipairs(windows) do
    -- After a failover the clock may be behind what it was: then it waits.
    now = math.max(now, tonumber(redis.call('LINDEX', window.key, 0) or 0))
  end
  local fits = true
  for _, window in ipairs(windows) do
    -- Each entry is dropped once, by whoever comes next: on average one a request.
    local oldest = redis.call('LINDEX', window.key, -1)
    while oldest and tonumber(oldest) <= now - LIFE do
      redis.call('RPOP', window.key)
      oldest = redis.call('LINDEX', window.key, -1)
    end
    window.used = redis.call('LLEN', window.key)
    window.over = window.used + window.cost - window.limit
    fits = fits and window.over <= 0
  end
  local answer = {LIFE}
  for _, window in ipairs(windows) do
    local retry, passed = 0, window.over <= 0 and 1 or 0
    if fits then
      for _ = 1, window.cost do redis.call('LPUSH', window.key, now) end
      redis.call('PEXPIRE', window.key, LIFE)
      window.used = window.used + window.cost
    elseif window.cost > window.limit then
      retry = -1
    elseif window.over > 0 then
      retry = tonumber(redis.call('LINDEX', window.key, -window.over)) + LIFE - now
    end
    local oldest = redis.call('LINDEX', window.key, -1)
    local reset = oldest and tonumber(oldest) + LIFE - now or 0
    table.insert(answer, {passed, window.limit, math.max(0, window.limit - window.used), retry, reset})
  end
  return answer
end
