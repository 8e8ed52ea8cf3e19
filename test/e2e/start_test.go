package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cliplease/test/driver"
)

// TestSecondServe starts a second relay on one data folder: it names the process that has it.
func TestSecondServe(t *testing.T) {
	w := bare(t, small)
	w.command(1, "in use by process "+strconv.Itoa(w.relay.PID()), "serve", "--addr", "127.0.0.1:0")
}

// TestPortTaken starts a relay on a port that another one has.
func TestPortTaken(t *testing.T) {
	w := bare(t, small)
	w.command(1, "port taken", "serve", "--data", filepath.Join(w.dir, "other"))
}

// TestWrongConfiguration names every wrong setting with its line, or the variable that gave it.
func TestWrongConfiguration(t *testing.T) {
	w := bare(t, small)
	file := filepath.Join(w.dir, "cliplease.yaml")
	for _, tt := range []struct {
		name, text, says string
	}{
		{"a port that is none", "# mail\nsmtp:\n  host: mail.example\n  port: 99999\n", file + ":4: smtp.port"},
		{"a word that is none", "log:\n  level: loud\n", file + ":2: log.level"},
		{"a setting that there is not", "log:\n  colour: blue\n", "colour"},
		{"reachable without TLS", "domain: relay.example.org\n", file + ":1: domain"},
		{"no YAML", "smtp: [\n", file},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			// Alone in its environment, which would win over the file.
			res, err := driver.Run(w.ctx, w.relay.Bin, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir}, "serve", "--config", file)
			if err != nil {
				t.Fatal(err)
			}
			if res.Code != 2 || !strings.Contains(res.Err, tt.says) {
				t.Errorf("exit code %d and %q, want 2 and %q in it", res.Code, res.Err, tt.says)
			}
		})
	}
	res, err := driver.Run(w.ctx, w.relay.Bin, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "CLIPLEASE_SMTP_PORT=soon"}, "serve")
	w.must(err)
	w.ended(res, 2, "CLIPLEASE_SMTP_PORT", []string{"serve"})
}

// TestOpenFolder refuses data and keys that others on the machine can read.
func TestOpenFolder(t *testing.T) {
	w := bare(t, small)
	w.must(w.relay.Stop())
	defer func() { w.must(w.relay.Start(w.ctx)) }()
	w.must(os.Chmod(w.relay.Data, 0o755))
	w.command(1, "chmod 700", "serve")
	w.must(os.Chmod(w.relay.Data, 0o700))
	key := filepath.Join(w.relay.Data, "keys", "vault.key")
	w.must(os.Chmod(key, 0o644))
	w.command(1, "vault.key", "serve")
	w.must(os.Chmod(key, 0o600))
}

// TestMissingParts starts a relay without ffmpeg: it says what is missing and how to get it.
func TestMissingParts(t *testing.T) {
	w := bare(t, small, "CLIPLEASE_REDACTION_FFMPEG=/nowhere/ffmpeg")
	err := w.relay.Ready(w.ctx)
	if err == nil || !strings.Contains(fmt.Sprint(err), "ffmpeg") {
		t.Errorf("without ffmpeg /readyz says %v", err)
	}
	w.command(1, "ffmpeg", "doctor")
}

// TestSetUpLink starts a relay anew before anybody used its set-up link: the newest link works,
// and works once.
func TestSetUpLink(t *testing.T) {
	w := bare(t, small)
	w.again()
	if w.relay.SetUpLink == "" {
		t.Fatal("the second start prints no set-up link")
	}
	home, err := w.relay.Join(w.ctx, w.relay.SetUpLink, "Alex Homeowner", memberMail)
	w.must(err)
	if _, err := w.relay.Join(w.ctx, w.relay.SetUpLink, "Mallory", "m@home.example"); err == nil {
		t.Error("the set-up link worked twice")
	}
	w.again()
	if w.relay.SetUpLink != "" {
		t.Error("a home that is set up gets another set-up link")
	}
	w.must(home.SignIn(w.ctx))
	_, err = home.Get(w.ctx, "/")
	w.must(err)
}
