#!lua flags=allow-oom
-- reinject: put back what a lane holds in memory after Redis went back in time and forgot the lane.
-- KEYS 1 queue | 2 ledger hash    ARGV 1 stage | 2.. entries, oldest first
-- returns how many
-- may double an entry that the older Redis still has, never loses one; counted so that the ledger stays true
for i = #ARGV, 2, -1 do redis.call('RPUSH', KEYS[1], ARGV[i]) end
redis.call('HINCRBY', KEYS[2], ARGV[1] .. ':reinjected', #ARGV - 1)
return #ARGV - 1
