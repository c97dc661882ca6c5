#!lua flags=allow-oom
-- complete: the only way to finish a batch: every outcome, count and effect of it in one step.
-- KEYS 1 processing list | 2 lease zset | 3 batch hash | 4 fenced zset | 5 reclaims hash | 6 downstream queue | 7 delayed zset
--      8 dead-letter list | 9 dedup zset | 10 ledger hash | 11 own queue | 12.. pairs (counter, triggered) of unhandled shapes
-- ARGV 1 wid | 2 seq | 3 dedup window ms | 4 stage | 5 downstream stage | 6 dead-letter stage
--      7 outcome of acknowledged entries | 8 second outcome | 9 how many have it | 10 shapes
--      then per shape: threshold, expiry s, add, alert id, alert; then triples:
--      'P' id alert (push once) | 'D' delay ms entry (later) | 'X' id entry (dead letter) | 'Q' id entry (replay)
--      'K' id entry (keep: back on the own queue's far end, without an outcome)
-- returns 'OK' | 'DONE' applied before | 'FENCED' | 'LOST' | 'STALE'
-- one script because a crash between any two of these would lose, double or miscount
local P, L, B, F, R, O, D, X, U, G, own = unpack(KEYS, 1, 11)
local w, seq, stage, down, dead = ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5], ARGV[6]
if not redis.call('ZSCORE', L, w) then return redis.call('ZSCORE', F, w) and 'FENCED' or 'LOST' end
local cur = tonumber(redis.call('HGET', B, w) or '0')
if cur ~= seq then return cur < seq and 'LOST' or 'STALE' end
local held = redis.call('LLEN', P)
if held == 0 then return 'DONE' end
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local count = { P = 0, D = 0, X = 0, Q = 0, K = 0 }
local function push(id, payload)
  if redis.call('ZADD', U, 'NX', now, id) == 1 then
    redis.call('LPUSH', O, payload); count.P = count.P + 1
  end
end
local i = 11
for k = 1, tonumber(ARGV[10]) do
  local counter, triggered = KEYS[10 + 2 * k], KEYS[11 + 2 * k]
  if redis.call('EXISTS', triggered) == 0 then
    local n = redis.call('INCRBY', counter, ARGV[i + 2])
    if n == tonumber(ARGV[i + 2]) then redis.call('EXPIRE', counter, ARGV[i + 1]) end
    if n >= tonumber(ARGV[i]) then
      redis.call('SET', triggered, n, 'EX', ARGV[i + 1]); redis.call('DEL', counter)
      push(ARGV[i + 3], string.sub(ARGV[i + 4], 1, -2) .. ',"unhandled_count":' .. n .. '}')
    end
  end
  i = i + 5
end
while i <= #ARGV do
  local op = ARGV[i]
  if op == 'P' then push(ARGV[i + 1], ARGV[i + 2])
  elseif op == 'D' then redis.call('ZADD', D, now + ARGV[i + 1], ARGV[i + 2]); count.D = count.D + 1
  elseif op == 'X' then redis.call('LPUSH', X, ARGV[i + 2]); count.X = count.X + 1
  elseif op == 'Q' then redis.call('LPUSH', O, ARGV[i + 2]); count.Q = count.Q + 1 -- a replay must pass the dedup set
  elseif op == 'K' then redis.call('LPUSH', own, ARGV[i + 2]); count.K = count.K + 1 end
  i = i + 3
end
local function add(field, n) if n ~= 0 then redis.call('HINCRBY', G, field, n) end end
local second = tonumber(ARGV[9])
add(stage .. ':' .. ARGV[7], held - count.D - count.X - count.Q - count.K - second)
add(stage .. ':' .. ARGV[8], second)
add(stage .. ':replayed', count.Q)
add(stage .. ':dead', count.X)
add(dead .. ':in', count.X)
add(down .. ':in', count.P + count.Q)
redis.call('ZREMRANGEBYSCORE', U, '-inf', now - ARGV[3])
if redis.call('EXISTS', R) == 1 then -- rare: forget the crash counts of survivors
  for _, m in ipairs(redis.call('LRANGE', P, 0, -1)) do redis.call('HDEL', R, string.sub(m, 9, 44)) end
end
redis.call('DEL', P)
return 'OK'
