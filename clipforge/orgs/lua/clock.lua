-- Milliseconds on the clock of Redis: one clock, whichever process asks.
local function clock()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
