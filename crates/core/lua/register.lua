#!lua flags=allow-oom
-- register: make a lane known and alive before it takes anything.
-- KEYS 1 lease zset | 2 batch hash | 3 heartbeat    ARGV 1 wid | 2 lease ms | 3 heartbeat ttl s
-- returns 'OK'
-- lease and heartbeat in one step: a lane that holds a batch without a lease would be invisible to the janitor
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSETNX', KEYS[2], ARGV[1], 0)
redis.call('SET', KEYS[3], 'alive', 'EX', ARGV[3])
return 'OK'
