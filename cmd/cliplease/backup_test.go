package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// TestBackupCommands backs a relay up, restores it elsewhere, and proves what its log says, all
// from the command line.
func TestBackupCommands(t *testing.T) {
	dir := t.TempDir()
	data, kept, keys, back, proof := filepath.Join(dir, "data"), filepath.Join(dir, "kept"), filepath.Join(dir, "keys"), filepath.Join(dir, "back"), filepath.Join(dir, "proof.json")
	site := relay.NewSite("localhost", "8080", false)
	now := time.Now()
	in := func(data string, do func(s *storage.Store) error) {
		t.Helper()
		s, err := storage.Open(t.Context(), storage.Config{Dir: data, Site: site})
		if err == nil {
			err = do(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	in(data, func(s *storage.Store) error {
		if _, err := s.GrowPublic(t.Context(), site, 12, now.Add(-2*time.Hour)); err != nil {
			return err
		}
		if err := s.DB.Record(t.Context(), relay.Event{Kind: relay.RequestReceived, Subject: "x", Actor: "y", At: now.Add(-time.Hour)}); err != nil {
			return err
		}
		_, err := s.GrowPublic(t.Context(), site, 12, now.Add(time.Hour))
		return err
	})
	run := func(want string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		said := out.String()
		if err != nil {
			said += err.Error()
		}
		if !strings.Contains(said, want) {
			t.Errorf("%v: %q, want %q", args, said, want)
		}
		return said
	}
	run("does not lie in the backup", "backup", kept, "--keys", filepath.Join(kept, "keys"), "--data", data)
	run("keep them apart from the backups", "backup", kept, "--keys", keys, "--data", data)
	run("is there already", "backup", kept, "--data", data)
	run("--keys is needed", "restore", kept, "--data", back)
	run("is not empty", "restore", kept, "--keys", keys, "--data", data)
	run("0 leases are over", "restore", kept, "--keys", keys, "--data", back)
	run("ok: 2 entries", "log", "verify", "--data", back)
	run("nothing to acknowledge", "admin", "clock", "ack", "--data", back)

	said := run(`"checkpoint"`, "log", "prove", "0", "--data", back)
	if err := os.WriteFile(proof, []byte(said), 0o600); err != nil {
		t.Fatal(err)
	}
	run(`"kind":"request.received"`, "log", "verify", proof)
	run("not the one given", "log", "verify", proof, "--key", "other")
	if err := os.WriteFile(proof, []byte(strings.Replace(said, `"actor": "y"`, `"actor": "z"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	run("is not the one that was logged", "log", "verify", proof)
	said = run(`"hashes"`, "log", "prove", "--since", "12", "--data", back)
	if err := os.WriteFile(proof, []byte(said), 0o600); err != nil {
		t.Fatal(err)
	}
	run("only grew", "log", "verify", proof)
	run("no checkpoint of 13", "log", "prove", "--since", "13", "--data", back)
	run("its hour is not over yet", "log", "prove", "1", "--data", back)
	run("or --since", "log", "prove", "--data", back)
	run("neither an exported log nor a proof", "log", "verify", filepath.Join(kept, "backup.json"))
	run("0 entries are forgotten", "log", "forget", "--before", "2001-01-01", "--data", back)
	run("stay in the log", "log", "forget", "--before", "2001-01-01", "--kind", "release.granted", "--data", back)
	run("is no day", "log", "forget", "--before", "yesterday", "--data", back)

	// The machine's clock went back while the relay was off.
	in(back, func(s *storage.Store) error {
		clock, err := storage.OpenClock(t.Context(), s.DB, func() time.Time { return now.Add(2 * time.Hour) }, storage.SinceBoot)
		if err != nil {
			return err
		}
		if err := clock.Keep(t.Context()); err != nil {
			return err
		}
		clock, err = storage.OpenClock(t.Context(), s.DB, time.Now, storage.SinceBoot)
		if err == nil && clock.Frozen(t.Context()) == nil {
			t.Error("the relay is not frozen")
		}
		return err
	})
	run("People are let in again", "admin", "clock", "ack", "--data", back)
}
