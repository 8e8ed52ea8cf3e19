-- +goose Up
ALTER TABLE members ADD COLUMN language TEXT NOT NULL DEFAULT ''; -- of pages and mails, such as nl; '': as the browser asks
ALTER TABLE members ADD COLUMN zone TEXT NOT NULL DEFAULT ''; -- IANA name of the time zone of pages; '': the home's
