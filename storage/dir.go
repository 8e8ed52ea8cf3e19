package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is the object store in a folder: one file an object, named as the object. It needs a
// local file system that keeps what fsync promised.
type Dir struct {
	path    string
	unnamed bool // the file system has files without a name (O_TMPFILE)
}

// leftover begins the names of files that a crash in the middle of a Put can leave where
// the file system has no nameless files. No object's name begins so.
const leftover = ".put-"

// OpenDir opens the object store in the folder path and makes the folder when it is
// missing. Nobody else may read it (0700); it is narrowed when it is wider. Unfinished files
// of a crash are removed.
func OpenDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path) // the store must not move with the working folder
	if err != nil {
		return nil, fmt.Errorf("open object folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make object folder: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open object folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o700); err != nil {
			return nil, fmt.Errorf("others can read the object folder; run: chmod 700 %s (%w)", path, err)
		}
	}
	d := &Dir{path: path}
	probe, err := d.openUnnamed()
	switch {
	case err == nil:
		d.unnamed = true
		probe.Close()
	case !errors.Is(err, errors.ErrUnsupported):
		return nil, fmt.Errorf("object folder %s cannot be written: %w", path, err)
	}
	return d, d.sweep()
}

// Put implements [Objects].
func (d *Dir) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	// Said early when it is so already; the link below decides.
	if _, err := os.Lstat(d.file(name)); err == nil {
		return taken(name)
	}
	f, err := d.create()
	if err != nil {
		return fmt.Errorf("store object %s: %w", name, err)
	}
	defer f.Close()
	if !d.unnamed {
		defer os.Remove(f.Name())
	}
	if _, err := io.Copy(f, &sized{ctx: ctx, r: r, want: size}); err != nil {
		return fmt.Errorf("store object %s: %w", name, full(err, d.path))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("store object %s: %w", name, full(err, d.path))
	}
	// A crash up to here leaves nothing under the name: the file is nameless (or a leftover
	// that OpenDir sweeps). After the link the object is whole.
	if d.unnamed {
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, d.file(name), unix.AT_SYMLINK_FOLLOW)
	} else {
		err = os.Link(f.Name(), d.file(name))
	}
	if errors.Is(err, fs.ErrExist) {
		return taken(name)
	}
	if err != nil {
		return fmt.Errorf("store object %s: %w", name, full(err, d.path))
	}
	if err := syncDir(d.path); err != nil {
		os.Remove(d.file(name)) // Put that fails leaves no object
		return fmt.Errorf("store object %s: %w", name, err)
	}
	return nil
}

// Get implements [Objects].
func (d *Dir) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := errors.Join(checkName(name), checkRange(offset, length), ctx.Err()); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.file(name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", name, err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("read object %s: %w", name, err)
	}
	r := io.Reader(&sized{ctx: ctx, r: f, want: -1})
	if length >= 0 {
		r = io.LimitReader(r, length)
	}
	return limited{r, f}, nil
}

// Delete implements [Objects].
func (d *Dir) Delete(ctx context.Context, name string) error {
	if err := errors.Join(checkName(name), ctx.Err()); err != nil {
		return err
	}
	if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	// Also when it was gone already: the removal before may not have been synced.
	if err := syncDir(d.path); err != nil {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	return nil
}

// List implements [Objects].
func (d *Dir) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		entries, err := os.ReadDir(d.path) // sorted
		if err != nil {
			yield(Object{}, fmt.Errorf("list objects: %w", err))
			return
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				yield(Object{}, err)
				return
			}
			if !strings.HasPrefix(entry.Name(), prefix) || !validName(entry.Name()) || !entry.Type().IsRegular() {
				continue
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted while we list
			}
			if err != nil {
				yield(Object{}, fmt.Errorf("list objects: %w", err))
				return
			}
			if !yield(Object{entry.Name(), info.Size(), info.ModTime().UTC()}, nil) {
				return
			}
		}
	}
}

// Check implements [Objects]: it writes and syncs a file that never gets a name.
func (d *Dir) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := d.create()
	if err != nil {
		return fmt.Errorf("object folder %s cannot be written; make it belong to the user that runs the service: %w", d.path, err)
	}
	defer f.Close()
	if !d.unnamed {
		defer os.Remove(f.Name())
	}
	_, err = f.WriteString("check")
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("object folder %s: %w", d.path, full(err, d.path))
	}
	return nil
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// create opens a new file in the folder that is not an object yet.
func (d *Dir) create() (*os.File, error) {
	if d.unnamed {
		return d.openUnnamed()
	}
	f, err := os.CreateTemp(d.path, leftover+"*") // 0600
	if err != nil {
		return nil, err
	}
	// Locked while it is in use, so that another process that opens the store leaves it alone.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// openUnnamed opens a file without a name in the folder. It fails with
// [errors.ErrUnsupported] where the file system or a missing /proc cannot do that.
func (d *Dir) openUnnamed() (*os.File, error) {
	fd, err := unix.Open(d.path, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.path)
	if _, err := os.Lstat(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return f, nil
}

// sweep removes what crashed Puts left, and nothing that a running one holds.
func (d *Dir) sweep() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("open object folder: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), leftover) {
			continue
		}
		f, err := os.Open(d.file(entry.Name()))
		if err != nil {
			continue // its Put has just ended
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.Remove(f.Name())
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the leftover %s: %w", entry.Name(), err)
		}
	}
	return nil
}

// syncDir makes the names in the folder path durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// full makes a sentence of "no space left on device".
func full(err error, path string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("the disk that holds %s is full; make room there: %w", path, err)
	}
	return err
}
