package storage

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
)

const crashDir = "CLIPLEASE_TEST_CRASH_DIR"

// TestCrashChild is the process that TestCrash kills. By itself it has nothing to do.
func TestCrashChild(t *testing.T) {
	dir, ctx := os.Getenv(crashDir), t.Context()
	if dir == "" {
		return
	}
	keys, objects := openKeys(t, dir+"/keys"), openObjects(t, dir)
	for i := 0; ; i++ {
		id := fmt.Sprintf("o%d-%d", os.Getpid(), i)
		key, err := keys.New(ctx, id, "c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := SealTo(ctx, objects, id, key, bytes.NewReader(random(200000))); err != nil {
			t.Fatal(err)
		}
		fmt.Println("sealed", id)
		if err := keys.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			fmt.Println("ending", id)
			if err := errors.Join(keys.Destroy(ctx, id), objects.Delete(ctx, id)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("ended", id)
		}
	}
}

// openObjects opens the folder store whose crashes leave the most: the one with named files.
func openObjects(t *testing.T, dir string) *Dir {
	t.Helper()
	d, err := OpenDir(dir + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	d.unnamed = false
	return d
}

// TestCrash kills a process that seals, rotates and destroys, again and again, and each time
// finds everything that was acknowledged, nothing that was destroyed, and no leftover.
func TestCrash(t *testing.T) {
	dir, ctx, state := t.TempDir(), t.Context(), map[string]string{}
	for range 15 {
		child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			did, id, _ := strings.Cut(lines.Text(), " ")
			if did == "sealed" || did == "ending" || did == "ended" {
				state[id] = did
			} else {
				t.Errorf("the child says %q", lines.Text())
			}
			if i == 3 { // it runs; kill it anywhere in what follows
				time.AfterFunc(time.Duration(rand.IntN(40000))*time.Microsecond, func() { child.Process.Kill() })
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}

		keys, objects := openKeys(t, dir+"/keys"), openObjects(t, dir)
		for id, did := range state {
			key, err := keys.Get(ctx, id, "c")
			switch did {
			case "sealed":
				if err == nil {
					var got []byte
					if got, err = readRange(t, objects, id, key, 200000, 0, -1); !bytes.Equal(got, random(200000)) {
						t.Errorf("%s came back as %d other bytes", id, len(got))
					}
				}
				if err != nil {
					t.Errorf("%s was acknowledged: %v", id, err)
				}
			case "ended":
				if !errors.Is(err, relay.ErrNotFound) {
					t.Errorf("%s was destroyed: %v", id, err)
				}
				if _, err := objects.Get(ctx, id, 0, -1); !errors.Is(err, relay.ErrNotFound) {
					t.Errorf("%s was deleted: %v", id, err)
				}
			}
		}
		if left := keks(t, dir+"/keys"); len(left) != 1 {
			t.Errorf("key files after the crash: %v", left)
		}
		entries, err := os.ReadDir(dir + "/objects")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), leftover) {
				t.Errorf("leftover %s", entry.Name())
			}
		}
		keys.Close()
	}
	if len(state) < 30 {
		t.Errorf("only %d objects were made: the test says little", len(state))
	}
}
