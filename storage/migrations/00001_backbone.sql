-- +goose Up
-- One schema for SQLite and PostgreSQL. Times are milliseconds since 1970, UTC; 0 is "never".
-- JSON is text. Every state has a CHECK, so that an impossible row cannot be stored.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE members (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('homeowner', 'approver', 'member', 'operator')),
    created_at BIGINT NOT NULL,
    removed_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE credentials (
    id         TEXT PRIMARY KEY, -- base64url of the credential id
    member_id  TEXT NOT NULL REFERENCES members (id),
    name       TEXT NOT NULL,
    record     TEXT NOT NULL,    -- JSON of the library's credential, with the public key
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0,
    revoked_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX credentials_member ON credentials (member_id);

-- A one-time link that lets a person join: the first homeowner at set-up, others by invitation.
CREATE TABLE invitations (
    token_hash TEXT PRIMARY KEY,
    role       TEXT NOT NULL CHECK (role IN ('homeowner', 'approver', 'member', 'operator')),
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    member_id  TEXT NOT NULL REFERENCES members (id),
    agent      TEXT NOT NULL,    -- the browser, as it calls itself, so that a member knows it again
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_member ON sessions (member_id);

-- A passkey ceremony under way. It is used once, in the transaction of what it allows.
CREATE TABLE ceremonies (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('register', 'sign_in', 'grant')),
    member_id  TEXT NOT NULL,
    subject    TEXT NOT NULL,    -- release id for a grant, invitation for registration
    session    TEXT NOT NULL,    -- JSON of the library's session data
    document   TEXT NOT NULL,    -- canonical grant
    expires_at BIGINT NOT NULL
);

CREATE TABLE agencies (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    level          TEXT NOT NULL CHECK (level IN ('local', 'county', 'state', 'federal', 'other')),
    jurisdiction   TEXT NOT NULL,
    domains        TEXT NOT NULL, -- JSON list
    phone          TEXT NOT NULL,
    complaints     TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    verified_by    TEXT NOT NULL,
    verified_how   TEXT NOT NULL,
    verified_at    BIGINT NOT NULL,
    verified_until BIGINT NOT NULL,
    created_at     BIGINT NOT NULL
);

CREATE TABLE agency_keys (
    kid        TEXT PRIMARY KEY CHECK (length(kid) = 43),
    agency_id  TEXT NOT NULL REFERENCES agencies (id),
    alg        TEXT NOT NULL CHECK (alg IN ('EdDSA', 'ES256')),
    jwk        TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('active', 'retired', 'compromised')),
    since      BIGINT NOT NULL
);
CREATE INDEX agency_keys_agency ON agency_keys (agency_id);

-- Tokens of calls that leave no other row (polls, withdrawals, openings), so that none is replayed.
CREATE TABLE seen_tokens (
    agency_id  TEXT NOT NULL,
    jti        TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (agency_id, jti)
);
CREATE INDEX seen_tokens_expires ON seen_tokens (expires_at);

CREATE TABLE cameras (
    id           TEXT PRIMARY KEY,
    handle       TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    zone         TEXT NOT NULL,
    clock_offset BIGINT NOT NULL DEFAULT 0, -- milliseconds that the camera's clock is ahead
    interior     BOOLEAN NOT NULL DEFAULT FALSE,
    masks        TEXT NOT NULL,             -- JSON list
    created_at   BIGINT NOT NULL
);

CREATE TABLE clips (
    id         TEXT PRIMARY KEY,
    camera_id  TEXT NOT NULL REFERENCES cameras (id),
    name       TEXT NOT NULL,
    start_at   BIGINT NOT NULL,
    duration   BIGINT NOT NULL, -- milliseconds, 0 until probed
    state      TEXT NOT NULL CHECK (state IN ('received', 'ready', 'refused', 'disposed')),
    reason     TEXT NOT NULL,
    object     TEXT NOT NULL,
    bytes      BIGINT NOT NULL,
    sha256     TEXT NOT NULL,
    salt       TEXT NOT NULL,
    width      BIGINT NOT NULL,
    height     BIGINT NOT NULL,
    fps        DOUBLE PRECISION NOT NULL,
    codec      TEXT NOT NULL,
    audio      BOOLEAN NOT NULL,
    stills     TEXT NOT NULL,   -- JSON list of object names
    created_at BIGINT NOT NULL,
    UNIQUE (camera_id, start_at, sha256)
);
CREATE INDEX clips_camera_start ON clips (camera_id, start_at);

CREATE TABLE requests (
    id           TEXT PRIMARY KEY,
    agency_id    TEXT NOT NULL REFERENCES agencies (id),
    kid          TEXT NOT NULL REFERENCES agency_keys (kid),
    jti          TEXT NOT NULL,
    jws          TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    claims       TEXT NOT NULL,
    received_at  BIGINT NOT NULL,
    respond_by   BIGINT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'closed')),
    reason       TEXT NOT NULL CHECK (reason IN ('', 'declined', 'withdrawn', 'rule', 'deadline', 'key')),
    closed_at    BIGINT NOT NULL DEFAULT 0,
    seen_at      BIGINT NOT NULL DEFAULT 0,
    withdrawn_at BIGINT NOT NULL DEFAULT 0,
    release_id   TEXT NOT NULL DEFAULT '',
    released_at  BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (agency_id, jti),
    CHECK ((state = 'closed') = (reason <> '')),
    CHECK (ended_at = 0 OR released_at > 0)
);
CREATE INDEX requests_state ON requests (state, respond_by);
CREATE INDEX requests_agency ON requests (agency_id, received_at);

