#!lua flags=allow-oom
-- release: give a batch back unchanged, at the end it was taken from; nothing is charged to it.
-- KEYS 1 processing list | 2 lease zset | 3 batch hash | 4 fenced zset | 5 queue | 6 heartbeat
-- ARGV 1 wid | 2 seq | 3 deregister 0/1
-- returns {'OK', given back} | {'FENCED', 0} | {'LOST', 0} | {'STALE', 0} a late copy: a newer batch is held
local w, n = ARGV[1], 0
if not redis.call('ZSCORE', KEYS[2], w) then
  return { redis.call('ZSCORE', KEYS[4], w) and 'FENCED' or 'LOST', 0 }
end
if tonumber(redis.call('HGET', KEYS[3], w) or '0') > tonumber(ARGV[2]) then return { 'STALE', 0 } end
while redis.call('LMOVE', KEYS[1], KEYS[5], 'LEFT', 'RIGHT') do n = n + 1 end
redis.call('HSET', KEYS[3], w, ARGV[2]) -- the seq is used up: a late claim with it must not take anything
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[2], w); redis.call('HDEL', KEYS[3], w); redis.call('DEL', KEYS[6])
end
return { 'OK', n }
