-- Streamers who get a shoutout by themselves where the list says so.

CREATE TABLE shoutout_lists (
    community_id TEXT NOT NULL REFERENCES communities (id),
    login TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (community_id, login)
);
