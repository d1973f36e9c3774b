-- What a look at the database writes, to see that it takes writes: a table of its own, which no request reads. Older nodes
-- do not know it and do without.
CREATE TABLE heartbeat (
    name  TEXT   NOT NULL PRIMARY KEY, -- `look` alone
    beats BIGINT NOT NULL              -- one more each time: SQLite writes nothing where nothing changes
);
