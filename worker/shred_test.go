package worker

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/servers"
)

// TestShred: after a revoke and after an expiry no file of the relay or of a backup holds the
// key of a copy, no version of its object is left, and whoever saved the object earlier cannot
// open it with all that is left.
func TestShred(t *testing.T) {
	minio, err := servers.StartMinIO(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(minio.Stop)
	for _, store := range []struct {
		name string
		s3   *storage.S3Config
		data string // where the object store keeps its files; empty: in the data folder
	}{
		{"Dir", nil, ""},
		{"MinIO", &storage.S3Config{Endpoint: minio.Endpoint, Bucket: "shred", AccessKey: minio.AccessKey, SecretKey: storage.Secret(minio.SecretKey)}, minio.Data()},
	} {
		for _, end := range []string{"revoked", "expired"} {
			t.Run(store.name+" "+end, func(t *testing.T) {
				h := newHomeIn(t, storage.Config{S3: store.s3})
				testShred(t, h, end, store.data)
			})
		}
	}
}

// secret is one key as it was before the end.
type secret struct {
	name          string
	plain, sealed []byte // the key, and as keys.db had it
}

func testShred(t *testing.T, h *home, end, objects string) {
	ctx := t.Context()
	rel, _ := h.leases()
	clip, err := h.DB.Clip(ctx, rel.ClipID)
	h.ok(err)
	_, err = h.Vault.Seal(ctx, h.Objects, clip.Object, strings.NewReader("an original"))
	h.ok(err)
	var secrets []secret
	saved := map[string][]byte{}
	for _, c := range rel.Copies {
		key, err := h.Keys.Get(ctx, c.ID, c.ReleaseID)
		h.ok(err)
		secrets = append(secrets, secret{"the key of " + c.ID, key[:], wrapped(t, h, c.ID)})
		body, err := h.Objects.Get(ctx, c.Object, 0, -1)
		h.ok(err)
		var b bytes.Buffer
		_, err = b.ReadFrom(body)
		h.ok(errors.Join(err, body.Close()))
		saved[c.Object] = b.Bytes()
	}
	before := filepath.Join(t.TempDir(), "before") // a backup made while the lease ran
	_, err = h.Backup(ctx, before, h.watch.now())
	h.ok(err)
	image, err := os.ReadFile(filepath.Join(h.dir, "keys", "keys.db"))
	h.ok(err)
	if !bytes.Contains(image, secrets[0].sealed) {
		t.Fatal("the search does not find a sealed key that is there")
	}
	keks, err := filepath.Glob(filepath.Join(h.dir, "keys", "kek-*"))
	h.ok(err)
	for _, path := range keks {
		b, err := os.ReadFile(path)
		h.ok(err)
		secrets = append(secrets, secret{"the key that wrapped the keys", b, nil})
	}

	if end == "revoked" {
		h.ok(h.DB.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.watch.now()))
	} else {
		h.watch.pass(48*time.Hour + time.Second)
	}
	w := h.works(h.config())
	h.await("it is destroyed", func() bool { return !h.release(rel.ID).ShreddedAt.IsZero() })
	if got := string(h.release(rel.ID).State); got != end {
		t.Fatalf("it is %s, want %s", got, end)
	}
	after := filepath.Join(t.TempDir(), "after")
	_, err = h.Backup(ctx, after, h.watch.now())
	h.ok(err)
	for _, s := range secrets[:len(rel.Copies)] {
		for _, dir := range []string{h.dir, before, after} {
			absent(t, dir, s)
		}
	}
	if objects == "" {
		objects = filepath.Join(h.dir, "objects")
	}
	for name, b := range saved {
		absent(t, objects, secret{"the object " + name, b, nil})
		h.ok(filepath.WalkDir(objects, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.Contains(path, name) {
				t.Errorf("%s is there", path)
			}
			return err
		}))
		if _, err := h.Objects.Get(ctx, name, 0, -1); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("object %s: %v", name, err)
		}
	}

	// The key that wraps the keys is renewed once a day. From then on the image of keys.db that
	// somebody kept opens nothing either.
	h.ok(h.Keys.Rotate(ctx))
	for _, s := range secrets {
		absent(t, h.dir, s)
	}
	h.stops(w)
	h.ok(h.Close())
	thief := filepath.Join(t.TempDir(), "keys")
	h.ok(os.CopyFS(thief, os.DirFS(filepath.Join(h.dir, "keys"))))
	h.ok(os.WriteFile(filepath.Join(thief, "keys.db"), image, 0o600))
	private(t, thief)
	if _, err := storage.OpenKeys(thief); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("an old image of keys.db opens with what is left: %v", err)
	}

	// The backup of the time when the lease ran, the keys that belong into a safe, and the saved
	// objects: still nothing to see.
	longKeys, dir := filepath.Join(t.TempDir(), "long"), filepath.Join(t.TempDir(), "restored")
	h.ok(storage.BackupKeys(h.dir, longKeys))
	r, err := storage.Restore(ctx, storage.Config{Dir: dir, Site: site}, before, longKeys, h.watch.now())
	h.ok(err)
	if r.Ended != 1 || r.Backup.Objects != 1 || len(r.Backup.Missing) > 0 {
		t.Errorf("restored %+v", r)
	}
	back, err := storage.Open(ctx, storage.Config{Dir: dir, Site: site})
	h.ok(err)
	defer back.Close()
	for _, c := range rel.Copies {
		h.ok(back.Objects.Put(ctx, c.Object, bytes.NewReader(saved[c.Object]), -1))
		if _, err := back.Keys.Get(ctx, c.ID, c.ReleaseID); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("the restored relay has the key of %s: %v", c.ID, err)
		}
		if r, err := back.Vault.Open(ctx, back.Objects, c.Object); err == nil {
			r.Close()
			t.Error("the vault key opens a release copy")
		}
	}
	if rel, err := back.DB.Release(ctx, rel.ID); err != nil || rel.State != relay.ReleaseIsExpired || rel.EndReason != relay.EndedByRestore {
		t.Errorf("in the restored relay it is %s (%s), %v", rel.State, rel.EndReason, err)
	}
}

// wrapped reads the sealed form of a key from the file of the key store.
func wrapped(t *testing.T, h *home, id string) (b []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "keys", "keys.db")+"?mode=ro")
	h.ok(err)
	defer db.Close()
	h.ok(db.QueryRowContext(context.Background(), "SELECT wrapped FROM keys WHERE id = $1", id).Scan(&b))
	return b
}

// absent fails t where a file below dir holds s in any form that could be stored.
func absent(t *testing.T, dir string, s secret) {
	t.Helper()
	var forms [][]byte
	for _, b := range [][]byte{s.plain, s.sealed} {
		if len(b) > 0 {
			forms = append(forms, b, []byte(hex.EncodeToString(b)), []byte(base64.StdEncoding.EncodeToString(b)), []byte(base64.RawURLEncoding.EncodeToString(b)))
		}
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == ".trash" {
			return fs.SkipDir // MinIO's, which it empties by itself: of ciphertext whose key is gone
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server's, and gone since
		}
		if slices.ContainsFunc(forms, func(f []byte) bool { return bytes.Contains(content, f) }) {
			t.Errorf("%s holds %s", path, s.name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// private makes a copied key folder as strict as the original.
func private(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(dir, e.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
