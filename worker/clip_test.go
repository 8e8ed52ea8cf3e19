package worker

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/redact"
	"cliplease/relay"
)

func TestClip(t *testing.T) {
	h := newHome(t)
	h.works(h.config())
	footage := film(t, "6", "-f", "lavfi", "-i", "sine=duration=6")
	c := h.looked(h.receives(footage).ID)
	if c.State != relay.ClipReady || c.Reason != "" || c.Duration.Round(time.Second) != 6*time.Second || c.Width != 320 || c.Height != 240 || c.FPS != 5 || c.Codec != "h264" || !c.Audio {
		t.Fatalf("after the look: %+v", c)
	}
	if len(c.Stills) != 3 {
		t.Fatalf("%d stills of six seconds, want 3", len(c.Stills))
	}
	for _, name := range c.Stills {
		r, err := h.Vault.Open(t.Context(), h.Objects, name)
		h.ok(err)
		b, err := io.ReadAll(r)
		h.ok(err)
		r.Close()
		if !bytes.HasPrefix(b, []byte("\xff\xd8\xff")) {
			t.Errorf("still %s is no JPEG: % x…", name, b[:min(8, len(b))])
		}
	}
	if kinds := h.events(c.ID); len(kinds) != 2 || kinds[1] != relay.ClipReadyEv {
		t.Errorf("events %v", kinds)
	}

	// Disposing of it takes original and stills with it.
	h.ok(h.DB.DisposeClip(t.Context(), c.ID, h.member.ID, h.watch.now()))
	h.await("the bytes are gone", func() bool { return len(h.objects()) == 0 })
}

func TestClipRefused(t *testing.T) {
	h := newHome(t)
	whole := film(t, "6")
	short := h.receives(film(t, "2"))
	garbage := h.receives(append([]byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomiso2"), bytes.Repeat([]byte("no video "), 1000)...))
	tampered := h.receives(whole)
	path := findObject(t, h, tampered.Object)
	b, err := os.ReadFile(path)
	h.ok(err)
	b[len(b)/2] ^= 1
	h.ok(os.WriteFile(path, b, 0o600))
	h.works(h.config())
	for id, says := range map[string]string{short.ID: "5 seconds to 30 minutes", garbage.ID: "MP4, MOV, MKV, WebM or AVI", tampered.ID: "changed or damaged"} {
		c := h.looked(id)
		if c.State != relay.ClipRefused || !strings.Contains(c.Reason, says) || len(c.Stills) > 0 {
			t.Errorf("%s: %q, want it refused with %q", c.State, c.Reason, says)
		}
		if r := c.Reason; r == "" || !strings.HasSuffix(r, ".") || r[:1] != strings.ToUpper(r[:1]) {
			t.Errorf("%q is no sentence", r)
		}
	}
	if n := len(h.objects()); n != 3 {
		t.Errorf("%d objects, want the three originals", n)
	}
}

// findObject returns the file in which the folder store keeps an object.
func findObject(t *testing.T, h *home, name string) (found string) {
	t.Helper()
	h.ok(filepath.Walk(filepath.Join(h.dir, "objects"), func(path string, info os.FileInfo, err error) error {
		if err == nil && strings.Contains(info.Name(), name) {
			found = path
		}
		return err
	}))
	if found == "" {
		t.Fatalf("object %s is not there", name)
	}
	return found
}

// TestClipWaits: a machine that cannot look at clips refuses none; they wait until it can.
func TestClipWaits(t *testing.T) {
	h := newHome(t)
	c := h.receives(film(t, "6"))
	cfg := h.config()
	cfg.Engine = engine(t, redact.Config{FFmpeg: "/nowhere/ffmpeg", FFprobe: "/nowhere/ffprobe"})
	w := h.works(cfg)
	h.await("the worker says that it cannot", func() bool {
		h.logMu.Lock()
		defer h.logMu.Unlock()
		return strings.Contains(h.log.String(), "clips cannot be looked at")
	})
	h.stops(w)
	if c, err := h.DB.Clip(t.Context(), c.ID); err != nil || c.State != relay.ClipReceived {
		t.Fatalf("the clip is %s (%v), want it to wait", c.State, err)
	}
	h.ok(h.DB.WakeJobs(t.Context(), "clip.probe", h.watch.now()))
	h.works(h.config())
	if c := h.looked(c.ID); c.State != relay.ClipReady {
		t.Errorf("%s: %s", c.State, c.Reason)
	}
}

func TestStillTimes(t *testing.T) {
	for length, want := range map[time.Duration]int{5 * time.Second: 3, 20 * time.Second: 4, time.Hour: 12} {
		at := stillTimes(length)
		if len(at) != want {
			t.Errorf("%d stills of %s, want %d", len(at), length, want)
		}
		for i, a := range at {
			if a <= 0 || a >= length || i > 0 && a <= at[i-1] {
				t.Errorf("stills of %s at %v", length, at)
			}
		}
	}
}
