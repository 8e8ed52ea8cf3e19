-- +goose Up
-- What each member wants to be told of, by mail and by a push or chat service. The service's address is
-- a secret: it is sealed under a key in the key store.
CREATE TABLE notices (
    member_id TEXT PRIMARY KEY REFERENCES members (id),
    mail      TEXT NOT NULL, -- JSON list of kinds
    service   TEXT NOT NULL, -- JSON list of kinds
    scheme    TEXT NOT NULL DEFAULT '',
    host      TEXT NOT NULL DEFAULT '',
    key_id    TEXT NOT NULL DEFAULT '',
    sealed    TEXT NOT NULL DEFAULT '',
    state     TEXT NOT NULL DEFAULT '' CHECK (state IN ('', 'trying', 'sent', 'failed')), -- of the newest notice
    result    TEXT NOT NULL DEFAULT '',
    tried_at  BIGINT NOT NULL DEFAULT 0,
    CHECK ((scheme = '') = (sealed = '')),
    CHECK ((key_id = '') = (sealed = ''))
);
