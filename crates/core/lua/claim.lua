#!lua flags=allow-oom
-- claim: promote what is due, then move up to `max` entries from the queue to this lane's processing list.
-- KEYS 1 queue | 2 processing list | 3 lease zset | 4 batch hash | 5 fenced zset | 6 delayed zset | 7 reclaims hash
--      8 downstream queue | 9 ledger hash
-- ARGV 1 wid | 2 seq | 3 max | 4 lease ms | 5 most to promote | 6 downstream cap, 0 none
--      7 id nonce: first 32 characters of a dashed UUIDv7 | 8 max bytes | 9 stage
-- returns {'OK', entries, reclaim counts} | {'AGAIN', entries} same seq asked again: its answer was lost
--      {'EMPTY', ms to the next due entry or -1} | {'BLOCKED', downstream length} | {'FENCED'} | {'LOST'} | {'STALE'} | {'DIRTY', seq}
-- one script because an entry that left the queue and is in no list would be lost
local Q, P, L, B, F, D, R, O, G = unpack(KEYS)
local w, seq, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not redis.call('ZSCORE', L, w) then return { redis.call('ZSCORE', F, w) and 'FENCED' or 'LOST' } end
local cur = tonumber(redis.call('HGET', B, w) or '0')
if seq < cur then return { 'STALE' } end
if seq == cur then return { 'AGAIN', redis.call('LRANGE', P, 0, -1) } end
if redis.call('LLEN', P) > 0 then return { 'DIRTY', cur } end
if tonumber(ARGV[6]) > 0 then
  local o = redis.call('LLEN', O)
  if o >= tonumber(ARGV[6]) then return { 'BLOCKED', o } end
end
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', D, '-inf', now, 'LIMIT', 0, ARGV[5])
for i = #due, 1, -1 do redis.call('RPUSH', Q, due[i]); redis.call('ZREM', D, due[i]) end
local suspects = redis.call('EXISTS', R) == 1
local out, counts, bytes, foreign = {}, {}, 0, 0
for i = 1, max do
  local m = redis.call('LMOVE', Q, P, 'RIGHT', 'LEFT')
  if not m then break end
  if string.sub(m, 1, 8) ~= '{"_id":"' or string.sub(m, 45, 45) ~= '"' then -- another producer's: stamp an id, once
    local id = ARGV[7] .. string.format('%04x', i)
    if string.sub(m, 1, 1) == '{' and string.sub(m, -1) == '}' and string.find(m, '^{%s*"') then
      m = '{"_id":"' .. id .. '",' .. string.sub(m, 2)
    else
      m = '{"_id":"' .. id .. '","_unparsed":' .. cjson.encode(m) .. '}'
    end
    redis.call('LSET', P, 0, m)
    foreign = foreign + 1
  end
  local c = suspects and tonumber(redis.call('HGET', R, string.sub(m, 9, 44)) or '0') or 0
  if c > 0 and #out > 0 then redis.call('LMOVE', P, Q, 'LEFT', 'RIGHT'); break end
  out[#out + 1] = m; counts[#counts + 1] = c; bytes = bytes + #m
  if c > 0 or bytes >= tonumber(ARGV[8]) then break end -- a suspect travels alone
end
if foreign > 0 then redis.call('HINCRBY', G, ARGV[9] .. ':foreign', foreign) end
if #out == 0 then
  local first = redis.call('ZRANGE', D, 0, 0, 'WITHSCORES')
  return { 'EMPTY', first[2] and math.max(0, first[2] - now) or -1 }
end
redis.call('HSET', B, w, seq)
redis.call('ZADD', L, 'XX', now + ARGV[4], w)
return { 'OK', out, counts }
