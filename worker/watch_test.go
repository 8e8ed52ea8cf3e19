package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"
)

// TestWatch: real footage without a time in its name is dropped; its container tells the start.
func TestWatch(t *testing.T) {
	h := newHome(t)
	made := h.watch.now().Add(-5 * time.Hour).UTC().Truncate(time.Second)
	base := filepath.Join(t.TempDir(), "watch")
	folder := filepath.Join(base, "front-door")
	h.ok(os.MkdirAll(folder, 0o700))
	h.ok(os.WriteFile(filepath.Join(folder, "clip.mp4"), film(t, "6", "-metadata", "creation_time="+relay.Stamp(made)), 0o600))
	broken := film(t, "6")
	h.ok(os.WriteFile(filepath.Join(folder, "broken.mp4"), broken[:len(broken)/2], 0o600))
	cfg := h.config()
	cfg.Watch = source.Folder{Base: base, Quiet: 50 * time.Millisecond, MaxBytes: 1 << 20}
	h.works(cfg)
	var clips []relay.Clip
	h.await("the dropped clip is ready", func() bool {
		var err error
		clips, err = h.DB.Clips(t.Context(), storage.ClipFilter{})
		h.ok(err)
		return len(clips) == 1 && clips[0].State == relay.ClipReady
	})
	if !clips[0].Start.Equal(made) || clips[0].Duration.Round(time.Second) != 6*time.Second {
		t.Errorf("the clip starts at %s and lasts %s; want %s and 6s", clips[0].Start, clips[0].Duration, made)
	}
	h.await("the broken file is refused", func() bool {
		refused, err := source.RefusedIn(base, "front-door")
		h.ok(err)
		return len(refused) == 1 && refused[0].Name == "broken.mp4" && strings.Contains(refused[0].Reason, "cannot be read")
	})
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name() != "refused" {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}
