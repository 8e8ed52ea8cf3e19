package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"cliplease/relay"
)

// FolderActor is who brings what arrives in a watched folder.
const FolderActor = "watched folder"

// What a watched folder keeps beside what a camera drops.
const (
	refusedDir = "refused"
	whySuffix  = ".why.txt" // after the name of a refused file: the reason in words
	deepest    = 8          // folders below a camera's own
	mostShown  = 200        // refused files that a page lists
	mostWhy    = 1000       // bytes of a reason
)

// Facts are what a container says of itself. They come from untrusted bytes, so whoever finds
// them out does it in the sandbox.
type Facts struct {
	Created time.Time // zero when it does not say
	Length  time.Duration
}

// Folder takes in what cameras and recorders drop into a folder each, by FTP or SMB. It is
// for one goroutine. Base holds one folder per camera, named by its handle.
//
// A file is removed once its clip is sealed and recorded: a plain copy would outlive the
// camera's retention. What cannot be taken in is moved to "refused" in the camera's folder, and
// the reason stands beside it. A crash leaves a file where it was dropped; the next round takes
// it up again and finds its clip recorded already, by camera, start and digest.
type Folder struct {
	Base     string
	Quiet    time.Duration // for which size and time of a file must not have changed
	MaxBytes int64
	Keeper   Keeper

	// Look finds out what a container says of itself. What is no usable video fails with a
	// [relay.InvalidError]; any other error leaves the file for the next round.
	Look func(ctx context.Context, original io.Reader) (Facts, error)

	// Kept reports whether the clip with a digest and true start still has its original.
	Kept func(ctx context.Context, cameraID, sha256 string, start time.Time) (bool, error)

	seen map[string]sight
}

// sight is how a file was when it was last seen to change.
type sight struct {
	size     int64
	modified time.Time
	since    time.Time
}

// Took counts what a round did.
type Took struct{ Taken, Refused int }

// Round looks once into the folder of every camera, which it makes when it is missing, and
// takes in the files that are complete. Its error joins what went wrong with single files;
// those stay and are tried again after another Quiet.
func (f *Folder) Round(ctx context.Context, cameras []relay.Camera, now time.Time) (took Took, err error) {
	if err := os.MkdirAll(f.Base, 0o770); err != nil {
		return took, fmt.Errorf("watched folder: %w", err)
	}
	base, err := os.OpenRoot(f.Base)
	if err != nil {
		return took, fmt.Errorf("watched folder: %w", err)
	}
	defer base.Close()
	before := f.seen
	f.seen = map[string]sight{}
	var wrong []error
	for _, camera := range cameras {
		if ctx.Err() != nil {
			return took, ctx.Err()
		}
		root, err := openCamera(base, camera.Handle, true)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		err = f.camera(ctx, root, camera, before, now, &took)
		root.Close()
		wrong = append(wrong, err)
	}
	return took, errors.Join(wrong...)
}

// openCamera opens the folder of a camera. A link in its place would lead elsewhere and is refused.
func openCamera(base *os.Root, handle string, make bool) (*os.Root, error) {
	if make {
		if err := base.Mkdir(handle, 0o770); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("watched folder of %s: %w", handle, err)
		}
	}
	info, err := base.Lstat(handle)
	if err != nil {
		return nil, fmt.Errorf("watched folder of %s: %w", handle, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("watched folder of %s: it is a link or a file; put a folder in its place", handle)
	}
	return base.OpenRoot(handle)
}

func (f *Folder) camera(ctx context.Context, root *os.Root, camera relay.Camera, before map[string]sight, now time.Time, took *Took) error {
	var wrong []error
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // gone in the meantime, or not ours to read
			if !errors.Is(err, fs.ErrNotExist) {
				wrong = append(wrong, err)
			}
			return nil
		case d.IsDir() && name != "." && (name == refusedDir || strings.HasPrefix(d.Name(), ".") || strings.Count(name, "/") >= deepest):
			return fs.SkipDir
		case !d.Type().IsRegular() || unfinished(d.Name()): // a link is never followed
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		key := camera.ID + "/" + name
		last, known := before[key]
		if !known || last.size != info.Size() || !last.modified.Equal(info.ModTime()) {
			last = sight{size: info.Size(), modified: info.ModTime(), since: now}
		}
		if now.Sub(last.since) < f.Quiet {
			f.seen[key] = last
			return nil
		}
		reason, err := f.take(ctx, root, camera, name, info, now)
		if err == nil && reason != "" {
			err = refuse(root, name, reason)
		}
		switch {
		case err != nil:
			last.since = now
			f.seen[key] = last
			wrong = append(wrong, fmt.Errorf("watched folder of %s: a file of %d bytes: %w", camera.Handle, info.Size(), err))
		case reason != "":
			took.Refused++
		default:
			took.Taken++
		}
		return nil
	})
	return errors.Join(append(wrong, err)...)
}

// unfinished reports whether a name is one that senders give a file until it is complete.
func unfinished(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains([]string{".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload"}, strings.ToLower(path.Ext(name)))
}

// errChanging says that a file was written to while it was read.
var errChanging = errors.New("it changed while it was read")

