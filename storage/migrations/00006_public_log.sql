-- +goose Up
-- The public tree: the same number of leaves every hour, whatever happened. Some commit to
-- entries of the log, one to the root of the log, the others to nothing; nobody outside can tell
-- which is which.
CREATE TABLE public_log (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    size       BIGINT NOT NULL, -- leaves
    hour       BIGINT NOT NULL, -- the last one that is in the tree, in hours since 1970; 0: none
    next_entry BIGINT NOT NULL  -- first entry of the log that was not looked at yet
);
INSERT INTO public_log (id, size, hour, next_entry) VALUES (1, 0, 0, 0);

CREATE TABLE public_leaves (
    idx   BIGINT PRIMARY KEY,
    leaf  TEXT NOT NULL,
    kind  TEXT NOT NULL CHECK (kind IN ('entry', 'root', 'nothing')),
    entry BIGINT NOT NULL, -- the entry of the log; for a root, how many entries it covers; else -1
    opens TEXT NOT NULL,   -- for a root: the text that the leaf commits to
    salt  TEXT NOT NULL    -- for a root: hex
);
CREATE INDEX public_leaves_entry ON public_leaves (kind, entry);

CREATE TABLE public_hashes (
    idx  BIGINT PRIMARY KEY,
    hash TEXT NOT NULL
);

CREATE TABLE public_checkpoints (
    size       BIGINT PRIMARY KEY,
    note       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
