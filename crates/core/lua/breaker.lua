#!lua flags=allow-oom
-- breaker: one circuit breaker that all processes share; a call is a look, an admission or a verdict.
-- KEYS 1 state | 2 failures | 3 open_time, s | 4 probe | 5 epoch | 6 backoff: times opened since it was last closed
-- ARGV 1 op | 2 token | 3 epoch | 4 base ms | 5 max ms | 6 probe ms | 7 threshold | 8 1 when a success came before
--      'look' | 'admit' takes the probe slot | 'ok' | 'fail' | 'trip' opens at once | 'yield' gives the probe slot back
-- returns {answer, epoch, ms, state before, state after, failures}; answer 'GO' closed | 'PROBE' yours, 'FREE' to be had
--      'WAIT' ms to go | 'OK' taken | 'COUNTED' failure, still closed | 'OPEN' by this verdict | 'OLD' of an earlier epoch or slot
-- one script because 20 callers that read the state and then wrote it would send 20 probes
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local op, token, base, most = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local state, epoch = redis.call('GET', KEYS[1]) or 'CLOSED', tonumber(redis.call('GET', KEYS[5]) or '0')
local before = state
local function answer(word, ms)
  return { word, epoch, ms or 0, before, state, tonumber(redis.call('GET', KEYS[2]) or '0') }
end
local function open()
  state, epoch = 'OPEN', redis.call('INCR', KEYS[5]); redis.call('INCR', KEYS[6])
  redis.call('MSET', KEYS[1], state, KEYS[3], string.format('%.3f', now / 1000)); redis.call('DEL', KEYS[4], KEYS[2])
  return answer('OPEN')
end
if op == 'look' or op == 'admit' then
  if state == 'CLOSED' then return answer('GO') end
  local again = math.min(tonumber(redis.call('GET', KEYS[6]) or '1') - 1, 20)
  local wait = math.min(most, base * 2 ^ math.max(0, again)) -- a missing open_time counts as expired
  local left = math.min(wait, tonumber(redis.call('GET', KEYS[3]) or '0') * 1000 + wait - now)
  if left > 0 then return answer('WAIT', math.ceil(left)) end
  local taken = redis.call('PTTL', KEYS[4])
  if taken > 0 then return answer('WAIT', taken) end
  if op == 'look' then return answer('FREE') end
  redis.call('SET', KEYS[4], token, 'PX', ARGV[6])
  state = 'HALF_OPEN'; redis.call('SET', KEYS[1], state)
  return answer('PROBE')
end
local mine = state == 'CLOSED' or redis.call('GET', KEYS[4]) == token
if tonumber(ARGV[3]) ~= epoch or not mine then return answer('OLD') end
if op == 'yield' then redis.call('DEL', KEYS[4]); return answer('OK') end
if op == 'ok' then
  redis.call('DEL', KEYS[2])
  if state ~= 'CLOSED' then
    state = 'CLOSED'; redis.call('SET', KEYS[1], state); redis.call('DEL', KEYS[3], KEYS[4], KEYS[6])
  end
  return answer('OK')
end
if op == 'trip' or state ~= 'CLOSED' then return open() end
if ARGV[8] == '1' then redis.call('DEL', KEYS[2]) end
if redis.call('INCR', KEYS[2]) >= tonumber(ARGV[7]) then return open() end
return answer('COUNTED')
