-- +goose Up
-- What agencies attest about the copies that they had, each as the signed token it came in.
-- A statement, not a proof.
CREATE TABLE attestations (
    agency_id    TEXT NOT NULL REFERENCES agencies (id),
    jti          TEXT NOT NULL,
    release_id   TEXT NOT NULL REFERENCES releases (id),
    kid          TEXT NOT NULL REFERENCES agency_keys (kid),
    jws          TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    destroyed_at BIGINT NOT NULL,
    statement    TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (agency_id, jti)
);
CREATE INDEX attestations_release ON attestations (release_id, created_at);
