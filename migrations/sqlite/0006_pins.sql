-- Keys that an operator tied to a node of a cluster, which needs PostgreSQL: empty here.

CREATE TABLE pins (
    key TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    pinned_by TEXT NOT NULL,
    created_at TEXT NOT NULL
);
