#!lua flags=allow-oom
-- beat: renew the leases of a process's lanes.
-- KEYS 1 lease zset | 2.. heartbeat, one per lane    ARGV 1 lease ms | 2 heartbeat ttl s | 3.. wid, one per lane
-- returns the wids that hold no lease any more: they were reaped, and their batches given away
-- XX only: a lane that lost its lease must never get it back by beating
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local gone = {}
for i = 3, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[i])
    redis.call('SET', KEYS[i - 1], 'alive', 'EX', ARGV[2])
  else
    gone[#gone + 1] = ARGV[i]
  end
end
return gone