CREATE TABLE releases (
    id          TEXT PRIMARY KEY,
    request_id  TEXT NOT NULL REFERENCES requests (id),
    clip_id     TEXT NOT NULL REFERENCES clips (id),
    draft       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('preparing', 'failed', 'review', 'live', 'revoked', 'expired', 'discarded')),
    round       BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    prepared_by TEXT NOT NULL,
    failure     TEXT NOT NULL,
    progress    BIGINT NOT NULL,
    copies      TEXT NOT NULL,  -- JSON list
    proxy       TEXT NOT NULL,
    proxy_bytes BIGINT NOT NULL,
    summary     TEXT NOT NULL,
    needs_look  BOOLEAN NOT NULL,
    grant_id    TEXT NOT NULL,
    grant_doc   TEXT NOT NULL,  -- canonical JSON
    granted_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    end_reason  TEXT NOT NULL,
    ended_by    TEXT NOT NULL,
    shredded_at BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    CHECK (state NOT IN ('live', 'revoked', 'expired') OR (grant_doc <> '' AND granted_at > 0 AND expires_at > 0)),
    CHECK (state NOT IN ('revoked', 'expired', 'discarded') OR ended_at > 0),
    CHECK (shredded_at = 0 OR state IN ('revoked', 'expired', 'discarded'))
);
CREATE INDEX releases_request ON releases (request_id);
CREATE INDEX releases_state ON releases (state, expires_at);

-- The proof of a grant: what the passkey signed and with which key. Kept for good.
CREATE TABLE grants (
    id                 TEXT PRIMARY KEY,
    release_id         TEXT NOT NULL REFERENCES releases (id),
    member_id          TEXT NOT NULL,
    document           TEXT NOT NULL,
    client_data        BYTEA NOT NULL,
    authenticator_data BYTEA NOT NULL,
    signature          BYTEA NOT NULL,
    public_key         BYTEA NOT NULL, -- COSE
    credential_id      TEXT NOT NULL,
    log_index          BIGINT NOT NULL,
    created_at         BIGINT NOT NULL
);
CREATE INDEX grants_release ON grants (release_id);

CREATE TABLE links (
    id         TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    release_id TEXT NOT NULL REFERENCES releases (id),
    copy_id    TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    max_views  BIGINT NOT NULL,
    views_used BIGINT NOT NULL DEFAULT 0,
    revoked_at BIGINT NOT NULL DEFAULT 0,
    epoch      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    CHECK (views_used >= 0 AND views_used <= max_views)
);
CREATE INDEX links_release ON links (release_id);

-- A recipient's browser on its way in (pre) and while it watches (view).
CREATE TABLE view_sessions (
    token_hash   TEXT PRIMARY KEY,
    link_id      TEXT NOT NULL REFERENCES links (id),
    kind         TEXT NOT NULL CHECK (kind IN ('pre', 'view')),
    media_path   TEXT NOT NULL,  -- random path of the media, useless without the cookie
    code_mac     TEXT NOT NULL,
    code_expires BIGINT NOT NULL,
    code_tries   BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    bytes        BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX view_sessions_link ON view_sessions (link_id);

-- When codes were mailed for a link, to limit how many.
CREATE TABLE codes_sent (
    link_id TEXT NOT NULL REFERENCES links (id),
    sent_at BIGINT NOT NULL
);
CREATE INDEX codes_sent_link ON codes_sent (link_id, sent_at);

-- Mail waiting to be sent. What must not be read from a copy of the database is sealed.
CREATE TABLE outbox (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    address    TEXT NOT NULL,
    data       TEXT NOT NULL,    -- JSON for the template
    secret     TEXT NOT NULL,    -- sealed link or code, blanked once sent
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
    failure    TEXT NOT NULL,
    subject    TEXT NOT NULL,    -- id of the release or request it is about
    expires_at BIGINT NOT NULL,  -- no attempt after this
    created_at BIGINT NOT NULL,
    sent_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX outbox_subject ON outbox (subject);

-- The audit log: one row an entry, and the hashes of its Merkle tree.
CREATE TABLE log_state (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL
);
INSERT INTO log_state (id, size) VALUES (1, 0);

CREATE TABLE log_entries (
    idx     BIGINT PRIMARY KEY,
    leaf    TEXT NOT NULL,
    event   TEXT NOT NULL,  -- canonical JSON; empty once forgotten
    salt    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX log_entries_subject ON log_entries (subject, idx);

CREATE TABLE log_hashes (
    idx  BIGINT PRIMARY KEY,
    hash TEXT NOT NULL
);

CREATE TABLE checkpoints (
    size       BIGINT PRIMARY KEY,
    note       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

