package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// home returns a relay's store with the camera "front-door", whose clock is two seconds ahead.
func home(t *testing.T) *storage.Store {
	t.Helper()
	store, err := storage.Open(t.Context(), storage.Config{Dir: filepath.Join(t.TempDir(), "data"), Site: relay.NewSite("localhost", "", false)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	camera := relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "Europe/Amsterdam", ClockOffset: 2 * time.Second, CreatedAt: noon}
	if err := store.DB.SaveCamera(t.Context(), camera, "m1", noon); err != nil {
		t.Fatal(err)
	}
	return store
}

// mp4 is n bytes that begin like an MP4 file.
func mp4(n int) []byte {
	b := bytes.Repeat([]byte("footage "), n/8+1)[:n]
	copy(b, "\x00\x00\x00\x20ftypisom")
	return b
}

func incoming(body io.Reader) Incoming {
	return Incoming{CameraID: "front-door", Name: "clip.mp4", Start: noon.Add(-time.Hour), Body: body, Actor: "m1"}
}

func objects(t *testing.T, store *storage.Store) (names []string) {
	t.Helper()
	for o, err := range store.Objects.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

func TestReceive(t *testing.T) {
	store := home(t)
	body := mp4(300_000)
	clip, err := Receive(t.Context(), store, incoming(iotest.HalfReader(bytes.NewReader(body))), noon)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	kept, err := store.DB.Clip(t.Context(), clip.ID)
	if err != nil {
		t.Fatal(err)
	}
	if kept.State != relay.ClipReceived || kept.SHA256 != hex.EncodeToString(sum[:]) || kept.Bytes != int64(len(body)) || kept.Name != "clip.mp4" {
		t.Errorf("kept %+v", kept)
	}
	if want := noon.Add(-time.Hour - 2*time.Second); !kept.Start.Equal(want) {
		t.Errorf("the clip starts at %s, want %s: the camera's clock is two seconds ahead", kept.Start, want)
	}
	original, err := store.Vault.Open(t.Context(), store.Objects, kept.Object)
	if err != nil {
		t.Fatal(err)
	}
	defer original.Close()
	if back, err := io.ReadAll(original); err != nil || !bytes.Equal(back, body) {
		t.Errorf("the original did not come back: %d bytes, %v", len(back), err)
	}
	if entries, err := store.DB.History(t.Context(), clip.ID); err != nil || len(entries) != 1 {
		t.Errorf("%d events about the clip, %v; want one", len(entries), err)
	}

	// The same again is refused and leaves nothing.
	if _, err := Receive(t.Context(), store, incoming(bytes.NewReader(body)), noon); !errors.Is(err, relay.ErrConflict) {
		t.Errorf("the same footage again: %v", err)
	}
	if names := objects(t, store); len(names) != 1 {
		t.Errorf("objects %v, want one", names)
	}
}

func TestReceiveRefuses(t *testing.T) {
	store := home(t)
	with := func(change func(*Incoming)) Incoming {
		in := incoming(bytes.NewReader(mp4(2000)))
		change(&in)
		return in
	}
	body := func(b string) Incoming {
		return with(func(in *Incoming) { in.Body = strings.NewReader(b + strings.Repeat("x", 2000)) })
	}
	for _, tt := range []struct {
		name  string
		in    Incoming
		field string
		says  string
	}{
		{"empty", with(func(in *Incoming) { in.Body = strings.NewReader("") }), "file", "empty"},
		{"tiny", with(func(in *Incoming) { in.Body = bytes.NewReader(mp4(100)) }), "file", "too few"},
		{"playlist", body("#EXTM3U\nfile:///etc/passwd\n"), "file", "playlist"},
		{"zip", body("PK\x03\x04\x00\x00"), "file", "ZIP"},
		{"picture", body("\xff\xd8\xff\xe0\x00"), "file", "picture"},
		{"text", body("hello"), "file", "text"},
		{"sound in RIFF", body("RIFF\x00\x00\x00\x00WAVE\x00"), "file", "MP4, MOV, MKV, WebM or AVI"},
		{"too large", with(func(in *Incoming) { in.Body = bytes.NewReader(mp4(3 << 20)); in.MaxBytes = 2 << 20 }), "file", "larger than 2 MB"},
		{"no start", with(func(in *Incoming) { in.Start = time.Time{} }), "start", "time zone"},
		{"from the future", with(func(in *Incoming) { in.Start = noon.Add(48 * time.Hour) }), "start", "future"},
		{"from 1970", with(func(in *Incoming) { in.Start = time.Unix(0, 0) }), "start", "2000"},
		{"control in the name", with(func(in *Incoming) { in.Name = "a\nb.mp4" }), "name", "cannot be shown"},
		{"endless name", with(func(in *Incoming) { in.Name = strings.Repeat("n", 300) }), "name", "shorter"},
		{"unknown camera", with(func(in *Incoming) { in.CameraID = "garage" }), "camera", "garage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Receive(t.Context(), store, tt.in, noon)
			var invalid *relay.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if invalid.Field != tt.field || !strings.Contains(invalid.Reason, tt.says) {
				t.Errorf("refused for %s: %q; want %s and %q", invalid.Field, invalid.Reason, tt.field, tt.says)
			}
		})
	}
	if names := objects(t, store); len(names) != 0 {
		t.Errorf("refused clips left %v", names)
	}
}

// TestReceiveBroken: an upload that breaks off is a fault, and keeps nothing.
func TestReceiveBroken(t *testing.T) {
	store := home(t)
	broken := errors.New("connection reset")
	_, err := Receive(t.Context(), store, incoming(io.MultiReader(bytes.NewReader(mp4(200_000)), iotest.ErrReader(broken))), noon)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Receive(ctx, store, incoming(bytes.NewReader(mp4(200_000))), noon); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if names := objects(t, store); len(names) != 0 {
		t.Errorf("broken uploads left %v", names)
	}
	if clips, err := store.DB.Clips(t.Context(), storage.ClipFilter{}); err != nil || len(clips) != 0 {
		t.Errorf("broken uploads left %d clips, %v", len(clips), err)
	}
}

func TestCleanName(t *testing.T) {
	for given, want := range map[string]string{
		"clip.mp4": "clip.mp4", "../../etc/passwd": "passwd", `C:\Videos\door.mov`: "door.mov", "": "clip", "/": "clip", "-i;rm": "-i;rm", "Haustür 1.mkv": "Haustür 1.mkv",
	} {
		if got, err := cleanName(given); err != nil || got != want {
			t.Errorf("cleanName(%q) = %q, %v; want %q", given, got, err, want)
		}
	}
}
