-- Exact sliding windows: one list each, of the times (ms) of what passed, newest first.
--
-- charge{ {key=, limit=, cost=}, ... } lets a request through if it fits every window, and then
-- counts it in all of them; else it counts in none. Returns the life of a window (ms), then for each
-- {passed (0 or 1), limit, remaining, retry (ms), reset (ms)}: `retry` is when the same cost would fit,
-- -1 for never; `reset` is when the oldest entry leaves, 0 for an empty window.
local LIFE = 60000

-- Drop the entries of `time` and before. They are at the end: in steps that double and then halve,
-- so that a thousand which leave at once take twenty looks, and none takes one.
local function drop_until(key, time)
  local step, growing = 1, true
  while step >= 1 do
    local entry = redis.call('LINDEX', key, -step)
    local left = entry and tonumber(entry) <= time
    if left then redis.call('LTRIM', key, 0, -step - 1) end
    growing = growing and left
    step = growing and step * 2 or math.floor(step / 2)
  end
end

local function charge(windows)
  local now = clock()
  for _, window in ipairs(windows) do
    -- After a failover the clock may be behind what it was: then it waits.
    now = math.max(now, tonumber(redis.call('LINDEX', window.key, 0) or 0))
  end
  local fits = true
  for _, window in ipairs(windows) do
    drop_until(window.key, now - LIFE)
    window.used = redis.call('LLEN', window.key)
    window.over = window.used + window.cost - window.limit
    fits = fits and window.over <= 0
  end
  local answer = {LIFE}
  for _, window in ipairs(windows) do
    local retry, passed = 0, window.over <= 0 and 1 or 0
    if fits then
      -- Changes nothing. But a script that has written already may go on although memory is full.
      redis.call('PERSIST', window.key)
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
