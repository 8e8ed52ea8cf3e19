// Package setup tests the scripts of deploy/setup that a newcomer's first command runs.
package setup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const scripts = "../../deploy/setup/"

// run runs a script and returns its exit code and all that it printed.
func run(t *testing.T, environ []string, script string, args ...string) (code int, printed string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), scripts+script, args...)
	cmd.Env = environ
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// write makes an executable file.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// machine is a PATH on which everything is there that packages.sh asks for but shellcheck. Its apt-get
// does what the file "apt" in it says, and its user is whom the file "id" prints.
func machine(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"bash", "cat", "env", "grep", "head", "mktemp", "rm", "sleep", "sort"} {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gcc", "git", "ffmpeg", "ffprobe", "bwrap", "chromium", "npm"} {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n")
	}
	write(t, filepath.Join(bin, "go"), "#!/bin/sh\necho go1.26.8\n")
	write(t, filepath.Join(bin, "node"), "#!/bin/sh\necho 20.1.0\n")
	write(t, filepath.Join(bin, "id"), "#!/bin/sh\necho 0\n")
	write(t, filepath.Join(bin, "apt-get"), "#!/bin/sh\necho \"$@\" >>"+bin+"/calls\ncd "+bin+"\n. ./apt\n")
	return bin
}

func TestPackages(t *testing.T) {
	const (
		installs = `case "$*" in *install*) cp npm shellcheck;; esac`
		locked   = `echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 12 (apt)" >&2; exit 100`
	)
	for _, tt := range []struct {
		name  string
		files map[string]string // written over those of the machine
		code  int
		says  string // part of what is printed; "" is silence
		calls int    // of apt-get
	}{
		{"all there", map[string]string{"shellcheck": ""}, 0, "", 0},
		{"installs what is missing", map[string]string{"apt": installs}, 0, "installing shellcheck", 2},
		{"waits for the lock", map[string]string{"apt": `[ -e waited ] || { : >waited; ` + locked + `; }; ` + installs}, 0,
			"waiting for another apt or dpkg", 3},
		{"gives up on the lock", map[string]string{"apt": locked, "wait": "0"}, 1, "held the lock of apt for 0 seconds", 1},
		{"works with old package lists", map[string]string{"apt": `case "$*" in *update*) exit 100;; esac; ` + installs}, 0,
			"trying with those at hand", 2},
		{"shows what apt-get said", map[string]string{"apt": `echo "E: no space left" >&2; exit 100`}, 1, "no space left", 2},
		{"notices that nothing came of it", map[string]string{"apt": ":"}, 1, "still not found where it is used: shellcheck", 2},
		{"says what to install when it may not", map[string]string{"id": "#!/bin/sh\necho 1000\n"}, 1,
			"as root, run: apt-get update && apt-get install --no-install-recommends shellcheck\n", 0},
		{"Go too old", map[string]string{"go": "#!/bin/sh\necho go1.9.7\n"}, 1, "Go is 1.9.7. Install Go 1.26 or newer.", 0},
		{"Node too old", map[string]string{"node": "#!/bin/sh\necho 18.19.0\n"}, 1, "Install Node 20 or newer.", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bin := machine(t)
			cp, err := exec.LookPath("cp")
			if err != nil {
				t.Fatal(err)
			}
			wait := "60"
			for name, content := range tt.files {
				if name == "wait" {
					wait = content
					continue
				}
				write(t, filepath.Join(bin, name), strings.ReplaceAll(content, "cp npm", cp+" npm"))
			}
			code, printed := run(t, []string{"PATH=" + bin, "CLIPLEASE_APT_WAIT=" + wait}, "packages.sh", "test")
			if code != tt.code || !strings.Contains(printed, tt.says) || (tt.says == "") != (printed == "") {
				t.Errorf("exit code %d, printed %q; want %d, %q", code, printed, tt.code, tt.says)
			}
			calls, err := os.ReadFile(filepath.Join(bin, "calls"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if got := strings.Count(string(calls), "\n"); got != tt.calls {
				t.Errorf("apt-get ran %d times, want %d:\n%s", got, tt.calls, calls)
			}
		})
	}
}

func TestCountTests(t *testing.T) {
	const (
		pass     = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}` + "\n"
		fail     = `{"Action":"fail","Package":"p","Test":"TestB","Elapsed":0.1}` + "\n"
		skip     = `{"Action":"skip","Package":"p","Test":"TestC","Elapsed":0.1}` + "\n"
		packages = `{"Action":"pass","Package":"p","Elapsed":1}` + "\n" + `{"Action":"skip","Package":"q","Elapsed":0}` + "\n"
		prints   = `{"Action":"output","Package":"p","Test":"TestA","Output":"{\"Action\":\"fail\",\"Test\":\"x\"}\n"}` + "\n"
	)
	for _, tt := range []struct {
		name, records string
		code          int
		says          string
	}{
		{"all passed", pass + pass + prints + packages, 0, "\n2 passed, 0 failed, 0 skipped\n"},
		{"one failed", pass + fail, 1, "\n1 passed, 1 failed, 0 skipped\n"},
		{"one skipped", pass + skip, 1, "\n1 passed, 0 failed, 1 skipped\n"},
		{"none ran", packages, 1, "\n0 passed, 0 failed, 0 skipped\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "records.json")
			write(t, file, tt.records)
			code, printed := run(t, os.Environ(), "count-tests.sh", file)
			if code != tt.code || !strings.HasSuffix(printed, tt.says) {
				t.Errorf("exit code %d, printed %q; want %d, %q", code, printed, tt.code, tt.says)
			}
		})
	}
}

func TestEnvKeepsWhatIsSet(t *testing.T) {
	here := t.TempDir()
	servers := []string{
		"CLIPLEASE_TEST_POSTGRES=" + here, "CLIPLEASE_TEST_CHROMIUM=" + here, "CLIPLEASE_TEST_MINIO=" + here,
		"CLIPLEASE_MODELS=/models", "CLIPLEASE_BIN=/cliplease",
	}
	code, printed := run(t, append(os.Environ(), servers...), "env.sh", "env")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, printed)
	}
	for _, want := range servers {
		if !strings.Contains("\n"+printed, "\n"+want+"\n") {
			t.Errorf("%s was changed", want)
		}
	}

	code, printed = run(t, append(os.Environ(), append(servers, "CLIPLEASE_TEST_MINIO="+here+"/none")...), "env.sh", "env")
	if code != 1 || !strings.Contains(printed, "run make test, which sets it up") {
		t.Errorf("a server that is not there: exit code %d, printed %q", code, printed)
	}
}
