package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"golang.org/x/mod/sumdb/tlog"

	"cliplease/relay"
)

// export returns the log and its checkpoints as `cliplease log export` gives them away.
func (h *home) export() (string, []relay.Checkpoint) {
	h.t.Helper()
	var out bytes.Buffer
	h.ok(h.DB.ExportLog(h.ctx(), &out))
	notes, err := h.DB.Checkpoints(h.ctx())
	h.ok(err)
	verifier, err := h.Identity.AuditVerifier()
	h.ok(err)
	var all []relay.Checkpoint
	for _, n := range notes {
		c, err := relay.OpenCheckpoint([]byte(n), verifier)
		h.ok(err)
		all = append(all, c)
	}
	return out.String(), all
}

func TestLog(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		h.leases()
		first, err := db.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
		h.ok(err)
		again, err := db.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
		h.ok(err)
		if diff := cmp.Diff(string(first), string(again)); diff != "" {
			t.Error(diff)
		}
		for i := range 50 {
			h.ok(db.Record(ctx, relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now, Data: relay.Data{"n": i, "odd": "<&>\u2028\"\\ é \x00"}}))
			if i%7 == 0 {
				_, err := db.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
				h.ok(err)
			}
		}
		_, err = db.Checkpoint(ctx, h.site.LogOrigin(), h.Identity.Audit, h.now)
		h.ok(err)
		text, checkpoints := h.export()
		n, err := relay.VerifyLog(strings.NewReader(text), checkpoints)
		h.ok(err)
		if n != h.logSize() || checkpoints[len(checkpoints)-1].Size != n || len(checkpoints) != 9 {
			t.Errorf("%d of %d entries verified under %d checkpoints", n, h.logSize(), len(checkpoints))
		}
		// The tree only grows: each checkpoint is a beginning of the next.
		for i := range checkpoints[1:] {
			old, now := checkpoints[i], checkpoints[i+1]
			proof, err := tlog.ProveTree(now.Size, old.Size, hashReader{ctx, db.read})
			h.ok(err)
			h.ok(tlog.CheckTree(proof, now.Size, now.Root, old.Size, old.Root))
		}
		last := checkpoints[len(checkpoints)-1]
		for _, i := range []int64{0, 1, 17, n - 1} {
			e, proof, err := db.Proof(ctx, i, n)
			h.ok(err)
			h.ok(tlog.CheckRecord(proof, n, last.Root, i, e.LeafHash()))
		}
		_, _, err = db.Proof(ctx, n, n)
		h.fails(err, relay.ErrNotFound)

		lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
		verify := func(lines []string) error {
			_, err := relay.VerifyLog(strings.NewReader(strings.Join(lines, "")), checkpoints)
			return err
		}
		for name, change := range map[string]func([]string) []string{
			"an entry is missing": func(l []string) []string { return append(l[:5:5], l[6:]...) },
			"the last is missing": func(l []string) []string { return l[:len(l)-1] },
			"two are swapped":     func(l []string) []string { l[3], l[4] = l[4], l[3]; return l },
			"an event is changed": func(l []string) []string { l[9] = strings.Replace(l[9], `"actor":"`, `"actor":"x`, 1); return l },
			"a salt is changed": func(l []string) []string {
				i := strings.LastIndex(l[9], `"salt":"`) + 8
				b := []byte(l[9])
				b[i] ^= 1
				l[9] = string(b)
				return l
			},
			"a leaf is changed": func(l []string) []string { l[9] = strings.Replace(l[9], `\"h\":\"2026`, `\"h\":\"2025`, 1); return l },
			"a leaf is changed, and its event forgotten": func(l []string) []string {
				var e relay.ExportedEntry
				h.ok(json.Unmarshal([]byte(l[9]), &e))
				e.Leaf, e.Event, e.Salt = strings.Replace(e.Leaf, "2026", "2025", 1), nil, ""
				raw, _ := json.Marshal(e)
				l[9] = string(raw) + "\n"
				return l
			},
			"all of an entry is changed alike": func(l []string) []string {
				var e relay.ExportedEntry
				h.ok(json.Unmarshal([]byte(l[9]), &e))
				e.Leaf, e.Event, e.Salt = strings.Replace(e.Leaf, "2026", "2025", 1), nil, ""
				e.Hash = e.LeafHash().String()
				raw, _ := json.Marshal(e)
				l[9] = string(raw) + "\n"
				return l
			},
			"another's leaf": func(l []string) []string {
				var a, b relay.Entry
				h.ok(json.Unmarshal([]byte(l[9]), &a))
				h.ok(json.Unmarshal([]byte(l[10]), &b))
				a.Leaf, a.Event, a.Salt = b.Leaf, b.Event, b.Salt
				raw, _ := json.Marshal(a)
				l[9] = string(raw) + "\n"
				return l
			},
			"no JSON": func(l []string) []string { l[9] = "x\n"; return l },
		} {
			changed := change(append([]string(nil), lines...))
			err := verify(changed)
			if err == nil {
				t.Errorf("%s, and the log verifies", name)
			} else if strings.HasPrefix(name, "a leaf") && !strings.Contains(err.Error(), "entry 9:") {
				t.Errorf("%s: %v does not name entry 9", name, err)
			} else if strings.HasPrefix(name, "all of") && !strings.Contains(err.Error(), "entries") {
				t.Errorf("%s: %v", name, err)
			}
		}
		// An event may be forgotten: its leaf still stands.
		var e relay.Entry
		h.ok(json.Unmarshal([]byte(lines[9]), &e))
		e.Event, e.Salt = nil, ""
		raw, err := json.Marshal(e)
		h.ok(err)
		lines[9] = string(raw) + "\n"
		h.ok(verify(lines))
		h.corrupt("UPDATE log_entries SET event = '', salt = '' WHERE idx = 9")

		recent, err := db.Recent(ctx, 0, 5)
		h.ok(err)
		older, err := db.Recent(ctx, recent[4].Index, 5)
		h.ok(err)
		if recent[0].Index != n-1 || older[0].Index != n-6 || len(older) != 5 {
			t.Errorf("recent entries begin at %d and %d", recent[0].Index, older[0].Index)
		}
	})
}

