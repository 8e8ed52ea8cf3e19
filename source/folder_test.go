package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// drop is a watched folder of a home with the camera "front-door", whose clock is two seconds
// ahead and which is in Amsterdam.
type drop struct {
	*Folder
	t       *testing.T
	store   *storage.Store
	now     time.Time
	facts   Facts
	wrong   error // of a look into the container
	cameras []relay.Camera
}

func newDrop(t *testing.T) *drop {
	store := home(t)
	cameras, err := store.DB.Cameras(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &drop{t: t, store: store, now: noon, cameras: cameras, facts: Facts{Length: time.Minute}}
	d.Folder = &Folder{Base: filepath.Join(t.TempDir(), "watch"), Quiet: 20 * time.Second, MaxBytes: 1 << 20, Keeper: store,
		Look: func(context.Context, io.Reader) (Facts, error) { return d.facts, d.wrong },
		Kept: func(ctx context.Context, camera, sum string, start time.Time) (bool, error) {
			clips, err := store.DB.Clips(ctx, storage.ClipFilter{CameraID: camera})
			for _, c := range clips {
				if c.SHA256 == sum && c.Start.Equal(start) && c.State != relay.ClipDisposed {
					return true, err
				}
			}
			return false, err
		}}
	if took, err := d.round(0); err != nil || took != (Took{}) {
		t.Fatalf("an empty round: %+v, %v", took, err)
	}
	return d
}

func (d *drop) path(name string) string { return filepath.Join(d.Base, "front-door", name) }

func (d *drop) write(name string, body []byte) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(d.path(name), body, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// round looks after some time has passed.
func (d *drop) round(later time.Duration) (Took, error) {
	d.now = d.now.Add(later)
	return d.Round(d.t.Context(), d.cameras, d.now)
}

// settle looks until what lies there was still for long enough.
func (d *drop) settle(want Took) {
	d.t.Helper()
	if took, err := d.round(0); err != nil || took != (Took{}) {
		d.t.Errorf("at once: %+v, %v; want nothing", took, err)
	}
	if took, err := d.round(d.Quiet); err != nil || took != want {
		d.t.Errorf("when still: %+v, %v; want %+v", took, err, want)
	}
}

func (d *drop) clips() []relay.Clip {
	d.t.Helper()
	clips, err := d.store.DB.Clips(d.t.Context(), storage.ClipFilter{})
	if err != nil {
		d.t.Fatal(err)
	}
	return clips
}

func (d *drop) refused() []Refused {
	d.t.Helper()
	out, err := RefusedIn(d.Base, "front-door")
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *drop) gone(name string) {
	d.t.Helper()
	if _, err := os.Lstat(d.path(name)); !errors.Is(err, os.ErrNotExist) {
		d.t.Errorf("%s is still there: %v", name, err)
	}
}

// TestSources holds every way in which clips come to one suite: a body that a person sends, and
// a file that a camera drops.
func TestSources(t *testing.T) {
	const name = "20261120T105902Z.mp4"
	for _, way := range []struct {
		name  string
		bring func(d *drop, body []byte) error // a refusal as an InvalidError
	}{
		{"a person", func(d *drop, body []byte) error {
			start, _ := StartIn(name, time.UTC)
			_, err := Receive(d.t.Context(), d.store, Incoming{CameraID: "front-door", Name: name, Start: start, Body: bytes.NewReader(body), MaxBytes: d.MaxBytes, Actor: "m1"}, d.now)
			if errors.Is(err, relay.ErrConflict) {
				return nil // is there already
			}
			return err
		}},
		{"a watched folder", func(d *drop, body []byte) error {
			d.write(name, body)
			before := len(d.refused())
			if _, err := d.round(0); err != nil {
				return err
			}
			if _, err := d.round(d.Quiet); err != nil {
				return err
			}
			d.gone(name)
			if all := d.refused(); len(all) > before {
				return relay.Invalid("file", "%s", all[0].Reason)
			}
			return nil
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			d := newDrop(t)
			good := mp4(300_000)
			for range 2 { // the same twice makes one clip
				if err := way.bring(d, good); err != nil {
					t.Fatal(err)
				}
			}
			clips := d.clips()
			if len(clips) != 1 || len(objects(t, d.store)) != 1 {
				t.Fatalf("%d clips, %d objects; want one", len(clips), len(objects(t, d.store)))
			}
			sum := sha256.Sum256(good)
			if c, want := clips[0], noon.Add(-time.Hour-time.Minute); c.State != relay.ClipReceived || c.Name != name || c.SHA256 != hex.EncodeToString(sum[:]) || !c.Start.Equal(want) {
				t.Errorf("kept %+v, want the start %s", c, want)
			}
			for _, bad := range []struct {
				body []byte
				says string
			}{
				{nil, "empty"}, {mp4(100), "too few"}, {bytes.Repeat([]byte("letter "), 300), "text"}, {mp4(1<<20 + 1), "larger than 1 MB"},
			} {
				var invalid *relay.InvalidError
				if err := way.bring(d, bad.body); !errors.As(err, &invalid) || !strings.Contains(invalid.Reason, bad.says) {
					t.Errorf("%d bytes: %v, want %q", len(bad.body), err, bad.says)
				}
				if way.name == "a watched folder" { // so that the next reason is the first
					if err := os.RemoveAll(d.path("refused")); err != nil {
						t.Fatal(err)
					}
				}
			}
			if len(d.clips()) != 1 || len(objects(t, d.store)) != 1 {
				t.Error("what was refused was kept")
			}
		})
	}
}

func TestFolderWaits(t *testing.T) {
	d := newDrop(t)
	d.write("20261120_115902.mp4", mp4(2000))
	d.write("20261120_115902.mp4.part", mp4(2000))
	d.write(".hidden.mp4", mp4(2000))
	for i := range 3 { // it grows
		if took, err := d.round(15 * time.Second); err != nil || took != (Took{}) {
			t.Fatalf("half a file was taken in: %+v, %v", took, err)
		}
		d.write("20261120_115902.mp4", mp4(3000+i))
	}
	d.settle(Took{Taken: 1})
	if c := d.clips(); len(c) != 1 || c[0].Bytes != 3002 || !c[0].Start.Equal(noon.Add(-time.Hour-time.Minute)) {
		t.Errorf("clips %+v", c)
	}
	for _, name := range []string{"20261120_115902.mp4.part", ".hidden.mp4"} {
		if _, err := os.Stat(d.path(name)); err != nil {
			t.Errorf("%s was touched: %v", name, err)
		}
	}
}

// TestFolderStart: without a time in the name the container tells the start, else the file.
func TestFolderStart(t *testing.T) {
	d := newDrop(t)
	d.facts.Created = noon.Add(-3 * time.Hour)
	d.write("a.mp4", mp4(2000))
	d.settle(Took{Taken: 1})
	if c := d.clips(); len(c) != 1 || !c[0].Start.Equal(noon.Add(-3*time.Hour-2*time.Second)) {
		t.Errorf("by the container: %+v", c)
	}
	d.facts = Facts{Length: time.Minute}
	d.write("b.mp4", mp4(3000))
	if err := os.Chtimes(d.path("b.mp4"), noon, noon.Add(-30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	d.settle(Took{Taken: 1})
	if c := d.clips(); len(c) != 2 || !c[0].Start.Equal(noon.Add(-31*time.Minute)) {
		t.Errorf("by the file: %+v", c)
	}

	d.wrong = errors.New("the sandbox is not ready")
	d.write("c.mp4", mp4(4000))
	if _, err := d.round(0); err != nil {
		t.Fatal(err)
	}
	if took, err := d.round(d.Quiet); err == nil || took != (Took{}) {
		t.Errorf("a fault of the relay: %+v, %v", took, err)
	}
	if _, err := os.Stat(d.path("c.mp4")); err != nil {
		t.Errorf("a fault of the relay lost the file: %v", err)
	}
	d.wrong = relay.Invalid("file", "It holds no video.")
	if took, err := d.round(d.Quiet); err != nil || took != (Took{Refused: 1}) {
		t.Errorf("no video: %+v, %v", took, err)
	}
	if r := d.refused(); len(r) != 1 || r[0].Name != "c.mp4" || r[0].Reason != "It holds no video." || r[0].Size != 4000 {
		t.Errorf("refused %+v", r)
	}
}

// TestFolderDeleted: footage that a member deleted does not come back, and is not lost either.
func TestFolderDeleted(t *testing.T) {
	d := newDrop(t)
	const name = "sub/20261120_115902.mp4"
	d.write(name, mp4(2000))
	d.settle(Took{Taken: 1})
	d.gone(name)
	if err := d.store.DB.DisposeClip(t.Context(), d.clips()[0].ID, "m1", noon); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		d.write(name, mp4(2000))
		d.settle(Took{Refused: 1})
		if r := d.refused(); len(r) != n+1 || !strings.Contains(r[0].Reason, "deleted from the library") {
			t.Fatalf("refused %+v, want %d", r, n+1)
		}
	}
}

// TestFolderEscape: links lead nowhere.
func TestFolderEscape(t *testing.T) {
	d := newDrop(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "20261120_115902.mp4"), mp4(2000), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"20261120_115902.mp4": filepath.Join(outside, "20261120_115902.mp4"), "sub": outside, "up": "../.."} {
		if err := os.Symlink(to, d.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	d.settle(Took{})
	// A link in place of "refused" takes nothing out.
	if err := os.Symlink(outside, d.path("refused")); err != nil {
		t.Fatal(err)
	}
	d.write("letter.mp4", bytes.Repeat([]byte("letter "), 300))
	d.wrong = relay.Invalid("file", "It holds no video.")
	if _, err := d.round(0); err != nil {
		t.Fatal(err)
	}
	if took, err := d.round(d.Quiet); err == nil || took != (Took{}) {
		t.Errorf("refused through a link: %+v, %v", took, err)
	}
	// A link in place of a camera's folder is not entered.
	if err := os.RemoveAll(filepath.Join(d.Base, "front-door")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(d.Base, "front-door")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.round(d.Quiet); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("a camera's folder is a link: %v", err)
	}
	if _, err := RefusedIn(d.Base, "front-door"); err == nil {
		t.Error("refused files are listed through a link")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 || len(d.clips()) != 0 {
		t.Errorf("outside: %v, %v; clips %v", entries, err, d.clips())
	}
}

// TestFolderChanges: what is written to while it is read is not kept.
func TestFolderChanges(t *testing.T) {
	d := newDrop(t)
	body := mp4(2000)
	name := d.path("a.mp4")
	d.Look = func(context.Context, io.Reader) (Facts, error) {
		return Facts{Created: noon.Add(-time.Hour)}, os.WriteFile(name, append(body, body...), 0o600)
	}
	d.write("a.mp4", body)
	if _, err := d.round(0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.round(d.Quiet); !errors.Is(err, errChanging) {
		t.Errorf("a file that changes: %v", err)
	}
	if len(d.clips()) != 0 {
		t.Error("half a file was kept")
	}
}
