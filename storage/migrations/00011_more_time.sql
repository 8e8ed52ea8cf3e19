-- +goose Up
ALTER TABLE links ADD COLUMN asked_at BIGINT NOT NULL DEFAULT 0; -- when its recipient last asked for more time
ALTER TABLE links ADD COLUMN reminded_at BIGINT NOT NULL DEFAULT 0; -- when its recipient was told that it ends soon
