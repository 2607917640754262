-- The queue: the row is the message. All its times are the database's own clock, since several nodes compare them.

CREATE TABLE queue_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    partition_no BIGINT NOT NULL CHECK (partition_no BETWEEN 0 AND 63),
    partition_key TEXT NOT NULL,
    message_id TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'retry', 'running', 'done', 'dead', 'dropped')),
    attempts BIGINT NOT NULL,
    available_at TEXT NOT NULL,
    claimed_by TEXT,
    claimed_until TEXT,
    reason TEXT,
    created_at TEXT NOT NULL,
    done_at TEXT
);
CREATE UNIQUE INDEX queue_messages_dedup_key ON queue_messages (topic, message_id);
CREATE INDEX queue_messages_waiting_idx ON queue_messages (partition_no, id) WHERE state = 'waiting';
CREATE INDEX queue_messages_retry_idx ON queue_messages (available_at) WHERE state = 'retry';
CREATE INDEX queue_messages_running_idx ON queue_messages (claimed_until) WHERE state = 'running';
CREATE INDEX queue_messages_dead_idx ON queue_messages (id) WHERE state = 'dead';
CREATE INDEX queue_messages_done_idx ON queue_messages (done_at) WHERE done_at IS NOT NULL;