// take takes one file in and removes it. It returns a reason when the file is refused for good.
func (f *Folder) take(ctx context.Context, root *os.Root, camera relay.Camera, name string, seen fs.FileInfo, now time.Time) (reason string, err error) {
	// Not blocking, should a pipe have taken the file's place since it was looked at.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	same := func() error {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if !os.SameFile(info, seen) || info.Size() != seen.Size() || !info.ModTime().Equal(seen.ModTime()) {
			return errChanging
		}
		return nil
	}
	if err := same(); err != nil {
		return "", err
	}
	digest := sha256.New()
	start, err := f.start(ctx, file, camera, name, seen)
	if err == nil {
		if _, err = file.Seek(0, io.SeekStart); err == nil {
			_, err = Receive(ctx, f.Keeper, Incoming{CameraID: camera.ID, Name: path.Base(name), Start: start, MaxBytes: f.MaxBytes, Actor: FolderActor,
				Body: &checked{io.TeeReader(file, digest), same}}, now)
		}
	}
	var invalid *relay.InvalidError
	switch {
	case errors.As(err, &invalid):
		return invalid.Reason, nil
	case errors.Is(err, relay.ErrConflict):
		kept, err := f.Kept(ctx, camera.ID, hex.EncodeToString(digest.Sum(nil)), start.Add(-camera.ClockOffset))
		if err != nil {
			return "", err
		}
		if !kept {
			return "This footage was here before and was deleted from the library, so it is not taken in again.", nil
		}
	case err != nil:
		return "", err
	}
	return "", root.Remove(name) // a crash before this line: the next round meets the conflict above
}

// start finds out when a clip starts by its camera's clock: from its name, else from the
// container, else from when it was last written to.
func (f *Folder) start(ctx context.Context, file *os.File, camera relay.Camera, name string, info fs.FileInfo) (time.Time, error) {
	zone, err := time.LoadLocation(camera.Zone)
	if err != nil {
		return time.Time{}, relay.Invalid("start", "The time zone of the camera, %q, is not known; set it right under Cameras.", camera.Zone)
	}
	if at, ok := StartIn(name, zone); ok {
		return at, nil
	}
	if info.Size() > f.MaxBytes {
		return time.Time{}, relay.Invalid("file", "The file is larger than %d MB; let the camera make shorter ones.", f.MaxBytes>>20)
	}
	facts, err := f.Look(ctx, file)
	if err != nil {
		return time.Time{}, err
	}
	if !facts.Created.IsZero() && facts.Created.Year() >= 2000 {
		return facts.Created.UTC().Truncate(time.Millisecond), nil
	}
	// This machine's clock wrote that down, not the camera's, whose offset is taken off later.
	return info.ModTime().Add(camera.ClockOffset - facts.Length).UTC().Truncate(time.Millisecond), nil
}

// checked fails at the end of what it reads when that changed meanwhile, so that half a file
// is never kept.
type checked struct {
	r    io.Reader
	same func() error
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if errors.Is(err, io.EOF) {
		if changed := c.same(); changed != nil {
			return n, changed
		}
	}
	return n, err
}

// refuse moves a file to the refused ones. The reason is written first: a crash in between
// leaves the file where it was, to be refused again.
func refuse(root *os.Root, name, reason string) error {
	if err := root.Mkdir(refusedDir, 0o770); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := root.Lstat(refusedDir); err != nil || !info.IsDir() {
		return errors.Join(errors.New(`"refused" is no folder; put one in its place`), err)
	}
	to := path.Join(refusedDir, path.Base(name))
	for n := 2; ; n++ { // nothing that was refused before is overwritten
		if _, err := root.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		to = path.Join(refusedDir, fmt.Sprintf("%d-%s", n, path.Base(name)))
	}
	if err := root.Remove(to + whySuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.WriteFile(to+whySuffix, []byte(reason+"\n"), 0o660); err != nil {
		return err
	}
	return root.Rename(name, to)
}

// Refused is a file that could not be taken in.
type Refused struct {
	Name, Reason string
	Size         int64
	At           time.Time // when the file was last written to
}

// RefusedIn lists what is refused in the folder of a camera below base, by name and at most
// 200. A camera without a folder has none.
func RefusedIn(base, handle string) ([]Refused, error) {
	root, err := os.OpenRoot(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("watched folder: %w", err)
	}
	defer root.Close()
	camera, err := openCamera(root, handle, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer camera.Close()
	entries, err := fs.ReadDir(camera.FS(), refusedDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("watched folder of %s: %w", handle, err)
	}
	var out []Refused
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), whySuffix) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // taken away in the meantime
		}
		name, err := cleanName(e.Name())
		if err != nil {
			name = "a file whose name cannot be shown"
		}
		out = append(out, Refused{Name: name, Reason: why(camera, path.Join(refusedDir, e.Name()+whySuffix)), Size: info.Size(), At: info.ModTime()})
		if len(out) == mostShown {
			break
		}
	}
	return out, nil
}

// why reads the reason beside a refused file.
func why(root *os.Root, name string) string {
	const unknown = "Why is not written beside it."
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return unknown
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return unknown
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostWhy))
	if err != nil || len(text) == 0 {
		return unknown
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(text)), "")
}
