package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
	"cliplease/test/servers"
)

// startMinIO starts one MinIO server for the tests of t.
func startMinIO(t *testing.T) *servers.MinIO {
	t.Helper()
	m, err := servers.StartMinIO(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

func s3Config(m *servers.MinIO) S3Config {
	return S3Config{Endpoint: m.Endpoint, Bucket: "b-" + relay.NewID()[:12], AccessKey: m.AccessKey, SecretKey: Secret(m.SecretKey)}
}

func openS3(t *testing.T, m *servers.MinIO) *S3 {
	t.Helper()
	s, err := OpenS3(t.Context(), s3Config(m))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openDir(t *testing.T) *Dir {
	t.Helper()
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestObjects holds every store to the promises of [Objects].
func TestObjects(t *testing.T) {
	m := startMinIO(t)
	for _, store := range []struct {
		name string
		open func(*testing.T) Objects
	}{
		{"folder", func(t *testing.T) Objects {
			d := openDir(t)
			if !d.unnamed {
				t.Error("the file system of the tests has no O_TMPFILE; that path stays untested")
			}
			return d
		}},
		{"folder with named files", func(t *testing.T) Objects {
			d := openDir(t)
			d.unnamed = false
			return d
		}},
		{"S3", func(t *testing.T) Objects { return openS3(t, m) }},
	} {
		t.Run(store.name, func(t *testing.T) { testObjects(t, store.open) })
	}
}

func testObjects(t *testing.T, open func(*testing.T) Objects) {
	ctx := t.Context()
	o := open(t)
	put := func(t *testing.T, name string, content []byte) {
		t.Helper()
		if err := o.Put(ctx, name, bytes.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	get := func(t *testing.T, name string, offset, length int64) []byte {
		t.Helper()
		r, err := o.Get(ctx, name, offset, length)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	absent := func(t *testing.T, name string) {
		t.Helper()
		if r, err := o.Get(ctx, name, 0, -1); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("Get: %v; want ErrNotFound", err)
			if err == nil {
				r.Close()
			}
		}
	}

	t.Run("what is put is got", func(t *testing.T) {
		for _, size := range []int{0, 1, 1000, partSize - 1, partSize, partSize + 1, 2*partSize + 12345} {
			content := random(size)
			for _, announced := range []int64{int64(size), -1} {
				name := relay.NewID()
				if err := o.Put(ctx, name, iotest.HalfReader(bytes.NewReader(content)), announced); err != nil {
					t.Fatalf("%d bytes, announced %d: %v", size, announced, err)
				}
				if !bytes.Equal(get(t, name, 0, -1), content) {
					t.Errorf("%d bytes, announced %d: came back different", size, announced)
				}
			}
		}
	})
	t.Run("ranges", func(t *testing.T) {
		content := random(10000)
		put(t, "ranges", content)
		for _, r := range []struct{ offset, length, want int64 }{
			{0, -1, 10000}, {0, 1, 1}, {0, 10000, 10000}, {1, -1, 9999}, {9999, 1, 1}, {9999, -1, 1}, {5000, 100, 100},
			{9000, 5000, 1000}, {10000, -1, 0}, {10000, 5, 0}, {20000, 5, 0},
		} {
			got := get(t, "ranges", r.offset, r.length)
			if int64(len(got)) != r.want || !bytes.Equal(got, content[min(r.offset, 10000):min(r.offset, 10000)+r.want]) {
				t.Errorf("%d bytes from %d: got %d bytes, want %d", r.length, r.offset, len(got), r.want)
			}
		}
		for _, r := range []struct{ offset, length int64 }{{-1, 5}, {0, 0}, {0, -2}} {
			if _, err := o.Get(ctx, "ranges", r.offset, r.length); err == nil {
				t.Errorf("%d bytes from %d: no error", r.length, r.offset)
			}
		}
	})
	t.Run("a name is written once", func(t *testing.T) {
		for _, second := range []int{5, 11, partSize + 1} {
			name := relay.NewID()
			put(t, name, []byte("first"))
			if err := o.Put(ctx, name, bytes.NewReader(random(second)), -1); !errors.Is(err, relay.ErrConflict) {
				t.Errorf("second Put of %d bytes: %v; want ErrConflict", second, err)
			}
			if got := get(t, name, 0, -1); string(got) != "first" {
				t.Errorf("after the second Put: %.20q", got)
			}
		}
	})
	t.Run("of many writers one wins", func(t *testing.T) {
		var wg sync.WaitGroup
		won := make(chan int, 8)
		for i := range 8 {
			wg.Go(func() {
				err := o.Put(ctx, "race", strings.NewReader(strings.Repeat(fmt.Sprint(i), 1000)), -1)
				if err == nil {
					won <- i
				} else if !errors.Is(err, relay.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(won)
		winner := <-won
		if _, more := <-won; more {
			t.Error("two writers won")
		}
		if got := string(get(t, "race", 0, -1)); got != strings.Repeat(fmt.Sprint(winner), 1000) {
			t.Errorf("writer %d won and the object is %.10q…", winner, got)
		}
	})
	t.Run("a Put that fails leaves nothing", func(t *testing.T) {
		broken := errors.New("broken")
		for _, tt := range []struct {
			name string
			r    io.Reader
			size int64
			want error
		}{
			{"source fails at once", iotest.ErrReader(broken), -1, broken},
			{"source fails later", io.MultiReader(bytes.NewReader(random(100)), iotest.ErrReader(broken)), -1, broken},
			{"source fails in a later part", io.MultiReader(bytes.NewReader(random(partSize+100)), iotest.ErrReader(broken)), -1, broken},
			{"source breaks off", io.MultiReader(bytes.NewReader(random(100)), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, io.ErrUnexpectedEOF},
			{"source breaks off in a later part", io.MultiReader(bytes.NewReader(random(partSize+100)), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, io.ErrUnexpectedEOF},
			{"shorter than announced", bytes.NewReader(random(100)), 101, io.ErrUnexpectedEOF},
			{"empty, but announced", bytes.NewReader(nil), 1, io.ErrUnexpectedEOF},
			{"longer than announced", bytes.NewReader(random(100)), 99, nil},
			{"longer than nothing", bytes.NewReader(random(100)), 0, nil},
		} {
			name := relay.NewID()
			err := o.Put(ctx, name, tt.r, tt.size)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v; want %v", tt.name, err, tt.want)
			}
			absent(t, name)
		}
	})
	t.Run("a Put whose context ends leaves nothing", func(t *testing.T) {
		for _, size := range []int64{1000, partSize + 1000} {
			ctx, cancel := context.WithCancel(ctx)
			r := io.MultiReader(bytes.NewReader(random(int(size))), readFunc(func([]byte) (int, error) { cancel(); return 0, nil }), bytes.NewReader(random(10)))
			if err := o.Put(ctx, "cancelled", r, -1); !errors.Is(err, context.Canceled) {
				t.Errorf("%d bytes: %v; want context.Canceled", size, err)
			}
			absent(t, "cancelled")
		}
	})
	t.Run("delete", func(t *testing.T) {
		put(t, "gone", []byte("x"))
		put(t, "gone-not", []byte("y"))
		for range 2 {
			if err := o.Delete(ctx, "gone"); err != nil {
				t.Fatal(err)
			}
		}
		absent(t, "gone")
		if got := get(t, "gone-not", 0, -1); string(got) != "y" {
			t.Errorf("an object with a longer name is %q", got)
		}
		put(t, "gone", []byte("again"))
	})
	t.Run("list", func(t *testing.T) {
		o := open(t)
		start := time.Now().Add(-2 * time.Second)
		for _, name := range []string{"b2", "a", "b1", "b10", "c"} {
			if err := o.Put(ctx, name, strings.NewReader(name), -1); err != nil {
				t.Fatal(err)
			}
		}
		names := func(prefix string) (names []string) {
			for object, err := range o.List(ctx, prefix) {
				if err != nil {
					t.Fatal(err)
				}
				if object.Size != int64(len(object.Name)) || object.Modified.Before(start) || object.Modified.After(time.Now().Add(2*time.Second)) || object.Modified.Location() != time.UTC {
					t.Errorf("object %+v", object)
				}
				names = append(names, object.Name)
			}
			return names
		}
		for prefix, want := range map[string][]string{"": {"a", "b1", "b10", "b2", "c"}, "b": {"b1", "b10", "b2"}, "x": nil} {
			if diff := cmp.Diff(want, names(prefix)); diff != "" {
				t.Errorf("prefix %q: %s", prefix, diff)
			}
		}
		for object, err := range o.List(ctx, "") { // deleting while listing, and stopping early
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Delete(ctx, object.Name); err != nil {
				t.Fatal(err)
			}
			if object.Name == "b2" {
				break
			}
		}
		if diff := cmp.Diff([]string{"c"}, names("")); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("names", func(t *testing.T) {
		for _, name := range []string{"", ".", "..", "../x", "a/b", "/a", "a\x00b", ".put-x", "a.b", "-a", "_a", "é", "a b", "a\\b", strings.Repeat("a", 129)} {
			err := o.Put(ctx, name, strings.NewReader("x"), -1)
			if err == nil || !strings.Contains(err.Error(), "object name") {
				t.Errorf("Put %q: %v", name, err)
			}
			if r, err := o.Get(ctx, name, 0, -1); err == nil {
				r.Close()
				t.Errorf("Get %q: no error", name)
			}
			if err := o.Delete(ctx, name); err == nil {
				t.Errorf("Delete %q: no error", name)
			}
		}
		for _, name := range []string{"A", "0", strings.Repeat("z", 128), "a-b_C9"} {
			put(t, name, []byte("x"))
		}
	})
	t.Run("check", func(t *testing.T) {
		o := open(t)
		if err := o.Check(ctx); err != nil {
			t.Error(err)
		}
		for object := range o.List(ctx, "") {
			t.Errorf("Check left %s", object.Name)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := o.Check(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestDirIsPrivateAndSwept(t *testing.T) {
	path := t.TempDir() + "/deep/objects"
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if got := mode(path); got != 0o700 {
		t.Errorf("folder has mode %o", got)
	}
	if err := d.Put(t.Context(), "kept", strings.NewReader("x"), -1); err != nil {
		t.Fatal(err)
	}
	if got := mode(path + "/kept"); got != 0o600 {
		t.Errorf("object has mode %o", got)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"/.put-crashed", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"/not ours.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.unnamed = false
	running, err := d.create() // another process in the middle of a Put
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if d, err = OpenDir(path); err != nil {
		t.Fatal(err)
	}
	if got := mode(path); got != 0o700 {
		t.Errorf("folder opened again has mode %o", got)
	}
	if _, err := os.Stat(path + "/.put-crashed"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover of a crash: %v", err)
	}
	if _, err := os.Stat(running.Name()); err != nil {
		t.Errorf("the file of a running Put: %v", err)
	}
	var names []string
	for object := range d.List(t.Context(), "") {
		names = append(names, object.Name)
	}
	if diff := cmp.Diff([]string{"kept"}, names); diff != "" {
		t.Error(diff)
	}
}

// TestSecretsDoNotPrint tries every way in which a secret could reach a log.
func TestSecretsDoNotPrint(t *testing.T) {
	key := Key([]byte("0123456789abcdef0123456789abcdef"))
	secret := Secret("0123456789abcdef")
	cfg := S3Config{Endpoint: "host", SecretKey: secret}
	for _, v := range []any{key, &key, secret, &secret, cfg, &cfg, []Key{key}, map[string]Key{"k": key}, struct{ K Key }{key}} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%e"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
		for _, leak := range []string{"012345", "303132", "48 49 50", "0x30", "060 061", "MDEyMzQ1", "110000 110001"} {
			if strings.Contains(strings.ToLower(out.String()), strings.ToLower(leak)) {
				t.Errorf("%T prints %q:\n%s", v, leak, out.String())
			}
		}
		if !strings.Contains(out.String(), redacted) {
			t.Errorf("%T never prints %s", v, redacted)
		}
	}
}

// readFunc is a reader made of a function.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// random returns n bytes that differ from place to place, the same in every run.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
