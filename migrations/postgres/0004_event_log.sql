-- Channels whose lines are kept with their texts for a while, and what happened in all of them.

CREATE TABLE recordings (
    channel_id TEXT PRIMARY KEY REFERENCES channels (id),
    until TIMESTAMPTZ NOT NULL,
    started_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- An id is the time in microseconds, shifted by ten bits that tell nodes apart: ids of a day are one range.
CREATE TABLE event_log (
    id BIGINT PRIMARY KEY,
    channel_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    user_login TEXT NOT NULL,
    body TEXT NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX event_log_channel_idx ON event_log (channel_id, id);
CREATE INDEX event_log_message_idx ON event_log (channel_id, message_id) WHERE message_id <> '';
CREATE INDEX event_log_context_idx ON event_log (channel_id, id) WHERE kind IN ('gap', 'shed', 'lost', 'started', 'held');

-- Makes the partition of a day (since 1970) unless it is there. Nodes that do it at once wait for each other.
CREATE FUNCTION event_log_open_day(day BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    ids_a_day CONSTANT BIGINT := 88473600000000;
    partition TEXT := 'event_log_day_' || day;
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    PERFORM pg_advisory_xact_lock(131260083432550);
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF event_log FOR VALUES FROM (%s) TO (%s)',
        partition, day * ids_a_day, (day + 1) * ids_a_day);
    RETURN TRUE;
END;
$$;

-- Drops the partitions of the days before, and says how many.
CREATE FUNCTION event_log_drop_days(before_day BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    partition TEXT;
    dropped BIGINT := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(131260083432550);
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'event_log'::regclass AND split_part(c.relname, '_', 4)::BIGINT < before_day
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END;
$$;
