#!lua flags=no-writes
-- ledger: counters and what every list and set holds, at one instant.
-- KEYS 1 ledger hash | then per stage: queue, delayed zset, batch hash    ARGV per stage: prefix of its processing lists
-- returns {counter, value, ...}, then per stage {waiting, in flight, delayed}
-- one script because counters and lengths read apart never add up while work goes on
local out = { redis.call('HGETALL', KEYS[1]) }
for s = 1, #ARGV do
  local queue, delayed, batch = KEYS[3 * s - 1], KEYS[3 * s], KEYS[3 * s + 1]
  local in_flight = 0
  for _, wid in ipairs(redis.call('HKEYS', batch)) do
    in_flight = in_flight + redis.call('LLEN', ARGV[s] .. ':' .. wid)
  end
  out[#out + 1] = { redis.call('LLEN', queue), in_flight, redis.call('ZCARD', delayed) }
end
return out
