#!lua flags=allow-oom
-- rate: grant up to `want` permits of a sliding window that all processes share, or say when the next one frees.
-- KEYS 1 permits zset: member -> us until which it may be used | 2 member counter | 3 hold
-- ARGV 1 limit, 0 none | 2 window ms | 3 want | 4 use-by ms: how long a permit may lie before it is used
-- returns {granted, ms until one frees (0 when granted), 1 when the hold is why else 0}
-- a permit counts until a whole window after its use-by: however late it is used, no window holds more than the limit
local hold = redis.call('PTTL', KEYS[3])
if hold > 0 then return { 0, hold, 1 } end
local limit, want = tonumber(ARGV[1]), tonumber(ARGV[3])
if limit == 0 then return { want, 0, 0 } end
local t = redis.call('TIME'); local now = t[1] * 1000000 + t[2]
local window, use_by = ARGV[2] * 1000, now + ARGV[4] * 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
-- only a clock that was set back leaves permits so far ahead: they must not stop delivery for as long as the step was
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 2 * window, '+inf')
local used = redis.call('ZCARD', KEYS[1])
local granted = math.max(0, math.min(limit - used, want))
if granted == 0 then
  local blocking = redis.call('ZRANGE', KEYS[1], used - limit, used - limit, 'WITHSCORES')
  return { 0, math.max(1, math.ceil((blocking[2] + window - now) / 1000)), 0 }
end
local last, add = redis.call('INCRBY', KEYS[2], granted), {}
for member = last - granted + 1, last do add[#add + 1] = use_by; add[#add + 1] = member end
redis.call('ZADD', KEYS[1], unpack(add))
redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[4] + 1000)
redis.call('PEXPIRE', KEYS[2], ARGV[2] + ARGV[4] + 1000)
return { granted, 0, 0 }
