package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

// runs runs one command and returns what it printed.
func runs(t *testing.T, cmd *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// wantExit fails t unless err ends the program with code and says says.
func wantExit(t *testing.T, err error, code int, says string) {
	t.Helper()
	got := exitRefused
	var exit *exitError
	if errors.As(err, &exit) {
		got = exit.code
	}
	if err == nil || got != code || !strings.Contains(err.Error(), says) {
		t.Errorf("got exit %d and %v, want exit %d and %q", got, err, code, says)
	}
}

// madeHome makes a relay's data folder with one camera.
func madeHome(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	store, err := storage.Open(t.Context(), storage.Config{Dir: dir, Site: relay.NewSite("localhost", "8080", false)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.DB.SaveCamera(t.Context(), relay.Camera{ID: relay.NewID(), Handle: "front-door", Name: "Front door", Zone: "UTC", CreatedAt: time.Now()}, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestClipCommands(t *testing.T) {
	dir := madeHome(t)
	film := filepath.Join(t.TempDir(), "-i;rm.mp4")
	if err := os.WriteFile(film, append([]byte("\x00\x00\x00\x20ftypisom"), bytes.Repeat([]byte("film"), 1000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "list.mp4")
	if err := os.WriteFile(text, []byte("#EXTM3U\n/etc/passwd\n"+strings.Repeat("x", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	const start = "2026-11-19T21:00:00+01:00"
	add := func(file, camera, start string) (string, error) {
		return runs(t, clipCommand(), "add", "--data", dir, "--camera", camera, "--start", start, "--json", "--", file)
	}
	out, err := add(film, "Front Door", start)
	if err != nil {
		t.Fatal(err)
	}
	var row clipRow
	if err := json.Unmarshal([]byte(out), &row); err != nil || row.Camera != "front-door" || row.Start != "2026-11-19T20:00:00Z" || row.State != "received" {
		t.Errorf("printed %q (%v)", out, err)
	}
	_, err = add(film, "front-door", start)
	wantExit(t, err, exitRefused, "there already")
	_, err = add(text, "front-door", start)
	wantExit(t, err, exitRefused, "playlist")
	_, err = add(film, "garage", start)
	wantExit(t, err, exitRefused, "there is front-door")
	_, err = add(film, "front-door", "yesterday")
	wantExit(t, err, exitUsage, "2026-11-19T21:00:00+01:00")
	_, err = add(filepath.Join(dir, "nowhere.mp4"), "front-door", start)
	wantExit(t, err, exitUsage, "there is no file")
	_, err = add(dir, "front-door", start)
	wantExit(t, err, exitUsage, "not a file")
	_, err = runs(t, clipCommand(), "add", "--data", dir, film)
	wantExit(t, err, exitUsage, "--camera is needed")
	_, err = runs(t, clipCommand(), "list", "--data", filepath.Join(dir, "none"))
	wantExit(t, err, exitRefused, "there is no relay")

	if out, err = runs(t, clipCommand(), "list", "--data", dir); err != nil || !strings.Contains(out, row.ID) || !strings.Contains(out, "-i;rm.mp4") {
		t.Errorf("listed %q, %v", out, err)
	}
}

func TestMemberInvite(t *testing.T) {
	dir := madeHome(t)
	out, err := runs(t, memberCommand(), "invite", "--data", dir, "--name", "Ada", "--email", "ada@home.example", "--role", "approver", "--addr", "localhost:9191", "--json")
	t.Cleanup(func() { os.Unsetenv(envName("listen")) })
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Link string }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(got.Link, "http://localhost:9191/join#")
	if !ok {
		t.Fatalf("the link is %s", got.Link)
	}
	store, err := storage.Open(t.Context(), storage.Config{Dir: dir, Site: relay.NewSite("localhost", "8080", false)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	v, err := store.DB.Invitation(t.Context(), hashToken(token), time.Now())
	if err != nil || v.Role != relay.RoleApprover || v.Name != "Ada" || v.Email != "ada@home.example" {
		t.Errorf("the invitation is %+v, %v", v, err)
	}
	if _, err := store.DB.Invitation(t.Context(), hashToken(token), time.Now().Add(49*time.Hour)); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("it works after two days: %v", err)
	}
	for says, args := range map[string][]string{
		"--name is needed": {"invite"}, "homeowner, approver, member or operator": {"invite", "--name", "A", "--role", "boss"}, "no mail address": {"invite", "--name", "A", "--email", "Ada <a@b.example>"},
	} {
		_, err := runs(t, memberCommand(), append(args, "--data", dir)...)
		wantExit(t, err, exitUsage, says)
	}
}

func TestReleaseCommands(t *testing.T) {
	dir := madeHome(t)
	_, err := runs(t, releaseCommand(), "revoke", "--data", dir, "unknown")
	wantExit(t, err, exitRefused, "there is no release unknown")
	_, err = runs(t, releaseCommand(), "revoke", "--data", dir)
	wantExit(t, err, exitUsage, "--all")
	_, err = runs(t, releaseCommand(), "revoke", "--data", dir, "one", "--all")
	wantExit(t, err, exitUsage, "--all")
	for _, args := range [][]string{{"list"}, {"revoke", "--all"}} {
		if out, err := runs(t, releaseCommand(), append(args, "--data", dir)...); err != nil || !strings.Contains(out, "Nothing is released") {
			t.Errorf("%v: %q, %v", args, out, err)
		}
	}
	if out, err := runs(t, releaseCommand(), "list", "--all", "--json", "--data", dir); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("listed %q, %v", out, err)
	}
}
