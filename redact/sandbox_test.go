package redact

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sandboxes are both ways to confine a child; the machine that runs the tests must offer both.
func sandboxes(t *testing.T) map[string]*sandbox {
	t.Helper()
	out := map[string]*sandbox{}
	for kind, cfg := range map[string]Config{byBwrap: {}, byLandlock: {Bwrap: "none"}} {
		s, err := openSandbox(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if s.kind != kind {
			t.Fatalf("%s does not work here, %s was taken", kind, s.kind)
		}
		out[kind] = s
	}
	return out
}

// sh runs a script as a confined child and returns what it said.
func sh(s *sandbox, timeout time.Duration, set func(*child), script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var out bytes.Buffer
	c := s.child("sh", "/usr/bin/dash")
	c.args = []string{"-c", script}
	c.stdout = &out
	if set != nil {
		set(c)
	}
	err := s.run(ctx, c)
	return out.String(), err
}

// TestSandbox: a child sees the file that it was given, and no other file, network or environment.
func TestSandbox(t *testing.T) {
	t.Setenv("SECRET", "canary-in-the-environment")
	dir := t.TempDir()
	given, secret, out := filepath.Join(dir, "given"), filepath.Join(dir, "secret"), filepath.Join(dir, "out")
	for _, p := range []string{given, secret} {
		if err := os.WriteFile(p, []byte("inside "+filepath.Base(p)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	for kind, s := range sandboxes(t) {
		t.Run(kind, func(t *testing.T) {
			var name, folder string
			set := func(c *child) { name, folder = c.read(given), c.write(out) }
			c := s.child("", "")
			set(c)
			got, err := sh(s, 20*time.Second, set, "cat "+name+"; echo written > "+folder+"/"+kind)
			if err != nil || got != "inside given" {
				t.Errorf("the given file: %q, %v", got, err)
			}
			if b, err := os.ReadFile(filepath.Join(out, kind)); err != nil || string(b) != "written\n" {
				t.Errorf("the folder to write: %q, %v", b, err)
			}
			for what, script := range map[string]string{
				"another file":        "cat " + secret,
				"the users":           "cat /etc/passwd",
				"the network":         "exec 3<>/dev/tcp/127.0.0.1/9 || perl -MIO::Socket -e 'IO::Socket::INET->new(Proto=>q(udp),PeerAddr=>q(127.0.0.1:9)) or exit 1'",
				"writing what it got": "echo x > " + name,
				"writing elsewhere":   "echo x > /usr/share/x || echo x > " + dir + "/x",
			} {
				if got, err := sh(s, 20*time.Second, set, script); err == nil {
					t.Errorf("%s: allowed, %q", what, got)
				}
			}
			if got, _ := sh(s, 20*time.Second, nil, "env"); strings.Contains(got, "canary") {
				t.Errorf("the environment: %q", got)
			}
		})
	}
}

// TestLimits: a child that hangs, fills the disk or forks is stopped, alone and in time.
func TestLimits(t *testing.T) {
	for kind, s := range sandboxes(t) {
		t.Run(kind, func(t *testing.T) {
			start := time.Now()
			if _, err := sh(s, 500*time.Millisecond, nil, "sleep 100 & sleep 100"); err == nil || time.Since(start) > 15*time.Second {
				t.Errorf("hanging: %v after %s", err, time.Since(start))
			}
			out := t.TempDir()
			var folder string
			set := func(c *child) { folder = c.write(out); c.limits.File = 1 << 20 }
			c := s.child("", "")
			set(c)
			if _, err := sh(s, 20*time.Second, set, "exec dd if=/dev/zero of="+folder+"/big bs=65536 count=1000"); err == nil {
				t.Error("a file larger than the limit was written")
			}
			if info, err := os.Stat(filepath.Join(out, "big")); err == nil && info.Size() > 1<<20 {
				t.Errorf("the file has %d bytes", info.Size())
			}
			start = time.Now()
			if _, err := sh(s, 30*time.Second, func(c *child) { c.limits.CPU = 1 }, "while :; do :; done"); err == nil || time.Since(start) > 25*time.Second {
				t.Errorf("busy for ever: %v after %s", err, time.Since(start))
			}
		})
	}
}

// TestNoSandbox: where nothing confines, nothing runs.
func TestNoSandbox(t *testing.T) {
	s := &sandbox{kind: byNothing, self: "/proc/self/exe"}
	if err := s.try(); err == nil || !strings.Contains(err.Error(), "can be opened in the sandbox") {
		t.Errorf("the self-test does not notice that there is no sandbox: %v", err)
	}
}
