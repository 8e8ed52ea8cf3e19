package storage

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

func openKeys(t *testing.T, dir string) *Keys {
	t.Helper()
	k, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// keyIDs returns the ids of all keys.
func keyIDs(t *testing.T, k *Keys) (ids []string) {
	t.Helper()
	for id, err := range k.IDs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// keks returns the names of the KEK files and of whatever else lies beside keys.db.
func keks(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "keys.db") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// wrapped returns the wrapped form of a key.
func wrapped(t *testing.T, k *Keys, id string) (b []byte) {
	t.Helper()
	if err := k.db.QueryRow("SELECT wrapped FROM keys WHERE id = $1", id).Scan(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

// holding returns the files under dir that contain needle.
func holding(t *testing.T, dir string, needle []byte) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, needle) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestKeys(t *testing.T) {
	dir, ctx := t.TempDir()+"/keys", t.Context()
	k := openKeys(t, dir)
	made, err := k.New(ctx, "r1", "release 1, clerk")
	if err != nil {
		t.Fatal(err)
	}
	other, err := k.New(ctx, "r2", "release 1, clerk")
	if err != nil {
		t.Fatal(err)
	}
	if made == other || made == (Key{}) {
		t.Error("keys are not random")
	}
	for range 2 { // also after a restart
		for id, want := range map[string]Key{"r1": made, "r2": other} {
			if got, err := k.Get(ctx, id, "release 1, clerk"); err != nil || got != want {
				t.Errorf("Get %s: %t, %v", id, got == want, err)
			}
		}
		if got, err := k.New(ctx, "r1", "release 1, clerk"); !errors.Is(err, relay.ErrConflict) || got != (Key{}) {
			t.Errorf("second New: %v; want ErrConflict and no key", err)
		}
		if got, err := k.Get(ctx, "r1", "release 2, clerk"); !errors.Is(err, ErrTampered) || got != (Key{}) {
			t.Errorf("Get for another context: %v; want ErrTampered and no key", err)
		}
		if _, err := k.Get(ctx, "r3", ""); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("Get of no key: %v; want ErrNotFound", err)
		}
		if diff := cmp.Diff([]string{"r1", "r2"}, keyIDs(t, k)); diff != "" {
			t.Error(diff)
		}
		k.Close()
		k = openKeys(t, dir)
	}
	if _, err := k.New(ctx, "", "x"); err == nil {
		t.Error("New without an id: no error")
	}
	for id, err := range k.IDs(ctx) { // destroying within the loop
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Destroy(ctx, id, "no such key"); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Destroy(ctx, "r1", "r2"); err != nil {
		t.Errorf("second Destroy: %v", err)
	}
	if err := k.Destroy(ctx); err != nil {
		t.Errorf("Destroy of none: %v", err)
	}
	if _, err := k.Get(ctx, "r1", "release 1, clerk"); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("Get after Destroy: %v; want ErrNotFound", err)
	}
	for _, name := range append(keks(t, dir), "keys.db") {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

// TestKeysAreBoundToTheirRow moves wrapped keys about as a thief of the file might.
func TestKeysAreBoundToTheirRow(t *testing.T) {
	k, ctx := openKeys(t, t.TempDir()), t.Context()
	for _, id := range []string{"ab", "a"} {
		if _, err := k.New(ctx, id, "c"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.db.Exec("UPDATE keys SET wrapped = (SELECT wrapped FROM keys WHERE id = 'ab') WHERE id = 'a'"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"c", "bc"} {
		if _, err := k.Get(ctx, "a", c); !errors.Is(err, ErrTampered) {
			t.Errorf("another row's key for context %q: %v; want ErrTampered", c, err)
		}
	}
}

func TestDestroyedKeysAreInNoFile(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	k := openKeys(t, dir)
	keys, rows := map[string]Key{}, map[string][]byte{}
	for i := range 300 { // several pages, so that pages are split, merged and freed
		id := fmt.Sprintf("release-%03d", i*7919%300)
		key, err := k.New(ctx, id, "context "+id)
		if err != nil {
			t.Fatal(err)
		}
		keys[id], rows[id] = key, wrapped(t, k, id)
		if found := holding(t, dir, rows[id]); len(found) != 1 {
			t.Fatalf("the test does not find the wrapped key where it must be: %v", found)
		}
	}
	kept := "release-150"
	var all []string
	for id := range keys {
		if id != kept {
			all = append(all, id)
		}
	}
	for _, ids := range [][]string{all[:1], all[1:40], all[40:]} {
		if err := k.Destroy(ctx, ids...); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			key := keys[id]
			for what, needle := range map[string][]byte{"wrapped key": rows[id], "sealed part": rows[id][24:40], "key": key[:], "key in hex": []byte(hex.EncodeToString(key[:])), "context": []byte("context " + id)} {
				if found := holding(t, dir, needle); len(found) != 0 {
					t.Errorf("after Destroy the %s of %s is in %v", what, id, found)
				}
			}
		}
	}
	if got, err := k.Get(ctx, kept, "context "+kept); err != nil || got != keys[kept] {
		t.Errorf("the key that was kept: %v", err)
	}
}

func TestRotate(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	k := openKeys(t, dir)
	live, err := k.New(ctx, "live", "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.New(ctx, "dead", "c"); err != nil {
		t.Fatal(err)
	}
	// What a disk image or a backup against our advice holds.
	image, err := os.ReadFile(dir + "/keys.db")
	if err != nil {
		t.Fatal(err)
	}
	before := keks(t, dir)
	oldKEK, err := os.ReadFile(filepath.Join(dir, before[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Destroy(ctx, "dead"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := k.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		after := keks(t, dir)
		if len(before) != 1 || len(after) != 1 || before[0] == after[0] {
			t.Errorf("KEK files before %v and after %v", before, after)
		}
		before = after
		if found := holding(t, dir, oldKEK); len(found) != 0 {
			t.Errorf("the old KEK is in %v", found)
		}
		if got, err := k.Get(ctx, "live", "c"); err != nil || got != live {
			t.Errorf("after Rotate: %v", err)
		}
	}
	k.Close()
	if err := os.WriteFile(dir+"/keys.db", image, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(dir); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("an old image of keys.db with the new KEK: %v", err)
	}
}

// TestRotateCrash stops a rotation at every step, by bringing the folder to the state that
// stopping there leaves.
func TestRotateCrash(t *testing.T) {
	for _, tt := range []struct {
		name  string
		crash func(t *testing.T, k *Keys, dir string)
	}{
		{"in the new KEK's file", func(t *testing.T, k *Keys, dir string) {
			if err := os.WriteFile(filepath.Join(dir, unfinished+"123"), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"after the new KEK's file", func(t *testing.T, k *Keys, dir string) {
			if _, err := k.newKEK(); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the commit", func(t *testing.T, k *Keys, dir string) {
			tx, err := k.db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			kek, err := k.newKEK()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(k.rewrap(t.Context(), tx, kek), tx.Rollback()); err != nil {
				t.Fatal(err)
			}
		}},
		{"after the commit", func(t *testing.T, k *Keys, dir string) { rewrapped(t, k) }},
		{"in overwriting the old KEK", func(t *testing.T, k *Keys, dir string) {
			old := keks(t, dir)[0]
			rewrapped(t, k)
			if err := os.WriteFile(filepath.Join(dir, old), make([]byte, 32), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			k := openKeys(t, dir)
			want, err := k.New(ctx, "live", "c")
			if err != nil {
				t.Fatal(err)
			}
			tt.crash(t, k, dir)
			k.Close()
			k = openKeys(t, dir)
			if got, err := k.Get(ctx, "live", "c"); err != nil || got != want {
				t.Errorf("the key after the crash: %v", err)
			}
			if left := keks(t, dir); len(left) != 1 {
				t.Errorf("key files after the crash: %v", left)
			}
			if err := k.Rotate(ctx); err != nil {
				t.Error(err)
			}
			if got, err := k.Get(ctx, "live", "c"); err != nil || got != want {
				t.Errorf("the key after the next rotation: %v", err)
			}
		})
	}
}

// rewrapped commits the first half of a rotation.
func rewrapped(t *testing.T, k *Keys) {
	t.Helper()
	kek, err := k.newKEK()
	if err == nil {
		err = k.update(t.Context(), func(tx *sql.Tx) error { return k.rewrap(t.Context(), tx, kek) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestKeysShared uses one folder from two stores at once, as two processes do, while the
// KEK rotates under them.
func TestKeysShared(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	stores := []*Keys{openKeys(t, dir), openKeys(t, dir)}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				id := fmt.Sprintf("w%d-%d", w, i)
				want, err := stores[w%2].New(ctx, id, "c")
				if err != nil {
					t.Error(err)
					return
				}
				if w == 0 {
					if err := stores[i%2].Rotate(ctx); err != nil {
						t.Error(err)
					}
				}
				if w == 1 {
					again, err := OpenKeys(dir) // which sweeps
					if err != nil {
						t.Error(err)
					} else {
						again.Close()
					}
				}
				if got, err := stores[(w+1)%2].Get(ctx, id, "c"); err != nil || got != want {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	ids := keyIDs(t, stores[0])
	if len(ids) != 40 || !slices.IsSorted(ids) {
		t.Errorf("%d keys, sorted %t", len(ids), slices.IsSorted(ids))
	}
	if left := keks(t, dir); len(left) != 1 {
		t.Errorf("KEK files %v", left)
	}
}

// TestGetDuringRotate reads a key without pause from several stores while it is rotated.
func TestGetDuringRotate(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	k := openKeys(t, dir)
	want, err := k.New(ctx, "live", "c")
	if err != nil {
		t.Fatal(err)
	}
	rotated := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		reader := openKeys(t, dir)
		wg.Go(func() {
			for {
				select {
				case <-rotated:
					return
				default:
				}
				if got, err := reader.Get(ctx, "live", "c"); err != nil || got != want {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 30 {
		if err := k.Rotate(ctx); err != nil {
			t.Error(err)
			break
		}
	}
	close(rotated)
	wg.Wait()
}

func TestKeysRefuse(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		spoil      func(dir, kek string) error
	}{
		{"keys.db that others can read", "chmod 600", func(dir, _ string) error { return os.Chmod(dir+"/keys.db", 0o644) }},
		{"KEK that others can read", "chmod 600", func(_, kek string) error { return os.Chmod(kek, 0o604) }},
		{"missing KEK", "is missing", func(_, kek string) error { return os.Remove(kek) }},
		{"short KEK", "put the right file back", func(_, kek string) error { return os.WriteFile(kek, []byte("short"), 0o600) }},
		{"newer layout", "newer version", func(dir, _ string) error {
			db, err := sql.Open("sqlite", dir+"/keys.db")
			if err != nil {
				return err
			}
			_, err = db.Exec("PRAGMA user_version = 2")
			return errors.Join(err, db.Close())
		}},
		{"no database", "not a database", func(dir, _ string) error {
			return os.WriteFile(dir+"/keys.db", bytes.Repeat([]byte("not a database. "), 100), 0o600)
		}},
	} {
		dir := t.TempDir()
		k := openKeys(t, dir)
		if _, err := k.New(t.Context(), "r", "c"); err != nil {
			t.Fatal(err)
		}
		k.Close()
		if err := tt.spoil(dir, filepath.Join(dir, keks(t, dir)[0])); err != nil {
			t.Fatal(err)
		}
		if k, err := OpenKeys(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v; want one with %q", tt.name, err, tt.want)
			if err == nil {
				k.Close()
			}
		}
	}
}

func TestKeysContextEnds(t *testing.T) {
	k := openKeys(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, made := k.New(ctx, "r", "c")
	_, got := k.Get(ctx, "r", "c")
	for what, err := range map[string]error{"New": made, "Get": got, "Destroy": k.Destroy(ctx, "r"), "Rotate": k.Rotate(ctx)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want context.Canceled", what, err)
		}
	}
	if left := keks(t, k.dir); len(left) != 1 {
		t.Errorf("KEK files %v", left)
	}
}
