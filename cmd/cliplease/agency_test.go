package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/storage"
)

// runAgency runs "cliplease agency" with args and returns what it printed and its exit code.
func runAgency(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := root()
	var stdout bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(append([]string{"agency"}, args...))
	err := cmd.ExecuteContext(t.Context())
	if err == nil {
		return stdout.String(), 0
	}
	code = exitRefused
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	return stdout.String() + err.Error(), code
}

// startRelay serves a relay on loopback and returns the address of its API and its data folder.
func startRelay(t *testing.T) (api, data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	site := relay.NewSite("localhost", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port), false)
	store, err := storage.Open(t.Context(), storage.Config{Dir: data, Site: site})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Store: store, Site: site, Version: "test", MaxUpload: 1 << 20, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Ready: func(context.Context) []server.Check { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	h := srv.HTTP()
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(listener) }()
	t.Cleanup(func() {
		h.Close()
		<-ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return site.API, data
}

// TestAgencyCommands goes an agency's way on the command line: key, registration, request,
// poll, withdrawal; and what goes wrong has the exit code that says so.
func TestAgencyCommands(t *testing.T) {
	api, data := startRelay(t)
	dir := t.TempDir()
	key, jwks, request := filepath.Join(dir, "agency.key"), filepath.Join(dir, "jwks.json"), filepath.Join(dir, "request.json")
	const id = "urn:cliplease:agency:us-mn-exampleville-pd"

	out, code := runAgency(t, "keygen", "--agency", id, "--out", key)
	if code != 0 {
		t.Fatal(out)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
	if _, err := relay.ParseJWKS([]byte(out)); err != nil || strings.Contains(out, `"d"`) {
		t.Errorf("what it printed is no public key set: %v\n%s", err, out)
	}
	if err := os.WriteFile(jwks, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := runAgency(t, "keygen", "--agency", id, "--out", key); code != exitUsage {
		t.Errorf("a key was overwritten: %d %s", code, out)
	}

	example, err := os.ReadFile("../../deploy/examples/request.json")
	if err != nil {
		t.Fatal(err)
	}
	// The example's dates are fixed, and must lie in the past of whoever runs this.
	var claims map[string]any
	if err := json.Unmarshal(example, &claims); err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(-24 * time.Hour)
	scope := claims["scope"].(map[string]any)
	scope["from"], scope["to"] = relay.Stamp(from), relay.Stamp(from.Add(10*time.Minute))
	claims["case"].(map[string]any)["opened"] = from.UTC().Format(time.DateOnly)
	write := func() {
		raw, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(request, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()

	speak := []string{"--key", key, "--relay", api}
	with := func(verb string, more ...string) (string, int) {
		return runAgency(t, append(append([]string{verb}, speak...), more...)...)
	}
	if out, code := with("request", "--file", request); code != exitRefused || !strings.Contains(out, "registered") {
		t.Errorf("before it is registered: %d %s", code, out)
	}
	add := []string{"add", "--data", data, "--id", id, "--name", "Exampleville Police", "--domain", "police.example", "--jwks", jwks, "--how", "called the records office"}
	if out, code := runAgency(t, add...); code != 0 || !strings.Contains(out, "words") {
		t.Fatal(code, out)
	}
	if out, code := runAgency(t, add...); code != exitRefused || !strings.Contains(out, "registered already") {
		t.Errorf("twice: %d %s", code, out)
	}

	out, code = with("request", "--file", request)
	if code != 0 {
		t.Fatal(code, out)
	}
	var receipt filed
	if err := json.Unmarshal([]byte(out), &receipt); err != nil || receipt.RequestID == "" || receipt.Receipt == "" || receipt.RespondBy == "" {
		t.Fatalf("%v %s", err, out)
	}
	if out, code := with("poll", receipt.RequestID); code != 0 || out != `{"state":"pending"}`+"\n" {
		t.Errorf("poll: %d %q", code, out)
	}
	if out, code := with("acknowledge", receipt.RequestID); code != exitRefused || !strings.Contains(out, "nothing to acknowledge") {
		t.Errorf("acknowledge: %d %q", code, out)
	}
	if out, code := with("withdraw", receipt.RequestID); code != 0 || out != `{"state":"closed"}`+"\n" {
		t.Errorf("withdraw: %d %q", code, out)
	}

	claims["purpose"].(map[string]any)["text"] = "investigation"
	write()
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"vague purpose":   {append([]string{"request", "--file", request}, speak...), exitRefused, "purpose.text: Say in 20 to 1000"},
		"unknown request": {append([]string{"poll", "aaaaaaaaaaaaaaaaaaaaaaaaaa"}, speak...), exitRefused, "not available"},
		"unknown release": {append([]string{"open", "--release", "aaaaaaaaaaaaaaaaaaaaaaaaaa", "--out", filepath.Join(dir, "x.mp4")}, speak...), exitRefused, "not available"},
		"no key":          {[]string{"poll", "--relay", api, "x"}, exitUsage, "--key is needed"},
		"no such key":     {[]string{"poll", "--key", dir + "/none", "--relay", api, "x"}, exitUsage, "keygen"},
		"no id":           {append([]string{"poll"}, speak...), exitUsage, "request id"},
		"unknown flag":    {[]string{"poll", "--verbose"}, exitUsage, "--help"},
		"no address":      {[]string{"poll", "--key", key, "--relay", "relay", "x"}, exitUsage, "address"},
		"plain http":      {[]string{"poll", "--key", key, "--relay", "http://api.relay.example", "x"}, exitUsage, "https"},
		"nobody there":    {[]string{"poll", "--key", key, "--relay", "http://localhost:1", "x"}, exitUnreachable, "cannot be reached"},
	} {
		if out, code := runAgency(t, tt.args...); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: %d %s, want %d …%s…", name, code, out, tt.code, tt.says)
		}
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := with("poll", receipt.RequestID); code != exitUsage || !strings.Contains(out, "chmod 600") {
		t.Errorf("a key that all can read: %d %s", code, out)
	}
}

// TestAgencyFetch: a fetch that breaks off goes on where it was, without another view; a
// session that is over is opened anew; a file with the wrong digest gets no name.
func TestAgencyFetch(t *testing.T) {
	film := make([]byte, 3*relay.RangeMax+5)
	rand.Read(film)
	digest := sha256Hex(film)
	views, left, session := 0, 0, ""
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a/v1/releases/open", func(w http.ResponseWriter, _ *http.Request) {
		views++
		session = fmt.Sprintf("session-%d", views)
		json.NewEncoder(w).Encode(opened{ReleaseID: "release", Session: session, Bytes: int64(len(film)), SHA256: digest, Download: true})
	})
	mux.HandleFunc("GET /a/v1/releases/media", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+session {
			http.Error(w, `{"error":"not_available"}`, http.StatusNotFound)
			return
		}
		if left--; left < 0 {
			panic(http.ErrAbortHandler) // the line breaks
		}
		var at int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at)
		end := min(at+relay.RangeMax, len(film))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, end-1, len(film)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(film[at:end])
	})
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	fake := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ended := make(chan error, 1)
	go func() { ended <- fake.Serve(listener) }()
	defer func() { fake.Close(); <-ended }()
	key, err := newAgencyKey("urn:cliplease:agency:first", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAgencyClient(key, fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "clip.mp4")
	fetch := func(ranges int) error {
		left = ranges
		_, err := a.fetch(t.Context(), "release", out, io.Discard)
		return err
	}
	exists := func() bool { _, err := os.Stat(out); return err == nil }
	if err := fetch(2); err == nil || exists() {
		t.Fatalf("the line broke, and yet: %v", err)
	}
	if err := fetch(1); err == nil || views != 1 {
		t.Fatalf("%v after %d views", err, views)
	}
	session = "over"
	if err := fetch(1); err != nil || views != 2 {
		t.Fatalf("%v after %d views", err, views)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, film) {
		t.Errorf("the file is not the film: %v", err)
	}
	if rest, err := filepath.Glob(out + ".*"); err != nil || len(rest) != 0 {
		t.Errorf("left behind: %v %v", rest, err)
	}
	if err := fetch(9); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("over a file that is there: %v", err)
	}
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	digest = strings.Repeat("0", 64)
	if err := fetch(9); err == nil || exists() || !strings.Contains(err.Error(), "digest") {
		t.Errorf("wrong digest: %v", err)
	}
	if rest, err := filepath.Glob(out + "*"); err != nil || len(rest) != 0 {
		t.Errorf("left behind: %v %v", rest, err)
	}
}
