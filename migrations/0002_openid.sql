-- OpenID Connect: applications, walks through the pages, consents, codes, grants.

CREATE TABLE clients (
    id                        TEXT    NOT NULL PRIMARY KEY,
    name                      TEXT    NOT NULL,
    auth_method               TEXT    NOT NULL, -- none | client_secret_basic | client_secret_post | …_basic_or_post
    secret_digest             TEXT,
    redirect_uris             TEXT    NOT NULL, -- JSON array of strings, compared byte by byte
    loopback_port             BOOLEAN NOT NULL, -- native application: its loopback URIs come with any port
    post_logout_redirect_uris TEXT    NOT NULL, -- JSON array of strings
    home_uri                  TEXT,
    scope                     TEXT    NOT NULL, -- the most it may ask for
    pkce                      TEXT    NOT NULL, -- always | or-nonce | optional
    consent                   TEXT    NOT NULL, -- ask | skip
    id_token_alg              TEXT    NOT NULL,
    access_token_alg          TEXT    NOT NULL,
    enabled                   BOOLEAN NOT NULL,
    epoch                     BIGINT  NOT NULL, -- raised: every grant of the application is dead
    created_at                BIGINT  NOT NULL
);

-- Numbers that end everything at once; `global` is raised after a restore.
CREATE TABLE epochs (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO epochs (name, value) VALUES ('global', 0);

-- A walk through the hosted pages, bound to one browser. Written only when a page must be shown.
CREATE TABLE flows (
    id             TEXT   NOT NULL PRIMARY KEY,
    browser_digest TEXT   NOT NULL,
    target         TEXT   NOT NULL,             -- JSON of the checked request
    started_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    closed_at      BIGINT
);
CREATE INDEX flows_by_expiry ON flows (expires_at);

CREATE TABLE consents (
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT   NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    scope      TEXT   NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_by_client ON consents (client_id);

CREATE TABLE codes (
    digest         TEXT   NOT NULL PRIMARY KEY,
    grant_id       TEXT   NOT NULL,             -- made now, so that a replay finds what came of the code
    client_id      TEXT   NOT NULL,
    user_id        TEXT   NOT NULL,
    session_id     TEXT   NOT NULL,
    scope          TEXT   NOT NULL,
    redirect_uri   TEXT   NOT NULL,
    nonce          TEXT,
    code_challenge TEXT,
    auth_time      BIGINT NOT NULL,
    authentication TEXT   NOT NULL,
    user_epoch     BIGINT NOT NULL,
    client_epoch   BIGINT NOT NULL,
    global_epoch   BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    consumed_at    BIGINT
);
CREATE INDEX codes_by_expiry ON codes (expires_at);

-- A grant and all tokens that come of it, one row however often it is refreshed.
CREATE TABLE grants (
    id              TEXT   NOT NULL PRIMARY KEY,
    client_id       TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    session_id      TEXT   NOT NULL,
    scope           TEXT   NOT NULL,
    auth_time       BIGINT NOT NULL,
    authentication  TEXT   NOT NULL,
    generation      BIGINT NOT NULL,            -- only the refresh token of this generation is good
    user_epoch      BIGINT NOT NULL,
    client_epoch    BIGINT NOT NULL,
    global_epoch    BIGINT NOT NULL,
    offline         BOOLEAN NOT NULL,           -- outlives its session
    created_at      BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    revoked_at      BIGINT
);
CREATE INDEX grants_by_user ON grants (user_id, client_id);
CREATE INDEX grants_by_client ON grants (client_id);
CREATE INDEX grants_by_session ON grants (session_id);
CREATE INDEX grants_by_expiry ON grants (idle_expires_at);
