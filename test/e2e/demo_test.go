package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cliplease/test/driver"
)

// TestSampleHome starts the relay that is meant to be clicked through, sets up its home as a
// visitor does, and finds the request that waits there. Ctrl-C leaves nothing behind.
func TestSampleHome(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	temp := t.TempDir()
	cmd := exec.CommandContext(ctx, os.Getenv("CLIPLEASE_BIN"), "demo", "--serve")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	// Without a browser to open.
	for i, kv := range cmd.Env {
		if strings.HasPrefix(kv, "PATH=") {
			cmd.Env[i] = "PATH=" + withoutBrowser(t, temp)
		}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	link := ""
	lines := bufio.NewScanner(out)
	for link == "" && lines.Scan() {
		if s := strings.TrimSpace(lines.Text()); strings.Contains(s, "/join#") {
			link = s
		}
	}
	home, _, ok := strings.Cut(link, "/join#")
	if !ok {
		t.Fatalf("no link came: %v", cmd.Wait())
	}
	r, err := driver.Reach(home)
	if err != nil {
		t.Fatal(err)
	}
	visitor, err := r.Join(ctx, link, "A Visitor", "visitor@home.example")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := visitor.Get(ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(inbox), "Exampleville Police Department") {
		t.Error("the inbox shows no request")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "cliplease-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// withoutBrowser makes a folder with the programs that a relay uses and no others.
func withoutBrowser(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ffmpeg", "ffprobe", "bwrap"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return bin
}
