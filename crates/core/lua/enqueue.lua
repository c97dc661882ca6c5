#!lua
-- enqueue: cap check, idempotency memory, push, window counters; the same answer when asked again.
-- KEYS 1 queue | 2 last verdict of this stream | 3 ledger hash | 4 1m counter | 5 1h counter | 6 24h counter
--      7.. idempotency keys
-- ARGV 1 seq | 2 cap | 3 idempotency memory s | 4 stage | 5.. pairs: entry, position of its idempotency key in KEYS or 0
-- returns {'OK', queue length, {position, first id, ...} of repeats} | {'FULL', queue length} | {'STALE'}
-- no allow-oom: a Redis that is full refuses here, before the sender is told "queued"
-- one batch in flight per stream: a verdict is kept so that a lost answer can be asked for again, a refusal too
local Q, S, G = KEYS[1], KEYS[2], KEYS[3]
local seq = tonumber(ARGV[1])
local cur, verdict = string.match(redis.call('GET', S) or '0|NONE', '^(%d+)|(%u+)$')
if seq < tonumber(cur) then return { 'STALE' } end
local len = redis.call('LLEN', Q)
local repeats = {}
if seq == tonumber(cur) then -- asked again: every idempotency key now holds the id that won
  for i = 5, #ARGV, 2 do
    local k = tonumber(ARGV[i + 1])
    local first = k > 0 and redis.call('GET', KEYS[k])
    if first and first ~= string.sub(ARGV[i], 9, 44) then
      repeats[#repeats + 1] = (i - 5) / 2; repeats[#repeats + 1] = first
    end
  end
  return { verdict, len, repeats }
end
local fresh, first_of = {}, {}
for i = 5, #ARGV, 2 do
  local k = tonumber(ARGV[i + 1])
  local first = k > 0 and (first_of[k] or redis.call('GET', KEYS[k]))
  if first then
    repeats[#repeats + 1] = (i - 5) / 2; repeats[#repeats + 1] = first
  else
    fresh[#fresh + 1] = ARGV[i]
    if k > 0 then first_of[k] = string.sub(ARGV[i], 9, 44) end
  end
end
local n = #fresh
if n > 0 and len + n > tonumber(ARGV[2]) then
  redis.call('SET', S, seq .. '|FULL', 'EX', 86400)
  return { 'FULL', len }
end
for i = 1, n, 500 do redis.call('LPUSH', Q, unpack(fresh, i, math.min(i + 499, n))) end
for k, id in pairs(first_of) do redis.call('SET', KEYS[k], id, 'EX', ARGV[3]) end
redis.call('SET', S, seq .. '|OK', 'EX', 86400)
if n > 0 then
  redis.call('HINCRBY', G, ARGV[4] .. ':in', n)
  for i, ttl in ipairs({ 7200, 172800, 2592000 }) do
    if redis.call('INCRBY', KEYS[3 + i], n) == n then redis.call('EXPIRE', KEYS[3 + i], ttl) end
  end
end
return { 'OK', len + n, repeats }
