package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server"
	"cliplease/storage"
)

// TestShut: while the machine's clock is in doubt nobody from outside is let in, and after a
// restore no agency is for ten minutes. Members always are.
func TestShut(t *testing.T) {
	ctx, site := t.Context(), relay.NewSite("localhost", "8080", false)
	kept, keys := filepath.Join(t.TempDir(), "kept"), filepath.Join(t.TempDir(), "keys")
	first := storage.Config{Dir: filepath.Join(t.TempDir(), "first"), Site: site}
	s, err := storage.Open(ctx, first)
	ok(t, err)
	_, err = s.Backup(ctx, kept, time.Now())
	ok(t, err)
	ok(t, storage.BackupKeys(first.Dir, keys))
	ok(t, s.Close())
	cfg := storage.Config{Dir: filepath.Join(t.TempDir(), "data"), Site: site}
	_, err = storage.Restore(ctx, cfg, kept, keys, time.Now())
	ok(t, err)
	store, err := storage.Open(ctx, cfg)
	ok(t, err)
	t.Cleanup(func() { ok(t, store.Close()) })

	var wall, passed atomic.Int64
	start := time.Now()
	clock, err := storage.OpenClock(ctx, store.DB, func() time.Time { return start.Add(time.Duration(wall.Load())) },
		func() time.Duration { return time.Duration(passed.Load()) })
	ok(t, err)
	srv, err := server.New(server.Config{Store: store, Site: site, Version: "test", MaxUpload: 1 << 20, Now: clock.Now, Clock: clock,
		Log: slog.New(slog.DiscardHandler), Ready: func(context.Context) []server.Check { return nil }})
	ok(t, err)
	shut := func(host, method, path, kind string) bool {
		r := httptest.NewRequest(method, "http://"+host+path, strings.NewReader("x"))
		r.Host = host
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if method == http.MethodGet {
			r.Header.Set("Accept", "text/html")
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		if w.Code == http.StatusServiceUnavailable {
			if w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Security-Policy") == "" || strings.Contains(string(body), "clock") || strings.Contains(string(body), "restored") {
				t.Errorf("%s %s: %v %s", host, path, w.Header(), body)
			}
			return true
		}
		return false
	}
	calls := []struct{ host, method, path, kind string }{
		{"api.localhost", "POST", "/a/v1/requests", "application/jwt"},
		{"api.localhost", "POST", "/a/v1/requests/poll", "application/jwt"},
		{"api.localhost", "GET", "/a/v1/releases/media", ""},
		{"view.localhost", "GET", "/r", ""},
		{"view.localhost", "POST", "/r/open", "application/json"},
		{"view.localhost", "POST", "/r/verify", "application/json"},
		{"view.localhost", "GET", "/m/x", ""},
		{"view.localhost", "GET", "/m/x/file", ""},
		{"view.localhost", "GET", "/static/app.css", ""},
		{"localhost", "GET", "/sign-in", ""},
	}
	check := func(when string, want func(host, path string) bool) {
		t.Helper()
		for _, c := range calls {
			if got := shut(c.host, c.method, c.path, c.kind); got != want(c.host, c.path) {
				t.Errorf("%s: %s %s: shut is %t", when, c.host, c.path, got)
			}
		}
	}
	check("after a restore", func(host, _ string) bool { return host == "api.localhost" })
	passed.Add(int64(storage.IntakeClosed + time.Second))
	wall.Add(int64(storage.IntakeClosed + time.Second))
	nobody := func(string, string) bool { return false }
	check("ten minutes later", nobody)
	wall.Add(-int64(2 * time.Hour))
	check("when the clock went back", func(host, path string) bool { return host != "localhost" && !strings.HasPrefix(path, "/static") })
	wall.Add(int64(2 * time.Hour))
	check("before anybody looked", func(host, path string) bool { return host != "localhost" && !strings.HasPrefix(path, "/static") })
	ok(t, clock.Acknowledge(ctx, "command line"))
	check("after somebody looked", nobody)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
