-- +goose Up
ALTER TABLE cameras ADD COLUMN mask_version BIGINT NOT NULL DEFAULT 0; -- counts the changes of its masks

-- Which masks a camera had from when on.
CREATE TABLE camera_masks (
	camera_id TEXT NOT NULL REFERENCES cameras (id),
	version BIGINT NOT NULL CHECK (version > 0),
	masks TEXT NOT NULL,
	set_by TEXT NOT NULL,
	since_at BIGINT NOT NULL,
	PRIMARY KEY (camera_id, version)
);
