package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cliplease/relay"

	"golang.org/x/sys/unix"
)

// Store is everything that a relay keeps: state, bytes and keys.
type Store struct {
	DB       *DB
	Objects  Objects
	Keys     *Keys
	Vault    *Vault
	Identity Identity
	spool    spool
}

// Config says where a relay keeps things. Only Dir is needed.
type Config struct {
	Dir      string    // data folder, made 0700 when it is not there
	Database string    // "postgres://…"; empty: SQLite in Dir
	S3       *S3Config // nil: a folder in Dir
	Site     relay.Site
}

// Open opens or makes a relay's data. Everything that must stay secret is in Dir/keys, which
// no backup of the state may hold.
func Open(ctx context.Context, cfg Config) (s *Store, err error) {
	s = &Store{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	for _, d := range []string{cfg.Dir, filepath.Join(cfg.Dir, "keys")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return s, fmt.Errorf("data folder: %w", err)
		}
	}
	info, err := os.Stat(cfg.Dir)
	if err != nil {
		return s, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, fmt.Errorf("the data folder can be read by others: run chmod 700 %s", cfg.Dir)
	}
	keys := filepath.Join(cfg.Dir, "keys")
	unlock, err := lockFolder(keys) // what is missing is made once, whoever starts at the same time
	if err != nil {
		return s, fmt.Errorf("data folder: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if s.Identity, err = OpenIdentity(keys, cfg.Site.LogOrigin()); err != nil {
		return s, err
	}
	if s.Keys, err = OpenKeys(keys); err != nil {
		return s, err
	}
	source := cfg.Database
	if source == "" {
		source = "sqlite:" + filepath.Join(cfg.Dir, "state.db")
	}
	if s.DB, err = OpenDB(ctx, DBConfig{Source: source, Keys: s.Keys}); err != nil {
		return s, err
	}
	vault := filepath.Join(keys, "vault.key")
	if err := s.DB.vaultNeeded(ctx, vault); err != nil {
		return s, err
	}
	if s.Vault, err = OpenVault(vault); err != nil {
		return s, err
	}
	if s.spool, err = openSpool(filepath.Join(cfg.Dir, "uploads")); err != nil {
		return s, err
	}
	s.Objects, err = openObjectStore(ctx, cfg)
	return s, err
}

func openObjectStore(ctx context.Context, cfg Config) (Objects, error) {
	if cfg.S3 != nil {
		return OpenS3(ctx, *cfg.S3)
	}
	return OpenDir(filepath.Join(cfg.Dir, "objects"))
}

// vaultNeeded refuses to go on without the vault key at path where originals are sealed to it: a
// new key would hide that they are lost.
func (db *DB) vaultNeeded(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // OpenVault looks closer
	}
	var clips int
	if err := db.read.QueryRowContext(ctx, "SELECT count(*) FROM clips WHERE state <> 'disposed'").Scan(&clips); err != nil || clips == 0 {
		return err
	}
	return fmt.Errorf("%s is missing, and without it the originals of %d clips cannot be opened; put it back from your copy of the keys. "+
		"If it is lost for good, so are those originals: make a new one with \"age-keygen -o %s\" and delete the clips", path, clips, path)
}

// lockFolder waits until no other process holds the lock on a folder. The lock ends with
// unlock or with the process.
func lockFolder(path string) (unlock func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// Close ends all connections.
func (s *Store) Close() error {
	var errs []error
	if s.DB != nil {
		errs = append(errs, s.DB.Close())
	}
	if s.Keys != nil {
		errs = append(errs, s.Keys.Close())
	}
	return errors.Join(errs...)
}
