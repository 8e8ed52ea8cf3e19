package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"golang.org/x/sys/unix"
)

// Vault seals originals to the home's own key, so that whoever holds the object store or a
// backup of it holds nothing to see. The stored form is an ordinary age file: with the key
// file, the age tool opens it without this program.
type Vault struct {
	identity *age.X25519Identity
}

// OpenVault reads the home's key from the file path, and makes it when there is none, with
// mode 0600. A key file that others can read is refused. Making a new key where originals
// were sealed under another makes those unreadable: a caller that has such originals should
// first see that the file is there.
func OpenVault(path string) (*Vault, error) {
	b, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, fmt.Errorf("make the vault key: %w", err)
		}
		text := fmt.Sprintf("# The key to all originals. Keep a copy apart from the backups.\n# public key: %s\n%s\n", identity.Recipient(), identity)
		err = writeKeyFile(path, []byte(text))
		if err == nil {
			return &Vault{identity}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the vault key: %w", err)
		}
		b, err = readKeyFile(path) // another process was faster
		if err != nil {
			return nil, fmt.Errorf("open the vault key: %w", err)
		}
		return parseVault(path, b)
	}
	if err != nil {
		return nil, fmt.Errorf("open the vault key: %w", err)
	}
	return parseVault(path, b)
}

func parseVault(path string, b []byte) (*Vault, error) {
	// The reasons that age gives quote the line they choke on, which may be the key.
	identities, err := age.ParseIdentities(bytes.NewReader(b))
	if err == nil && len(identities) == 1 {
		if identity, ok := identities[0].(*age.X25519Identity); ok {
			return &Vault{identity}, nil
		}
	}
	return nil, fmt.Errorf("vault key %s: it must hold one line AGE-SECRET-KEY-1…; put the right file back from your copy", path)
}

// Recipient returns the public half of the key: age1….
func (v *Vault) Recipient() string { return v.identity.Recipient().String() }

// Seal encrypts what r yields to the home's key and stores it under name, as a stream. Like
// [Objects] Put it never overwrites. Nothing to seal is an error.
func (v *Vault) Seal(ctx context.Context, objects Objects, name string, r io.Reader) (Sealed, error) {
	plain, err := measure(r)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal original %s: %w", name, err)
	}
	sealed, err := age.EncryptReader(plain, v.identity.Recipient())
	if err != nil {
		return Sealed{}, fmt.Errorf("seal original %s: %w", name, err)
	}
	if err := objects.Put(ctx, name, sealed, -1); err != nil {
		return Sealed{}, err
	}
	return plain.sealed(), nil
}

// Open returns the original name as it was received. Only authentic bytes are yielded; where
// they stop being so, and where the object was cut short, Read says [ErrTampered]. An object
// that is not age's or is sealed to another key says so from Open. A missing one is
// [relay.ErrNotFound]. The caller closes the reader.
func (v *Vault) Open(ctx context.Context, objects Objects, name string) (io.ReadCloser, error) {
	body, err := objects.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	o := &original{name: name, body: body, source: &source{r: body}}
	if o.plain, err = age.Decrypt(o.source, v.identity); err != nil {
		body.Close()
		return nil, o.fault(err)
	}
	return o, nil
}

// original yields the plaintext of an age file.
type original struct {
	name   string
	body   io.Closer
	source *source
	plain  io.Reader
}

func (o *original) Read(p []byte) (int, error) {
	n, err := o.plain.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // an end is io.EOF itself; wrapped, it is a failure
		err = o.fault(err)
	}
	return n, err
}

func (o *original) fault(err error) error {
	if o.source.err != nil {
		return fmt.Errorf("open original %s: %w", o.name, o.source.err)
	}
	return fmt.Errorf("open original %s: %w (%w)", o.name, ErrTampered, err)
}

// Close ends the request to the store.
func (o *original) Close() error { return o.body.Close() }

// unfinished begins the names of key files that a crash cut off before they got their name.
const unfinished = ".new-key-"

// writeKeyFile makes the file path with mode 0600, whole and durable, or fails with
// [fs.ErrExist] when it is there. A crash leaves a file named unfinished…, whose key was
// never used.
func writeKeyFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		return full(err, filepath.Dir(path))
	}
	if err := f.Sync(); err != nil {
		return full(err, filepath.Dir(path))
	}
	// Renamed and not linked: a second name for a key would outlive its destruction.
	err = unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // a file system without that flag
		if err = os.Link(f.Name(), path); err == nil {
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		return &fs.PathError{Op: "make", Path: path, Err: err}
	}
	return syncDir(filepath.Dir(path))
}

// readKeyFile reads a key file and refuses one that others can read.
func readKeyFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link; put the key file itself there", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := private(f); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, 4096))
}

// private refuses a file that is not a plain one of mode 0600 or less.
func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file; move it away", f.Name())
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others can read %s (mode %04o); run: chmod 600 %s", f.Name(), info.Mode().Perm(), quote(f.Name()))
	}
	return nil
}

// quote writes path for a shell.
func quote(path string) string {
	if strings.ContainsAny(path, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
