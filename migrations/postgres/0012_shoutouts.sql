-- Shoutouts: a community's own texts, who got one, and the sums that statistics show.

CREATE TABLE shoutout_templates (
    community_id TEXT NOT NULL REFERENCES communities (id),
    platform TEXT NOT NULL,
    is_live BOOLEAN NOT NULL,
    template TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (community_id, platform, is_live)
);

CREATE TABLE shoutouts (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    community_id TEXT NOT NULL REFERENCES communities (id),
    platform TEXT NOT NULL,
    target_user_id TEXT NOT NULL,
    target_login TEXT NOT NULL,
    message TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX shoutouts_community_idx ON shoutouts (community_id, id);
CREATE INDEX shoutouts_created_idx ON shoutouts (created_at);

CREATE TABLE shoutout_targets (
    community_id TEXT NOT NULL REFERENCES communities (id),
    target_user_id TEXT NOT NULL,
    n_shoutouts BIGINT NOT NULL,
    last_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (community_id, target_user_id)
);

CREATE TABLE shoutout_books (
    community_id TEXT PRIMARY KEY REFERENCES communities (id),
    n_shoutouts BIGINT NOT NULL,
    n_targets BIGINT NOT NULL,
    first_at TIMESTAMPTZ NOT NULL,
    last_at TIMESTAMPTZ NOT NULL
);
