-- What is to be said at a time. One row for a whole series: "rule" says when it comes again, "due_at" is its next time, and
-- "number" is what people call it in its community, which is never given again. "created_by" and "user_id" are
-- platform accounts (platform:id, and the platform's id), since whoever is reminded may never have been seen.

CREATE TABLE reminder_books (
    community_id TEXT PRIMARY KEY REFERENCES communities (id),
    last_number BIGINT NOT NULL
);

CREATE TABLE reminders (
    id TEXT PRIMARY KEY,
    community_id TEXT NOT NULL REFERENCES communities (id),
    channel_id TEXT NOT NULL REFERENCES channels (id),
    number BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    creator_name TEXT NOT NULL,
    person_id TEXT REFERENCES persons (id),
    user_id TEXT,
    username TEXT NOT NULL,
    body TEXT NOT NULL,
    rule TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'missed')),
    due_at TIMESTAMPTZ NOT NULL,
    n_sent BIGINT NOT NULL DEFAULT 0,
    n_missed BIGINT NOT NULL DEFAULT 0,
    last_sent_at TIMESTAMPTZ,
    last_missed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX reminders_number_key ON reminders (community_id, number);
CREATE INDEX reminders_due_idx ON reminders (due_at, id) WHERE status = 'pending';
CREATE INDEX reminders_pending_idx ON reminders (community_id, due_at, id) WHERE status = 'pending';
CREATE INDEX reminders_channel_idx ON reminders (channel_id) WHERE status = 'pending';
CREATE INDEX reminders_creator_idx ON reminders (community_id, created_by, number);
CREATE INDEX reminders_user_idx ON reminders (community_id, user_id, number);
CREATE INDEX reminders_over_idx ON reminders (updated_at) WHERE status <> 'pending';
CREATE INDEX reminders_person_idx ON reminders (person_id);
