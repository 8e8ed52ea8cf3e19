-- +goose Up
-- The signatures of a grant that several members have to sign, all but the last: that one is in
-- grants. They are void, and deleted, when the release is changed or a signer's passkey ends.
CREATE TABLE approvals (
    release_id         TEXT NOT NULL REFERENCES releases (id),
    place              BIGINT NOT NULL CHECK (place BETWEEN 1 AND 4),
    round              BIGINT NOT NULL,
    member_id          TEXT NOT NULL REFERENCES members (id),
    looked             BOOLEAN NOT NULL,
    document           TEXT NOT NULL,  -- canonical JSON, the same for every place
    client_data        BYTEA NOT NULL,
    authenticator_data BYTEA NOT NULL,
    signature          BYTEA NOT NULL,
    public_key         BYTEA NOT NULL, -- COSE
    credential_id      TEXT NOT NULL REFERENCES credentials (id),
    created_at         BIGINT NOT NULL,
    PRIMARY KEY (release_id, place),
    UNIQUE (release_id, member_id),
    UNIQUE (release_id, credential_id)
);
CREATE INDEX approvals_credential ON approvals (credential_id);

-- Times during which nothing can be approved. None is ended early.
CREATE TABLE freezes (
    id       TEXT PRIMARY KEY,
    why      TEXT NOT NULL CHECK (why IN ('recovery', 'panic')),
    actor    TEXT NOT NULL,
    since_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL CHECK (until_at > since_at)
);
CREATE INDEX freezes_until ON freezes (until_at);

-- Codes with which a member who lost every passkey comes back, as SHA-256. Each works once.
CREATE TABLE recovery_codes (
    hash       TEXT PRIMARY KEY CHECK (length(hash) = 64),
    member_id  TEXT NOT NULL REFERENCES members (id),
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX recovery_codes_member ON recovery_codes (member_id);

-- A link for somebody who belongs to the home already and comes back; empty for a new member.
ALTER TABLE invitations ADD COLUMN member_id TEXT NOT NULL DEFAULT '';
