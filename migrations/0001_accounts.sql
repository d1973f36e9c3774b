-- Accounts: who exists, how they sign in, what they may do.
-- One set of migrations for SQLite and PostgreSQL: TEXT, BIGINT and BOOLEAN only. Ids are UUIDv7 text, moments
-- are unix milliseconds, digests and sealed values are base64url text.

CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL,
    email_key     TEXT    NOT NULL UNIQUE,  -- the address in lower case: one account whatever the letter case
    name          TEXT    NOT NULL,
    password_hash TEXT,                     -- PHC string; none: the account has no password
    state         TEXT    NOT NULL,         -- active | deactivated
    epoch         BIGINT  NOT NULL,         -- raised: every session and grant of the account is dead
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL
);

-- An attempt to register. It becomes an account when its address is proven; until then it takes nothing away
-- from the owner of the address, so nobody prepares an account for somebody else.
CREATE TABLE registrations (
    id             TEXT   NOT NULL PRIMARY KEY,
    email          TEXT   NOT NULL,
    email_key      TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    password_hash  TEXT   NOT NULL,
    known_address  BOOLEAN NOT NULL,        -- the address has an account already: only its owner is told
    browser_digest TEXT   NOT NULL,         -- the browser that may see the "check your mail" page
    flow_id        TEXT,                    -- the walk to go on with afterwards
    code_tag       TEXT,                    -- HMAC of the typed code of the newest mail
    code_tries     BIGINT NOT NULL,
    mailed_at      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    ended_at       BIGINT                   -- activated, or another attempt for the address was
);
CREATE INDEX registrations_by_email ON registrations (email_key, created_at);
CREATE INDEX registrations_by_expiry ON registrations (expires_at);

-- Everything that may be used once and is not an authorization code: activation links now.
CREATE TABLE single_use (
    digest      TEXT   NOT NULL PRIMARY KEY,
    kind        TEXT   NOT NULL,
    subject     TEXT   NOT NULL,            -- what it opens, an id of the kind's own table
    expires_at  BIGINT NOT NULL,
    consumed_at BIGINT
);
CREATE INDEX single_use_by_expiry ON single_use (expires_at);

-- Tries that were not proven right, per account, known browser, client address or mail recipient.
CREATE TABLE throttles (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT,                      -- of an account, or of a browser it is known in
    failures     BIGINT  NOT NULL,
    window_start BIGINT  NOT NULL,
    in_a_row     BIGINT  NOT NULL,
    locks        BIGINT  NOT NULL,
    locked_until BIGINT,
    told         BOOLEAN NOT NULL,          -- the owner has had a mail about this lock
    expires_at   BIGINT  NOT NULL           -- an account's own count is never forgotten, only cleared
);
CREATE INDEX throttles_by_user ON throttles (user_id);
CREATE INDEX throttles_by_expiry ON throttles (expires_at);

CREATE TABLE sessions (
    id              TEXT   NOT NULL PRIMARY KEY,
    digest          TEXT   NOT NULL UNIQUE, -- of the cookie
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    user_epoch      BIGINT NOT NULL,
    global_epoch    BIGINT NOT NULL,
    auth_time       BIGINT NOT NULL,
    authentication  TEXT   NOT NULL,
    client_address  TEXT   NOT NULL,
    user_agent      TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,        -- to the minute
    idle_expires_at BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    ended_at        BIGINT,
    kept_until      BIGINT                  -- its row stays that long, because a grant still names it
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (COALESCE(kept_until, expires_at));

-- Browsers in which an account signed in before: they have their own count of wrong tries, so that a stranger's
-- tries do not lock the owner out.
CREATE TABLE known_browsers (
    user_id        TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    browser_digest TEXT   NOT NULL,
    expires_at     BIGINT NOT NULL,
    PRIMARY KEY (user_id, browser_digest)
);
CREATE INDEX known_browsers_by_expiry ON known_browsers (expires_at);

CREATE TABLE roles (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    built_in    BOOLEAN NOT NULL
);
INSERT INTO roles (id, name, description, built_in) VALUES
    ('00000000-0000-7000-8000-000000000001', 'admin', 'Manages users, applications and roles', TRUE),
    ('00000000-0000-7000-8000-000000000002', 'user', 'Every account has it', TRUE);

CREATE TABLE groups (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL
);

CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_by_role ON user_roles (role_id);

CREATE TABLE user_groups (
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
);
CREATE INDEX user_groups_by_group ON user_groups (group_id);

CREATE TABLE group_roles (
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role_id  TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, role_id)
);
CREATE INDEX group_roles_by_role ON group_roles (role_id);
