package worker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
)

// witness is a C2SP witness as far as a log sees it.
type witness struct {
	mu    sync.Mutex
	known int64
	away  bool
	notes []string
}

func (s *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var old, size int64
	head, checkpoint, found := strings.Cut(string(body), "\n\n")
	if _, scanned := fmt.Sscanf(head, "old %d", &old); s.away || err != nil || r.Method != http.MethodPost || scanned != nil || !found {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if old != s.known {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", s.known)
		return
	}
	lines := strings.Split(checkpoint, "\n")
	fmt.Sscan(lines[1], &size)
	s.known, s.notes = size, append(s.notes, checkpoint)
}

func (s *witness) state() (known int64, notes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known, len(s.notes)
}

func (s *witness) goes(away bool, known int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.known = away, known
}

// TestWitness: every hour's checkpoint of the public log reaches the folder and the address; a
// witness that is away holds nothing up and is a fault after a day.
func TestWitness(t *testing.T) {
	h := newHome(t)
	ctx := t.Context()
	far := &witness{}
	server := httptest.NewServer(far)
	t.Cleanup(server.Close)
	cfg := h.config()
	cfg.Witness = WitnessConfig{Folder: filepath.Join(t.TempDir(), "witness"), URL: server.URL + "/add-checkpoint"}
	w, err := New(cfg)
	h.ok(err)
	files := func() (n int) {
		found, err := filepath.Glob(filepath.Join(cfg.Witness.Folder, "checkpoint-*.txt"))
		h.ok(err)
		return len(found)
	}
	publish := func(hours int, want int64) {
		t.Helper()
		h.watch.pass(time.Duration(hours) * time.Hour)
		h.ok(w.publish(ctx))
		if known, _ := far.state(); known != want {
			t.Errorf("the witness knows %d leaves, want %d", known, want)
		}
	}
	publish(0, 0)
	h.leases()
	publish(1, 12)
	publish(0, 12) // nothing new
	publish(1, 24)
	if _, notes := far.state(); notes != 2 || files() != 2 {
		t.Errorf("%d checkpoints posted and %d written, want 2", notes, files())
	}
	// What was written can be checked with the log's key, and continues what was before.
	key, err := h.Identity.AuditVerifier()
	h.ok(err)
	raw, err := os.ReadFile(filepath.Join(cfg.Witness.Folder, "checkpoint-000000000024.txt"))
	h.ok(err)
	head, note, _ := strings.Cut(string(raw), "\n\n")
	if c, err := relay.OpenCheckpoint([]byte(note), key); err != nil || c.Size != 24 || c.Origin != site.LogOrigin()+"/public" || !strings.HasPrefix(head, "old 12\n") {
		t.Errorf("the folder holds %q (%v)", raw, err)
	}
	if strings.Contains(string(raw), h.member.ID) {
		t.Error("the checkpoint names a member")
	}
	far.goes(false, 0) // a new witness
	publish(1, 36)
	far.goes(true, 36)
	publish(23, 36)
	h.watch.pass(2 * time.Hour)
	if err := w.publish(ctx); err == nil || !strings.Contains(err.Error(), "has taken no checkpoint") {
		t.Errorf("a witness away for a day is no fault: %v", err)
	}
	if files() != 5 {
		t.Errorf("%d checkpoints in the folder, want 5", files())
	}
	far.goes(false, 36)
	publish(0, 28*12)
	far.goes(false, 999) // it knows a log that this one is not
	h.watch.pass(25 * time.Hour)
	if err := w.publish(ctx); err == nil || !strings.Contains(err.Error(), "none of this relay's") {
		t.Errorf("a witness that knows another log: %v", err)
	}
	// A clock that is in doubt writes no hours.
	_, before, err := h.DB.PublicCheckpoint(ctx)
	h.ok(err)
	h.watch.jump(48 * time.Hour)
	h.ok(w.publish(ctx))
	if _, after, err := h.DB.PublicCheckpoint(ctx); err != nil || after != before {
		t.Errorf("a clock that jumped made the public log grow from %d to %d, %v", before, after, err)
	}
}

func TestWitnessAddress(t *testing.T) {
	for address, good := range map[string]bool{"": true, "https://w.example/add-checkpoint": true, "http://localhost:1/x": true, "http://127.0.0.1:1": true,
		"http://w.example": false, "ftp://w.example": false, "w.example": false, "https://": false, "://": false} {
		if err := (WitnessConfig{URL: address}).Check(); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}
