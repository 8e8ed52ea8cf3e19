-- +goose Up
-- What the relay states about each release copy, signed when the release went live. The digest
-- of the file stands beside it, for those who ask whether a file is one that was released.
CREATE TABLE manifests (
    copy_id    TEXT PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES releases (id),
    place      BIGINT NOT NULL CHECK (place >= 1), -- among the outputs of the grant
    sha256     TEXT NOT NULL,
    token      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (release_id, place)
);
CREATE INDEX manifests_sha256 ON manifests (sha256);

-- Orders that a court forbade to speak of: they are counted once that is over.
CREATE TABLE gags (
    request_id TEXT PRIMARY KEY REFERENCES requests (id),
    until_at   BIGINT NOT NULL,
    noted_by   TEXT NOT NULL,
    noted_at   BIGINT NOT NULL
);

-- Links with which the homeowner asks an agency to hand over its name and keys. What it hands over
-- registers nothing: a person compares the words of the keys first.
CREATE TABLE agency_invitations (
    token_hash TEXT PRIMARY KEY CHECK (length(token_hash) = 64),
    name       TEXT NOT NULL, -- whom the home means
    invited_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    agency_id  TEXT NOT NULL DEFAULT '', -- that it gave
    offer      TEXT NOT NULL DEFAULT '{}', -- JSON of what it handed over
    offered_at BIGINT NOT NULL DEFAULT 0,
    closed_at  BIGINT NOT NULL DEFAULT 0,
    CHECK ((offered_at = 0) = (agency_id = ''))
);
