-- What platform accounts may do in a time, over all processes: slices are booked here before they are used.
-- Times are the database's own clock, since several nodes compare them.

CREATE TABLE budgets (
    account TEXT NOT NULL,
    resource TEXT NOT NULL,
    booked TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, resource)
);
