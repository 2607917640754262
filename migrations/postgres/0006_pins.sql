-- Keys that an operator tied to a node; the ring decides while that node is not on it.

CREATE TABLE pins (
    key TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    pinned_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
