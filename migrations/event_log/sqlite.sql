-- What happened, in a file of its own (<data_dir>/events.db); on PostgreSQL it is migration 4 of the main database.
-- Run at every start, so it changes nothing that is there.

CREATE TABLE IF NOT EXISTS event_log (
    id INTEGER PRIMARY KEY,
    channel_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    user_login TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_log_channel_idx ON event_log (channel_id, id);
CREATE INDEX IF NOT EXISTS event_log_message_idx ON event_log (channel_id, message_id) WHERE message_id <> '';
CREATE INDEX IF NOT EXISTS event_log_context_idx ON event_log (channel_id, id)
    WHERE kind IN ('gap', 'shed', 'lost', 'started', 'held');
