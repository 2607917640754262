-- Channels whose lines are kept with their texts for a while. What happened stands in a file of its own:
-- migrations/event_log/sqlite.sql.

CREATE TABLE recordings (
    channel_id TEXT PRIMARY KEY REFERENCES channels (id),
    until TEXT NOT NULL,
    started_by TEXT NOT NULL,
    created_at TEXT NOT NULL
);
