-- What people said. A quote is known by its number in its community, which is never given again; "position" runs from 1
-- to the number of quotes without a gap, so that one can be drawn without reading the others. "search" holds the words
-- by their weight, and the community as one more word.

CREATE TABLE quote_books (
    community_id TEXT PRIMARY KEY REFERENCES communities (id),
    n_quotes BIGINT NOT NULL,
    last_number BIGINT NOT NULL
);

CREATE TABLE quotes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    community_id TEXT NOT NULL REFERENCES communities (id),
    number BIGINT NOT NULL,
    position BIGINT NOT NULL,
    body TEXT NOT NULL,
    author TEXT NOT NULL,
    author_key TEXT NOT NULL,
    author_user_id TEXT,
    category TEXT NOT NULL,
    game TEXT,
    created_by TEXT NOT NULL,
    person_id TEXT REFERENCES persons (id),
    upvotes BIGINT NOT NULL DEFAULT 0,
    downvotes BIGINT NOT NULL DEFAULT 0,
    search TSVECTOR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX quotes_number_key ON quotes (community_id, number);
CREATE UNIQUE INDEX quotes_position_key ON quotes (community_id, position);
CREATE INDEX quotes_category_idx ON quotes (community_id, category, number);
CREATE INDEX quotes_author_idx ON quotes (community_id, author_key, number);
CREATE INDEX quotes_votes_idx ON quotes (community_id, (upvotes - downvotes), number);
CREATE INDEX quotes_person_idx ON quotes (person_id);

CREATE INDEX quotes_search_idx ON quotes USING gin (search) WITH (fastupdate = off);

CREATE TABLE quote_categories (
    community_id TEXT NOT NULL REFERENCES communities (id),
    category TEXT NOT NULL,
    n_quotes BIGINT NOT NULL,
    PRIMARY KEY (community_id, category)
);

CREATE TABLE quote_votes (
    quote_id BIGINT NOT NULL REFERENCES quotes (id) ON DELETE CASCADE,
    voter TEXT NOT NULL,
    person_id TEXT REFERENCES persons (id),
    vote BIGINT NOT NULL CHECK (vote IN (-1, 1)),
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (quote_id, voter)
);
CREATE INDEX quote_votes_person_idx ON quote_votes (person_id);
