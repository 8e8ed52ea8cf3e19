package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

// TestReport prints the report on half a year that is long over, and none before its time.
func TestReport(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	store, err := storage.Open(t.Context(), storage.Config{Dir: data, Site: relay.NewSite("localhost", "8080", false)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, int) {
		var out bytes.Buffer
		cmd := reportCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(append(args, "--data", data))
		cmd.SetOut(&out)
		err := cmd.ExecuteContext(t.Context())
		if err == nil {
			return out.String(), 0
		}
		code := exitRefused
		if e := (*exitError)(nil); errors.As(err, &e) {
			code = e.code
		}
		return err.Error(), code
	}
	running := relay.LatestHalf(time.Now().AddDate(1, 0, 0)).String()
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"", 0, "What agencies asked of localhost in " + relay.LatestHalf(time.Now()).String()},
		{"--half 2020H2", 0, "immigration civil"},
		{"--half " + running, exitRefused, "can be made from"},
		{"--half 2020", exitUsage, "write one such as"},
		{"gag nothing --until 2020-01-31", exitRefused, "there is no request nothing"},
		{"gag nothing", exitUsage, "--until"},
		{"gag nothing --until soon", exitUsage, "is no day"},
	} {
		if out, code := run(strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("report %s: exit code %d and %q, want %d and %q", tt.args, code, out, tt.code, tt.says)
		}
	}
	raw, code := run("--half", "2020H2", "--json")
	var r relay.Transparency
	if err := json.Unmarshal([]byte(raw), &r); code != 0 || err != nil || r.Half != "2020H2" || r.All.Asked != "0" || len(r.Purposes) != len(relay.Purposes()) {
		t.Errorf("%s: %v", raw, err)
	}
}
