-- Who is in the cluster, who is on the ring, and who owns what. All times are the database's own clock, since several
-- nodes compare them. An incarnation is 32 hexadecimal digits; "dead" is final for it.

CREATE TABLE nodes (
    incarnation TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    address TEXT NOT NULL,
    roles TEXT NOT NULL,
    weight BIGINT NOT NULL,
    protocol_min BIGINT NOT NULL,
    protocol_max BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('joining', 'active', 'draining', 'dead')),
    lease_until TIMESTAMPTZ NOT NULL,
    joined_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX nodes_living_key ON nodes (node_id) WHERE state <> 'dead';

-- "members" is a list in JSON. The last 100 are kept.
CREATE TABLE views (
    version BIGINT PRIMARY KEY,
    members TEXT NOT NULL,
    published_at TIMESTAMPTZ NOT NULL
);

-- "epoch" counts the changes of owner; a row is never deleted, so it never goes back.
CREATE TABLE owners (
    key TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    released BOOLEAN NOT NULL
);
CREATE INDEX owners_incarnation_idx ON owners (incarnation);
