-- +goose Up
-- An agency has the signed notice that a release to it is over.
CREATE TABLE acknowledgements (
    release_id TEXT PRIMARY KEY REFERENCES releases (id),
    agency_id  TEXT NOT NULL REFERENCES agencies (id),
    kid        TEXT NOT NULL,        -- the key that signed it
    jws        TEXT NOT NULL,        -- the compact token exactly as received
    sha256     TEXT NOT NULL UNIQUE, -- of jws, in hex
    created_at BIGINT NOT NULL CHECK (created_at > 0)
);
