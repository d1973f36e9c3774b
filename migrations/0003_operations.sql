-- What keeps the server running: keys, mail to be sent, the audit trail.

CREATE TABLE keys (
    id             TEXT   NOT NULL PRIMARY KEY, -- the `kid`
    purpose        TEXT   NOT NULL,             -- RS256 | ES256 | mac
    state          TEXT   NOT NULL,             -- next | active | retiring: the next one is published ahead
    public_jwk     TEXT,                        -- none for a MAC key
    sealed_private TEXT   NOT NULL,             -- under the key-encryption key
    created_at     BIGINT NOT NULL,
    activated_at   BIGINT,                      -- began to sign
    retired_at     BIGINT                       -- signs no more; stays published until its last token has expired
);
-- Two nodes that start, or rotate, at once agree on one key.
CREATE UNIQUE INDEX keys_one_active ON keys (purpose) WHERE state = 'active';
CREATE UNIQUE INDEX keys_one_next ON keys (purpose) WHERE state = 'next';

-- Mail on its way. Never a link or a token: those are made when it is handed over.
CREATE TABLE outbox (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    recipient     TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    subject       TEXT   NOT NULL,              -- the registration or user it is about
    minutes       BIGINT,                       -- a span the text names
    created_at    BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX outbox_by_due ON outbox (due_at);

CREATE TABLE audit (
    id             TEXT   NOT NULL PRIMARY KEY,
    at             BIGINT NOT NULL,
    event          TEXT   NOT NULL,
    actor          TEXT   NOT NULL,             -- a user id, a client id, `cli`, `system` or `anonymous`
    subject        TEXT,
    client_id      TEXT,
    client_address TEXT,
    request_id     TEXT,
    detail         TEXT   NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_subject ON audit (subject, at);
