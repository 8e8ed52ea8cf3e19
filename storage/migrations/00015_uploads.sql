-- +goose Up
-- Files that members bring piece by piece. What has come of one is sealed in the folder "uploads"
-- under a key of its own; its length there is how far it is.
CREATE TABLE uploads (
    id         TEXT PRIMARY KEY,
    member_id  TEXT NOT NULL REFERENCES members (id),
    camera_id  TEXT NOT NULL REFERENCES cameras (id),
    name       TEXT NOT NULL,
    start_at   BIGINT NOT NULL,
    size       BIGINT NOT NULL CHECK (size > 0),
    modified   BIGINT NOT NULL, -- of the file, on the machine of its member
    clip_id    TEXT NOT NULL DEFAULT '', -- that it became
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL CHECK (expires_at > created_at)
);
