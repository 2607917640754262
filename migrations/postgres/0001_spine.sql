-- Communities, channels, people, commands and what keeps operations single.
-- Ids are ULIDs as text; "person_id" stands wherever a viewer is named.

CREATE TABLE communities (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE channels (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    login TEXT NOT NULL,
    platform_id TEXT,
    community_id TEXT NOT NULL REFERENCES communities (id),
    affinity_key TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX channels_login_key ON channels (platform, login);
CREATE UNIQUE INDEX channels_platform_id_key ON channels (platform, platform_id) WHERE platform_id IS NOT NULL;
CREATE INDEX channels_community_idx ON channels (community_id);

CREATE TABLE persons (
    id TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE identities (
    platform TEXT NOT NULL,
    platform_user_id TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES persons (id),
    login TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (platform, platform_user_id)
);
CREATE INDEX identities_person_idx ON identities (person_id);
CREATE INDEX identities_login_idx ON identities (platform, login);

CREATE TABLE roles (
    community_id TEXT NOT NULL REFERENCES communities (id),
    platform TEXT NOT NULL,
    login TEXT NOT NULL,
    platform_user_id TEXT,
    person_id TEXT REFERENCES persons (id),
    level TEXT NOT NULL CHECK (level IN ('regular', 'editor')),
    granted_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (community_id, platform, login)
);
CREATE INDEX roles_person_idx ON roles (person_id);

CREATE TABLE settings (
    id TEXT PRIMARY KEY,
    community_id TEXT NOT NULL REFERENCES communities (id),
    channel_id TEXT REFERENCES channels (id),
    module TEXT NOT NULL,
    body TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX settings_scope_key ON settings (community_id, COALESCE(channel_id, ''), module);

CREATE TABLE module_states (
    channel_id TEXT NOT NULL REFERENCES channels (id),
    module TEXT NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (channel_id, module)
);

CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    module_name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    usage TEXT NOT NULL DEFAULT '',
    category TEXT NOT NULL DEFAULT 'general',
    permission_level TEXT NOT NULL DEFAULT 'everyone',
    cooldown_seconds BIGINT NOT NULL DEFAULT 0,
    user_cooldown_seconds BIGINT NOT NULL DEFAULT 0,
    response TEXT NOT NULL DEFAULT '',
    use_count BIGINT NOT NULL DEFAULT 0,
    community_id TEXT REFERENCES communities (id),
    channel_id TEXT REFERENCES channels (id),
    is_enabled BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CHECK (community_id IS NULL OR channel_id IS NULL)
);
CREATE UNIQUE INDEX commands_scope_key ON commands (COALESCE(channel_id, ''), COALESCE(community_id, ''), command);
CREATE INDEX commands_channel_idx ON commands (channel_id);
CREATE INDEX commands_community_idx ON commands (community_id);

CREATE TABLE aliases (
    id TEXT PRIMARY KEY,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    usage_count BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX aliases_name_key ON aliases (channel_id, name);

CREATE TABLE counters (
    community_id TEXT NOT NULL REFERENCES communities (id),
    name TEXT NOT NULL,
    value BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (community_id, name)
);

CREATE TABLE timers (
    id TEXT PRIMARY KEY,
    channel_id TEXT NOT NULL REFERENCES channels (id),
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    interval_secs BIGINT NOT NULL,
    min_lines BIGINT NOT NULL,
    only_live BOOLEAN NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    next_due_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX timers_name_key ON timers (channel_id, name);
CREATE INDEX timers_due_idx ON timers (next_due_at) WHERE is_enabled;

CREATE TABLE cooldowns (
    channel_id TEXT NOT NULL REFERENCES channels (id),
    command TEXT NOT NULL,
    platform_user_id TEXT NOT NULL DEFAULT '',
    person_id TEXT REFERENCES persons (id),
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (channel_id, command, platform_user_id)
);
CREATE INDEX cooldowns_expiry_idx ON cooldowns (expires_at);

CREATE TABLE bot_accounts (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    login TEXT NOT NULL,
    platform_user_id TEXT,
    community_id TEXT REFERENCES communities (id),
    access_token BYTEA,
    refresh_token BYTEA,
    key_id TEXT,
    expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX bot_accounts_login_key ON bot_accounts (platform, login, COALESCE(community_id, ''));

CREATE TABLE ops (
    op_id TEXT PRIMARY KEY,
    outcome TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ops_created_idx ON ops (created_at);

CREATE TABLE audit_log (
    id TEXT PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL,
    person_id TEXT,
    community_id TEXT,
    channel_id TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    correlation_id TEXT
);
CREATE INDEX audit_log_community_idx ON audit_log (community_id, id);
CREATE INDEX audit_log_channel_idx ON audit_log (channel_id, id);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();

CREATE TABLE change_versions (
    scope TEXT NOT NULL,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (scope, kind)
);

-- "txid" is the writing transaction on PostgreSQL, where ids can be committed out of order, and 0 on SQLite.
CREATE TABLE changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    scope TEXT NOT NULL,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL
);
CREATE INDEX changes_txid_idx ON changes (txid, id);
CREATE INDEX changes_at_idx ON changes (at);

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
