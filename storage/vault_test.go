package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"cliplease/relay"
)

func openVault(t *testing.T, path string) *Vault {
	t.Helper()
	v, err := OpenVault(path)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	d, path, ctx := openDir(t), t.TempDir()+"/vault.key", t.Context()
	for i, size := range []int{1, 65536, 200000} {
		v := openVault(t, path) // the same key every time
		name, content := relay.NewID(), random(size)
		sealed, err := v.Seal(ctx, d, name, bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if sealed.Bytes != int64(size) || sealed.SHA256 != sha256.Sum256(content) {
			t.Errorf("%d bytes are described as %+v", size, sealed)
		}
		read := func() ([]byte, error) {
			r, err := openVault(t, path).Open(ctx, d, name)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		}
		if got, err := read(); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		if _, err := v.Seal(ctx, d, name, bytes.NewReader(content)); !errors.Is(err, relay.ErrConflict) {
			t.Errorf("sealing over an original: %v", err)
		}
		stored, err := os.ReadFile(d.file(name))
		if err != nil {
			t.Fatal(err)
		}
		if size > 100 && bytes.Contains(stored, content[:50]) {
			t.Error("the original is stored in the clear")
		}
		// The owner can open it without us.
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		identities, err := age.ParseIdentities(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := age.Decrypt(bytes.NewReader(stored), identities...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(plain); err != nil || !bytes.Equal(got, content) {
			t.Errorf("age itself: %d bytes, %v", len(got), err)
		}
		for what, spoiled := range map[string][]byte{
			"last byte cut": stored[:len(stored)-1],
			"cut short":     stored[:len(stored)/2],
			"emptied":       nil,
			"byte appended": append(bytes.Clone(stored), 0),
			"bit flipped":   append(bytes.Clone(stored[:len(stored)-1]), stored[len(stored)-1]^1),
		} {
			if err := os.WriteFile(d.file(name), spoiled, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := read(); !errors.Is(err, ErrTampered) || !bytes.HasPrefix(content, got) {
				t.Errorf("%d: %s: %d bytes, %v; want ErrTampered", i, what, len(got), err)
			}
		}
	}
	if _, err := openVault(t, path).Open(ctx, d, "missing"); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("missing original: %v", err)
	}
	if _, err := openVault(t, path).Seal(ctx, d, "mine", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := openVault(t, t.TempDir()+"/vault.key").Open(ctx, d, "mine"); !errors.Is(err, ErrTampered) {
		t.Errorf("another home's key: %v", err)
	}
}

func TestVaultKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/vault key"
	v := openVault(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("making a key left %v, %v", entries, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), v.Recipient()) {
		t.Error("the key file does not say its public key")
	}
	secret := text[bytes.Index(text, []byte("AGE-SECRET-KEY-1"))+16:][:20]
	for _, tt := range []struct {
		name, want string
		spoil      func() error
	}{
		{"readable by others", "chmod 600 '" + path + "'", func() error { return os.Chmod(path, 0o640) }},
		{"empty", "put the right file back", func() error { return os.WriteFile(path, nil, 0o600) }},
		{"broken", "put the right file back", func() error {
			return os.WriteFile(path, bytes.Replace(text, []byte("AGE-SECRET-KEY-1"), []byte("AGE-SECRET-KEY-1A"), 1), 0o600)
		}},
		{"a folder", "not a plain file", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }},
		{"a link", "symbolic link", func() error { return errors.Join(os.Remove(path), os.Symlink("/elsewhere", path)) }},
	} {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, text, 0o600), os.Chmod(path, 0o600), tt.spoil()); err != nil {
			t.Fatal(err)
		}
		_, err := OpenVault(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v; want one with %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%s: the error tells the key", tt.name)
		}
	}
}
