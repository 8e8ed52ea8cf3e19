package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
)

// TestClipAdd brings what cannot be used: it is refused with the reason and what would work.
func TestClipAdd(t *testing.T) {
	w := settled(t, small)
	good, err := clip()
	w.must(err)
	file := func(name string, content []byte) string {
		path := filepath.Join(w.dir, name)
		w.must(os.WriteFile(path, content, 0o600))
		return path
	}
	start := relay.Stamp(w.start)
	text := file("letter.mp4", bytes.Repeat([]byte("This is no video. "), 200))
	for _, tt := range []struct {
		name string
		code int
		says string
		args []string
	}{
		{"no such file", 2, "no file", []string{"nowhere.mp4", "--camera", camera, "--start", start}},
		{"a folder", 2, "not a file", []string{w.dir, "--camera", camera, "--start", start}},
		{"text with a film's name", 1, "MP4, MOV, MKV", []string{text, "--camera", camera, "--start", start}},
		{"nothing", 1, "", []string{file("empty.mp4", nil), "--camera", camera, "--start", start}},
		{"a list of other files", 1, "", []string{file("list.mp4", bytes.Repeat([]byte("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), 50)), "--camera", camera, "--start", start}},
		{"a camera that is not there", 1, camera, []string{good, "--camera", "back-door", "--start", start}},
		{"a start without zone", 2, "time zone", []string{good, "--camera", camera, "--start", "2026-11-19 21:00"}},
		{"a start in the future", 1, "", []string{good, "--camera", camera, "--start", relay.Stamp(time.Now().AddDate(1, 0, 0))}},
		{"no start", 2, "--start", []string{good, "--camera", camera}},
		{"the same again", 1, "already", []string{good, "--camera", camera, "--start", start}},
		{"no file named", 2, "--help", []string{"--camera", camera, "--start", start}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"clip", "add"}, tt.args...)
			res, err := w.relay.Command(w.ctx, args...)
			if err != nil {
				t.Fatal(err)
			}
			if said := res.Out + res.Err; res.Code != tt.code || !bytes.Contains([]byte(said), []byte(tt.says)) {
				t.Errorf("exit code %d and %q, want %d and %q in it", res.Code, said, tt.code, tt.says)
			}
		})
	}

	// What looks like a video is looked at in the sandbox, and then refused.
	for name, args := range map[string][]string{
		"short.mp4": {"-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p"},
		"sound.mp4": {"-f", "lavfi", "-i", "sine=d=8", "-c:a", "aac"},
	} {
		path := filepath.Join(w.dir, name)
		out, err := exec.CommandContext(w.ctx, "ffmpeg", append(append([]string{"-loglevel", "error"}, args...), path)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ffmpeg: %v: %s", err, out)
		}
		w.command(0, "", "clip", "add", path, "--camera", camera, "--start", start)
		w.must(w.rejected(name))
	}
	raw, err := os.ReadFile(good)
	w.must(err)
	cut := file("cut.mp4", raw[:len(raw)*3/5])
	w.command(0, "", "clip", "add", cut, "--camera", camera, "--start", relay.Stamp(w.start.AddDate(0, 0, -2)))
	w.must(w.looked("cut.mp4")) // whatever can be read of it may be used; the relay goes on
	w.command(0, `"short.mp4"`, "clip", "list", "--json")
}

// find waits until the relay has looked at the clip of a name.
func (w *world) find(name string) (c relay.Clip, err error) {
	err = w.relay.With(w.ctx, func(s *storage.Store) error {
		return driver.Until(w.ctx, func() (bool, error) {
			all, err := s.DB.Clips(w.ctx, storage.ClipFilter{Limit: 100})
			i := slices.IndexFunc(all, func(c relay.Clip) bool { return c.Name == name })
			if i < 0 || err != nil {
				return false, err
			}
			c = all[i]
			return c.State != relay.ClipReceived, nil
		})
	})
	return c, err
}

func (w *world) looked(name string) error {
	_, err := w.find(name)
	return err
}

// rejected waits until the clip of a name was refused with a reason.
func (w *world) rejected(name string) error {
	c, err := w.find(name)
	if err == nil && (c.State != relay.ClipRefused || c.Reason == "") {
		err = fmt.Errorf("clip %s is %s, reason %q; want it refused with a reason", name, c.State, c.Reason)
	}
	return err
}

// TestUpload brings a clip through the web app.
func TestUpload(t *testing.T) {
	w := settled(t, small)
	path, err := clip()
	w.must(err)
	upload := func(name string, body []byte) error {
		return w.home.Upload(w.ctx, camera, name, w.start.AddDate(0, 0, -3), bytes.NewReader(body))
	}
	raw, err := os.ReadFile(path)
	w.must(err)
	w.must(upload("uploaded.mp4", raw))
	c, err := w.find("uploaded.mp4")
	w.must(err)
	if c.State != relay.ClipReady {
		t.Errorf("the clip is %s: %s", c.State, c.Reason)
	}
	w.refused(upload("text.mp4", bytes.Repeat([]byte("no video "), 500)), 422, "an upload that is no video")
}

// TestWatchedFolder drops clips as a camera does, also while the relay is down.
func TestWatchedFolder(t *testing.T) {
	w := settled(t, small, "CLIPLEASE_WATCH_QUIET=1")
	path, err := clip()
	w.must(err)
	raw, err := os.ReadFile(path)
	w.must(err)
	start := w.start.AddDate(0, 0, -5).UTC()
	folder, name := filepath.Join(w.relay.Data, "watch", camera), start.Format("20060102T150405Z")+".mp4"
	drop := func() {
		w.must(os.MkdirAll(folder, 0o700))
		w.must(os.WriteFile(filepath.Join(folder, name), raw, 0o600))
	}
	gone := func() {
		w.must(driver.Until(w.ctx, func() (bool, error) {
			_, err := os.Stat(filepath.Join(folder, name))
			return os.IsNotExist(err), nil
		}))
	}
	drop()
	c, err := w.find(name)
	w.must(err)
	if c.State != relay.ClipReady || !c.Start.Equal(start) {
		t.Errorf("the clip is %s (%s) and starts at %s, want %s", c.State, c.Reason, c.Start, start)
	}
	gone()

	w.relay.Kill()
	drop() // what a crash between recording and removing leaves, too
	w.must(os.WriteFile(filepath.Join(folder, "letter.mp4"), bytes.Repeat([]byte("no video "), 500), 0o600))
	w.must(w.relay.Start(w.ctx))
	gone()
	w.must(driver.Until(w.ctx, func() (bool, error) {
		_, err := os.Stat(filepath.Join(folder, "refused", "letter.mp4"))
		return err == nil, nil
	}))
	w.must(w.relay.With(w.ctx, func(s *storage.Store) error {
		all, err := s.DB.Clips(w.ctx, storage.ClipFilter{})
		if n := len(all); err == nil && n != 2 {
			t.Errorf("%d clips, want the one that was brought and the one that was dropped", n)
		}
		return err
	}))
}

// TestRedact runs the engine on one file, without a server.
func TestRedact(t *testing.T) {
	w := bare(t, small)
	in, err := clip()
	w.must(err)
	out, report := filepath.Join(w.dir, "redacted.mp4"), filepath.Join(w.dir, "report.json")
	res, err := w.relay.Command(w.ctx, "redact", "--in", in, "--out", out, "--report", report)
	w.must(err)
	if res.Code != 0 && res.Code != 3 {
		t.Errorf("exit code %d: %s", res.Code, res.Err)
	}
	raw, err := os.ReadFile(report)
	w.must(err)
	var r struct {
		Frames int              `json:"frames"`
		Tracks []map[string]any `json:"tracks"`
	}
	w.must(json.Unmarshal(raw, &r))
	if r.Frames != 60 || len(r.Tracks) < 9 {
		t.Errorf("the report names %d frames and %d tracks, want 60 and at least nine faces", r.Frames, len(r.Tracks))
	}

	text := filepath.Join(w.dir, "text.mp4")
	w.must(os.WriteFile(text, []byte("no video"), 0o600))
	for _, bad := range [][]string{
		{"redact", "--in", text, "--out", filepath.Join(w.dir, "a.mp4")},
		{"redact", "--in", filepath.Join(w.dir, "nowhere.mp4"), "--out", filepath.Join(w.dir, "b.mp4")},
		{"redact", "--in", in, "--out", filepath.Join(w.dir, "c.mp4"), "--style", "glitter"},
		{"redact", "--in", in, "--out", filepath.Join(w.dir, "d.mp4"), "--targets", "dogs"},
	} {
		w.command(1, "cliplease: ", bad...)
	}
	left, err := filepath.Glob(filepath.Join(w.dir, "?.mp4"))
	w.must(err)
	if len(left) > 0 {
		t.Errorf("refused, and yet written: %v", left)
	}
}

// TestUploadGoesOn kills the relay in the middle of an upload, while a piece is on its way: after
// the start the rest follows, and the original is the file, byte for byte.
func TestUploadGoesOn(t *testing.T) {
	w := settled(t, small)
	path, err := clip()
	w.must(err)
	raw, err := os.ReadFile(path)
	w.must(err)
	to, err := w.home.BeginUpload(w.ctx, camera, "broken.mp4", w.start.AddDate(0, 0, -4), int64(len(raw)))
	w.must(err)
	half := len(raw) / 2
	if half < 3*64<<10 {
		t.Fatalf("the clip has only %d bytes", len(raw))
	}
	from, slowly := io.Pipe()
	broke := make(chan error, 1)
	go func() {
		_, err := w.home.ContinueUpload(w.ctx, to, 0, from)
		broke <- err
	}()
	_, err = slowly.Write(raw[:half])
	w.must(err)
	left := filepath.Join(w.relay.Data, filepath.FromSlash(to)) // the folder has the name of the path
	w.must(driver.Until(w.ctx, func() (bool, error) {
		info, err := os.Stat(left)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil && info.Size() > 2*64<<10, err
	}))
	w.relay.Kill()
	w.must(slowly.CloseWithError(io.ErrUnexpectedEOF))
	if err := <-broke; err == nil {
		t.Error("the request that was cut off has an answer")
	}
	sealed, err := os.ReadFile(left)
	w.must(err)
	if bytes.Contains(sealed, raw[100:140]) {
		t.Error("what came lies unsealed on the disk")
	}
	w.must(w.relay.Start(w.ctx))
	at, err := w.home.Uploaded(w.ctx, to)
	w.must(err)
	if at < 2*64<<10 || at > int64(half) {
		t.Errorf("%d bytes of %d are there after the restart", at, half)
	}
	_, err = w.home.ContinueUpload(w.ctx, to, at-1, bytes.NewReader(raw[at-1:]))
	w.refused(err, http.StatusConflict, "a wrong offset")
	_, err = w.home.ContinueUpload(w.ctx, to, at, bytes.NewReader(raw[at:]))
	w.must(err)
	c, err := w.find("broken.mp4")
	w.must(err)
	if sum := sha256.Sum256(raw); c.State != relay.ClipReady || c.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("the clip is %s with digest %s: %s", c.State, c.SHA256, c.Reason)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pieces are still there: %v", err)
	}
}
