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

// TestLogExport exports a relay's log and checks it where the relay is not.
func TestLogExport(t *testing.T) {
	dir := t.TempDir()
	data, export := filepath.Join(dir, "data"), filepath.Join(dir, "export")
	store, err := storage.Open(t.Context(), storage.Config{Dir: data, Site: relay.NewSite("localhost", "8080", false)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := store.DB.Record(t.Context(), relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: time.Unix(1e9, 0), Data: relay.Data{"n": i, "odd": "<&>\u2028"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := logCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	for _, args := range [][]string{{"export", export, "--data", data}, {"verify", "--data", data}, {"verify", export}} {
		if said, err := run(args...); err != nil || !strings.Contains(said, "20 entries") {
			t.Errorf("%v: %q, %v", args, said, err)
		}
	}
	if said, err := run("verify", export, "--json"); err != nil || !strings.Contains(said, `"signed":20`) {
		t.Errorf("%q, %v", said, err)
	}
	path := filepath.Join(export, exportEntries)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(good, []byte(`"n":7,`), []byte(`"n":8,`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"entry 7:":            {"verify", export},
		"is there already":    {"export", export, "--data", data},
		"is no exported log":  {"verify", dir},
		"there is no relay":   {"verify", "--data", dir},
		"not the one given":   {"verify", export, "--key", "other+key"},
		"is not the one":      {"verify", "--data", data, "--key", "other+key"},
		"accepts at most 1 a": {"verify", "a", "b"},
	} {
		if _, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}
