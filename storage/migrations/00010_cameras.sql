-- +goose Up
-- How many days a clip of the camera is kept after it arrived; 0: until a member deletes it.
ALTER TABLE cameras ADD COLUMN retain_days BIGINT NOT NULL DEFAULT 0 CHECK (retain_days BETWEEN 0 AND 3650);
