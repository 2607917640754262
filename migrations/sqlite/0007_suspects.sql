-- What ran when a process fell: "incarnation" is whose, as 32 hexadecimal digits. "disables" = it was the second of its
-- channel and module within ten minutes; such a row stays until an operator enables the module again. All times are
-- the database's own clock, since several nodes compare them. No foreign key: a fall must always find its place.

CREATE TABLE suspects (
    channel_id TEXT NOT NULL,
    module TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    reason TEXT NOT NULL,
    disables BOOLEAN NOT NULL,
    suspected_at TEXT NOT NULL,
    PRIMARY KEY (channel_id, module, incarnation)
);
