-- Replies that belong to an effect and have not left yet. A row goes when its reply is written or given up.
-- "claimed_by" is the process that holds the reply in memory; NULL: nobody, whoever owns the channel sends it.

CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    op_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    claimed_by TEXT,
    in_reply_to TEXT,
    correlation_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX outbox_pending_idx ON outbox (created_at) WHERE claimed_by IS NULL;