// TestRollback makes transactions fail at their end, in any order: nothing of them is left.
func TestRollback(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		stop := errors.New("stop")
		size, jobs := h.logSize(), h.allJobs()
		for i := range 200 {
			fail := i%4 == 0
			err := h.DB.update(h.ctx(), func(tx *Tx) error {
				if _, err := tx.append(relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now}); err != nil {
					return err
				}
				if err := tx.enqueue(ClipJob{ClipID: fmt.Sprint(i)}); err != nil {
					return err
				}
				if err := tx.queueMail(Mail{Kind: "request", Address: "a@b.example", Subject: "x"}, h.now); err != nil {
					return err
				}
				if fail {
					return stop
				}
				return nil
			})
			if errors.Is(err, stop) != fail {
				t.Fatal(err)
			}
		}
		if got := h.logSize() - size; got != 150 {
			t.Errorf("%d entries, want 150", got)
		}
		if got := h.allJobs() - jobs; got != 300 {
			t.Errorf("%d jobs, want 300", got)
		}
		ctx, cancel := context.WithCancel(h.ctx())
		err := h.DB.update(ctx, func(tx *Tx) error {
			_, err := tx.append(relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now})
			cancel()
			return err
		})
		h.fails(err, context.Canceled)
		if got := h.logSize() - size; got != 150 {
			t.Errorf("a cancelled transaction left an entry: %d", got)
		}
	})
}

// TestAppendCost holds the cost of an entry to the logarithm of the log's size: the hashes read
// and written for one entry in a log of 4,000.
func TestAppendCost(t *testing.T) {
	h := newHome(t, Config{Dir: filepath.Join(t.TempDir(), "data")})
	h.ok(h.DB.update(h.ctx(), func(tx *Tx) error {
		for range 4000 {
			if _, err := tx.append(relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now}); err != nil {
				return err
			}
		}
		return nil
	}))
	n := h.logSize()
	read := 0
	count := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		read += len(indexes)
		return hashReader{h.ctx(), h.DB.read}.ReadHashes(indexes)
	})
	for i := range int64(64) {
		if _, err := tlog.StoredHashes(n-i, []byte("leaf"), count); err != nil {
			t.Fatal(err)
		}
	}
	if read > 64*12 {
		t.Errorf("64 entries read %d hashes", read)
	}
	invariants(t, h.Store)
}

func BenchmarkAppend(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			h := newHome(b, Config{Dir: filepath.Join(b.TempDir(), "data"), Database: e.empty(b)})
			for b.Loop() {
				h.ok(h.DB.Record(b.Context(), relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now}))
			}
		})
	}
}

// clipWorker tells which clips it was given.
type clipWorker struct {
	river.WorkerDefaults[ClipJob]
	got chan string
}

func (w *clipWorker) Work(_ context.Context, job *river.Job[ClipJob]) error {
	w.got <- job.Args.ClipID
	return nil
}

func TestJobs(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		w := &clipWorker{got: make(chan string, 8)}
		workers := river.NewWorkers()
		river.AddWorker(workers, w)
		jobs, err := h.DB.Workers(&river.Config{ID: "test", Logger: slog.New(slog.DiscardHandler), Workers: workers,
			Queues: map[string]river.QueueConfig{QueueMedia: {MaxWorkers: 1}}})
		h.ok(err)
		ctx, cancel := context.WithTimeout(h.ctx(), time.Minute)
		defer cancel()
		h.ok(jobs.Start(ctx))
		wait := func(want string) {
			t.Helper()
			select {
			case got := <-w.got:
				if got != want {
					t.Errorf("worked on %s, want %s", got, want)
				}
			case <-ctx.Done():
				t.Fatalf("the job for %s was not worked on", want)
			}
		}
		wait(h.clip.ID)
		h.ok(h.DB.Enqueue(h.ctx(), ClipJob{ClipID: "second"}))
		wait("second")
		h.ok(h.DB.update(h.ctx(), func(tx *Tx) error { // while workers run
			if err := tx.enqueue(ClipJob{ClipID: "third"}); err != nil {
				return err
			}
			_, err := tx.append(relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: h.now})
			return err
		}))
		wait("third")
		h.ok(jobs.Stop(ctx))
	})
}
