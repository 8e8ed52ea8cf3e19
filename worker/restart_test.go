package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/servers"
)

// victimEnv names the data folder, and victimDatabaseEnv the database, of a child of the test
// that works on them until it is killed.
const (
	victimEnv         = "CLIPLEASE_TEST_VICTIM"
	victimDatabaseEnv = "CLIPLEASE_TEST_VICTIM_DATABASE"
)

// victim runs a worker on a home, as the program does.
func victim(home storage.Config) int {
	err := func() error {
		ctx := context.Background()
		store, err := storage.Open(ctx, home)
		if err != nil {
			return err
		}
		models := os.Getenv("CLIPLEASE_MODELS")
		if models == "" {
			models = "../bin/models"
		}
		e, err := redact.Open(redact.Config{Models: models})
		if err != nil {
			return err
		}
		w, err := New(Config{Store: store, Site: site, Engine: e, TempDir: filepath.Join(home.Dir, "tmp"), Now: time.Now, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		if err != nil {
			return err
		}
		w.every.progress = 20 * time.Millisecond
		return w.Start(ctx)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {} // until it is killed
}

// startVictim starts a child that works on h.
func (h *home) startVictim() *exec.Cmd {
	h.t.Helper()
	self, err := os.Executable()
	h.ok(err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), victimEnv+"="+h.dir, victimDatabaseEnv+"="+h.cfg.Database)
	child.Stderr = h
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.ok(child.Start())
	h.t.Cleanup(func() { child.Process.Kill() })
	return child
}

// TestKilled: kill -9 in the middle of preparing. The next start takes the job up at once, the
// release is prepared once, and no plaintext stays.
func TestKilled(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) string{
		"SQLite": func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string {
			s, err := servers.StartPostgres(t.Context(), os.Getenv("CLIPLEASE_TEST_POSTGRES"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			address, err := s.Database(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return address
		},
	} {
		t.Run(name, func(t *testing.T) { testKilled(t, newHomeOn(t, database(t))) })
	}
}

func testKilled(t *testing.T, h *home) {
	clip := h.ready("10")
	q := h.asks(clip)
	d := h.draft(clip, q)
	d.To = clip.Start.Add(9 * time.Second)
	rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, d, h.member.ID, h.watch.now())
	h.ok(err)
	child := h.startVictim()
	h.await("the victim prepares", func() bool { return h.release(rel.ID).Progress > 0 })
	h.ok(child.Process.Kill())
	if err := child.Wait(); err == nil {
		t.Fatal("the victim ended by itself")
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "tmp")); err != nil || len(left) == 0 {
		t.Fatalf("the victim left %v, %v; this test proves nothing", left, err)
	}
	progress := h.release(rel.ID).Progress

	started := time.Now()
	h.works(h.config())
	h.await("the job is taken up", func() bool {
		now := h.release(rel.ID)
		return now.Progress != progress || now.State != relay.ReleaseIsPreparing
	})
	if waited := time.Since(started); waited > 10*time.Second {
		t.Errorf("the job was taken up after %s", waited)
	}
	rel = h.prepared(rel.ID)
	if rel.State != relay.ReleaseInReview {
		t.Fatalf("%s: %s", rel.State, rel.Failure)
	}
	for _, c := range rel.Copies {
		if b, err := h.opens(c); err != nil || hash(string(b)) != c.SHA256 {
			t.Errorf("copy %s: %v", c.ID, err)
		}
	}
	if kinds := h.events(rel.ID); len(kinds) != 2 || kinds[1] != relay.ReleasePrepared {
		t.Errorf("events %v", kinds)
	}
}

// TestCutOffTooOften: a job that took the process down each time ends instead of being tried
// for ever.
func TestCutOffTooOften(t *testing.T) {
	h := newHome(t)
	clip := h.ready("6")
	q := h.asks(clip)
	rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, h.draft(clip, q), h.member.ID, h.watch.now())
	h.ok(err)
	tries := storage.PrepareJob{}.InsertOpts().MaxAttempts
	for range tries {
		h.ok(os.RemoveAll(filepath.Join(h.dir, "tmp")))
		child := h.startVictim()
		h.await("the victim has begun", func() bool {
			jobs, err := filepath.Glob(filepath.Join(h.dir, "tmp", "job-*"))
			return err == nil && len(jobs) > 0
		})
		h.ok(child.Process.Kill())
		child.Wait()
	}
	h.works(h.config())
	if rel = h.prepared(rel.ID); rel.State != relay.ReleaseIsFailed {
		t.Errorf("%s, want it to have failed", rel.State)
	}
	h.logMu.Lock()
	defer h.logMu.Unlock()
	if want := fmt.Sprintf("cut off %d times", tries); !strings.Contains(h.log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, h.log)
	}
}

// TestStopped: a worker that is stopped in the middle of a job ends within seconds, and the
// job runs again without having lost a try.
func TestStopped(t *testing.T) {
	h := newHome(t)
	clip := h.ready("10")
	q := h.asks(clip)
	d := h.draft(clip, q)
	d.To = clip.Start.Add(9 * time.Second)
	rel, err := h.DB.PrepareRelease(t.Context(), q.ID, clip.ID, d, h.member.ID, h.watch.now())
	h.ok(err)
	w := h.works(h.config())
	h.await("preparing has begun", func() bool { return h.release(rel.ID).Progress > 0 })
	began := time.Now()
	h.stops(w)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if rel = h.release(rel.ID); rel.State != relay.ReleaseIsPreparing {
		t.Fatalf("after the stop it is %s", rel.State)
	}
	if keys, objects := h.keys(), h.objects(); len(keys) != 0 || len(objects) != 1 {
		t.Errorf("left: keys %v, objects %v", keys, objects)
	}
	h.works(h.config())
	if rel = h.prepared(rel.ID); rel.State != relay.ReleaseInReview {
		t.Errorf("%s: %s", rel.State, rel.Failure)
	}
}
