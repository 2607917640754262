-- Takes one slot of a sliding window. All of it happens at one moment of the server, by the server's clock.
-- KEYS: the window, the sentinel. ARGV: limit, window in µs, name of this slot, run id of the server.
-- Answers {1, 0}: taken, or {0, µs until a slot is free}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])

-- The sentinel says since when this server has counted. Without one it was emptied, with another run id it began
-- anew from an older copy: what was taken before is unknown, so it counts as all.
local run, since = string.match(redis.call('GET', KEYS[2]) or '', '^(%w+) (%d+)$')
since = tonumber(since)
if run ~= ARGV[4] or since > now then
    since = now
    redis.call('SET', KEYS[2], ARGV[4] .. ' ' .. string.format('%.0f', now))
end
if now < since + window then
    return {0, since + window - now}
end

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
if redis.call('ZCARD', KEYS[1]) < limit then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
    return {1, 0}
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, math.min(window, math.max(1, oldest[2] + window - now))}
