-- Addresses that a community keeps. "url_key" tells two spellings of one address; "tags" is a list in JSON, for showing
-- and for the search, and "bookmark_tags" the same for finding.

CREATE TABLE bookmark_books (
    community_id TEXT PRIMARY KEY REFERENCES communities (id),
    n_bookmarks BIGINT NOT NULL,
    n_visits BIGINT NOT NULL DEFAULT 0,
    last_number BIGINT NOT NULL
);

CREATE TABLE bookmarks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    community_id TEXT NOT NULL REFERENCES communities (id),
    number BIGINT NOT NULL,
    url TEXT NOT NULL,
    url_key TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    visits BIGINT NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL,
    person_id TEXT REFERENCES persons (id),
    search TSVECTOR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX bookmarks_number_key ON bookmarks (community_id, number);
CREATE UNIQUE INDEX bookmarks_url_key ON bookmarks (community_id, url_key);
CREATE INDEX bookmarks_visits_idx ON bookmarks (community_id, visits, number);
CREATE INDEX bookmarks_creator_idx ON bookmarks (community_id, created_by, number);
CREATE INDEX bookmarks_person_idx ON bookmarks (person_id);

CREATE INDEX bookmarks_search_idx ON bookmarks USING gin (search) WITH (fastupdate = off);

CREATE TABLE bookmark_tags (
    community_id TEXT NOT NULL REFERENCES communities (id),
    tag TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (community_id, tag, number)
);

CREATE TABLE bookmark_tag_counts (
    community_id TEXT NOT NULL REFERENCES communities (id),
    tag TEXT NOT NULL,
    n_bookmarks BIGINT NOT NULL,
    PRIMARY KEY (community_id, tag)
);
