-- +goose Up
-- What the detectors found for a release that is still open, sealed, so that a round after an edit
-- need not search the footage again. It goes when the release is signed or given up.
CREATE TABLE searches (
    release_id TEXT PRIMARY KEY REFERENCES releases (id),
    round      BIGINT NOT NULL CHECK (round >= 1), -- that searched
    key_id     TEXT NOT NULL UNIQUE,
    object     TEXT NOT NULL UNIQUE,
    bytes      BIGINT NOT NULL CHECK (bytes >= 1) -- of the plaintext
);
