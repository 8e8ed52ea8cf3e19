-- +goose Up
-- The home's standing rules. A removed rule keeps its row: verdicts and the log name it.
CREATE TABLE rules (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    preset     TEXT NOT NULL,
    condition  TEXT NOT NULL, -- CEL
    effect     TEXT NOT NULL, -- JSON
    state      TEXT NOT NULL CHECK (state IN ('on', 'off', 'removed')),
    created_at BIGINT NOT NULL
);

-- What the rules said of a request, once, and the call back that an emergency needs.
ALTER TABLE requests ADD COLUMN judged_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN verdict TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE requests ADD COLUMN called_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN call_note TEXT NOT NULL DEFAULT '';

-- Orders keep the originals that they name from being disposed of.
CREATE TABLE legal_holds (
    id         TEXT PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE REFERENCES requests (id),
    camera_id  TEXT NOT NULL, -- empty when the home had no camera of the name
    handle     TEXT NOT NULL,
    from_at    BIGINT NOT NULL,
    to_at      BIGINT NOT NULL,
    placed_at  BIGINT NOT NULL,
    lifted_at  BIGINT NOT NULL DEFAULT 0,
    lifted_by  TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT '',
    CHECK ((lifted_at = 0) = (lifted_by = ''))
);
CREATE INDEX legal_holds_time ON legal_holds (from_at, to_at);
