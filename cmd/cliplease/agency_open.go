package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// opened is a release that a key recipient opened. It is kept beside an unfinished file, so
// that fetching the rest counts no second view while the session lasts.
type opened struct {
	ReleaseID string `json:"release_id"`
	Session   string `json:"session"`
	Until     string `json:"until"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	Download  bool   `json:"download"`
}

// open counts a view of a release and returns its session.
func (a *agencyClient) open(ctx context.Context, releaseID string) (o opened, err error) {
	err = a.send(ctx, "/a/v1/releases/open", token.Open, relay.OpenClaims{Call: a.call(60), ReleaseID: releaseID}, &o)
	if err == nil && (o.Bytes <= 0 || len(o.SHA256) != 64) {
		err = exitWith(exitRefused, errors.New("the relay's answer does not describe a file"))
	}
	return o, err
}

// rangeOf fetches the bytes of an opened release from offset, as many as the relay gives at once.
func (a *agencyClient) rangeOf(ctx context.Context, o opened, offset int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.api+"/a/v1/releases/media", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+o.Session)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	return a.do(req, relay.RangeMax)
}

// fetch brings a release into the file out: it opens it, fetches it range by range into
// out.part, and gives the file its name when its digest is right. Called again after it broke
// off, it goes on where it was.
func (a *agencyClient) fetch(ctx context.Context, releaseID, out string, progress io.Writer) (opened, error) {
	part, note := out+".part", out+".part.json"
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return opened{}, exitWith(exitUsage, fmt.Errorf("%s exists; name another file with --out", out))
	}
	o, resumed := resume(note, releaseID)
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return o, exitWith(exitUsage, fmt.Errorf("output: %w", err))
	}
	defer f.Close()
	if !resumed {
		if o, err = a.reopen(ctx, releaseID, note, f, opened{}); err != nil {
			return o, err
		}
	}
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return o, err
	}
	if at > o.Bytes {
		at = 0
	}
	show, done := bytesProgress(progress, o.Bytes)
	defer done()
	for at < o.Bytes {
		piece, err := a.rangeOf(ctx, o, at)
		var no *refused
		if resumed && errors.As(err, &no) && no.Code == http.StatusNotFound {
			// The session of last time is over. Another view brings another one, of the same
			// file unless the home prepared it anew.
			was := o
			if o, err = a.reopen(ctx, releaseID, note, f, was); err != nil {
				return o, err
			}
			if at, err = f.Seek(0, io.SeekEnd); err != nil {
				return o, err
			}
			resumed = false
			continue
		}
		if err != nil {
			return o, err
		}
		if len(piece) == 0 || int64(len(piece)) > o.Bytes-at {
			return o, exitWith(exitRefused, errors.New("the relay sent another number of bytes than it announced"))
		}
		if _, err := f.WriteAt(piece, at); err != nil {
			return o, fmt.Errorf("write %s: %w", part, err)
		}
		at += int64(len(piece))
		show(at)
	}
	return o, finish(f, o, part, note, out)
}

// reopen opens a release and notes it. What an earlier session of another file left is dropped.
func (a *agencyClient) reopen(ctx context.Context, releaseID, note string, f *os.File, was opened) (opened, error) {
	o, err := a.open(ctx, releaseID)
	if err != nil {
		return o, err
	}
	if o.SHA256 != was.SHA256 {
		if err := f.Truncate(0); err != nil {
			return o, err
		}
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return o, err
	}
	return o, os.WriteFile(note, raw, 0o600)
}

// resume reads what was noted when an earlier fetch broke off.
func resume(note, releaseID string) (o opened, ok bool) {
	raw, err := os.ReadFile(note)
	if err != nil || json.Unmarshal(raw, &o) != nil || o.ReleaseID != releaseID {
		return opened{}, false
	}
	return o, true
}

// finish compares the digest and gives the file its name.
func finish(f *os.File, o opened, part, note, out string) error {
	if err := f.Truncate(o.Bytes); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read %s: %w", part, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != o.SHA256 {
		return exitWith(exitRefused, errors.Join(
			fmt.Errorf("the file that came has the digest %s and not %s; it was removed, start again", got, o.SHA256), os.Remove(part), os.Remove(note)))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(part, out); err != nil { // unlike a rename it never replaces a file
		return fmt.Errorf("name the file: %w", err)
	}
	return errors.Join(os.Remove(part), os.Remove(note), syncFolder(filepath.Dir(out)))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// bytesProgress shows a bar on a terminal and nothing elsewhere.
func bytesProgress(w io.Writer, total int64) (show func(int64), done func()) {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return func(int64) {}, func() {}
	}
	bar := progressbar.NewOptions64(total, progressbar.OptionSetWriter(f), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
	return func(n int64) { _ = bar.Set64(n) }, func() { _ = bar.Finish() } // a bar that cannot be drawn is no reason to stop
}
