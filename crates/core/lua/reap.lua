#!lua flags=allow-oom
-- reap: fence a lane whose lease ran out and give its batch back, in the old order.
-- KEYS 1 lease zset | 2 batch hash | 3 fenced zset | 4 processing list | 5 queue | 6 delayed zset | 7 reclaims hash
--      8 dead-letter list | 9 heartbeat | 10 ledger hash
-- ARGV 1 wid | 2 most reclaims | 3 backoff ms | 4 force 0/1: the caller knows that the owner is gone | 5 stage | 6 dead-letter stage
-- returns {'REAPED', entries} | {'ALIVE', 0}
-- fence and hand-back in one step: the owner can change nothing from the moment its batch is anyone else's
-- the only counter of deaths: entries that kill their process are tried alone, later, and at last dead-lettered
local L, B, F, P, Q, D, R, X, H, G = unpack(KEYS)
local w = ARGV[1]
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local s = redis.call('ZSCORE', L, w)
if ARGV[4] ~= '1' then
  if s and tonumber(s) > now then return { 'ALIVE', 0 } end
  if not s and redis.call('EXISTS', H) == 1 then return { 'ALIVE', 0 } end -- a worker of the original, without a lease
end
redis.call('ZREM', L, w); redis.call('HDEL', B, w); redis.call('ZADD', F, now, w)
redis.call('DEL', H)
local n, dead = 0, 0
for _, m in ipairs(redis.call('LRANGE', P, 0, -1)) do -- newest to oldest: the queue's right end is the oldest
  n = n + 1
  local own = string.sub(m, 1, 8) == '{"_id":"' and string.sub(m, 45, 45) == '"'
  local id = own and string.sub(m, 9, 44) or string.sub(redis.sha1hex(m), 1, 36)
  local c = redis.call('HINCRBY', R, id, 1)
  if own and c >= tonumber(ARGV[2]) then
    redis.call('LPUSH', X, '{"_id":"' .. id .. '","_dlq":{"reason":"crash_loop","stage":"' .. ARGV[5] ..
      '","attempts":' .. c .. ',"error":"the process died each time it held this entry","at_ms":' .. now .. '},' .. string.sub(m, 47))
    redis.call('HDEL', R, id)
    dead = dead + 1
  elseif c >= 2 then redis.call('ZADD', D, now + ARGV[3] * 2 ^ (c - 2), m)
  else redis.call('RPUSH', Q, m) end
end
if dead > 0 then
  redis.call('HINCRBY', G, ARGV[5] .. ':dead', dead); redis.call('HINCRBY', G, ARGV[6] .. ':in', dead)
end
if n > 0 then redis.call('EXPIRE', R, 259200) end
redis.call('ZREMRANGEBYSCORE', F, '-inf', now - 604800000)
redis.call('DEL', P)
return { 'REAPED', n }
