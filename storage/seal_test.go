package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"cliplease/relay"
)

// asked is a store that notes the ranges it was asked for and can spoil what it returns.
type asked struct {
	Objects
	ranges [][2]int64
	spoil  func([]byte) []byte // of the whole stored object
	fail   error               // in the middle of a body
}

func (a *asked) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	a.ranges = append(a.ranges, [2]int64{offset, length})
	r, err := a.Objects.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if a.spoil != nil {
		b = a.spoil(b)
	}
	b = b[min(offset, int64(len(b))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	if a.fail != nil {
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(a.fail))), nil
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// seal seals content under name and checks what SealTo says of it.
func seal(t *testing.T, o Objects, name string, key Key, content []byte) {
	t.Helper()
	sealed, err := SealTo(t.Context(), o, name, key, iotest.HalfReader(bytes.NewReader(content)))
	if err != nil {
		t.Fatal(err)
	}
	if sealed.Bytes != int64(len(content)) || sealed.SHA256 != sha256.Sum256(content) {
		t.Errorf("%d bytes are described as %+v", len(content), sealed)
	}
}

func readRange(t *testing.T, o Objects, name string, key Key, size, offset, length int64) ([]byte, error) {
	t.Helper()
	r, err := OpenRange(t.Context(), o, name, key, size, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestSealedRanges(t *testing.T) {
	m := startMinIO(t)
	for name, o := range map[string]Objects{"folder": openDir(t), "S3": openS3(t, m)} {
		a := &asked{Objects: o}
		for _, size := range []int64{1, plainPackage - 1, plainPackage, plainPackage + 1, 3 * plainPackage, 3*plainPackage + 77} {
			key, object, content := NewKey(), relay.NewID(), random(int(size))
			seal(t, o, object, key, content)
			for _, offset := range []int64{0, 1, plainPackage - 1, plainPackage, plainPackage + 1, 2 * plainPackage, size - 1, size} {
				for _, length := range []int64{-1, 0, 1, 2, plainPackage - 1, plainPackage, plainPackage + 1, 2*plainPackage + 5, size - offset} {
					if offset > size || length > size-offset || length < -1 {
						continue
					}
					a.ranges = nil
					got, err := readRange(t, a, object, key, size, offset, length)
					end := offset + length
					if length == -1 {
						end = size
					}
					if err != nil || !bytes.Equal(got, content[offset:end]) {
						t.Errorf("%s, %d bytes: %d from %d: got %d bytes, %v", name, size, length, offset, len(got), err)
					}
					if len(a.ranges) > 1 {
						t.Errorf("%s, %d bytes: %d from %d: asked %v", name, size, length, offset, a.ranges)
					}
					if len(a.ranges) == 1 && end < size && a.ranges[0][1] > (end-offset)/plainPackage*sealedPackage+2*sealedPackage {
						t.Errorf("%s, %d bytes: %d from %d: fetched %v", name, size, length, offset, a.ranges)
					}
				}
			}
			for _, r := range [][2]int64{{-1, 1}, {0, size + 1}, {size, 1}, {size + 1, -1}, {size + 1, 0}, {0, -2}, {1, 1 << 62}} {
				if _, err := OpenRange(t.Context(), o, object, key, size, r[0], r[1]); err == nil {
					t.Errorf("%d bytes: %d from %d: no error", size, r[1], r[0])
				}
			}
		}
		if _, err := OpenRange(t.Context(), o, "missing", NewKey(), 5, 0, -1); !errors.Is(err, relay.ErrNotFound) {
			t.Errorf("%s: missing object: %v", name, err)
		}
	}
}

func TestSealedSecrecy(t *testing.T) {
	d := openDir(t)
	key, content := NewKey(), []byte(strings.Repeat("a face at the door ", 10000))
	seal(t, d, "one", key, content)
	stored, err := os.ReadFile(d.file("one"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(stored, []byte("face")) || bytes.Contains(stored, key[:8]) {
		t.Error("the stored object tells its content or key")
	}
	if _, err := SealTo(t.Context(), d, "one", NewKey(), bytes.NewReader(content)); !errors.Is(err, relay.ErrConflict) {
		t.Errorf("sealing over an object: %v", err)
	}
}

func TestSealTampering(t *testing.T) {
	d := openDir(t)
	const size = 3*plainPackage + 77
	key, content := NewKey(), random(size)
	seal(t, d, "object", key, content)
	seal(t, d, "other", NewKey(), content)
	longer := append(bytes.Clone(content), random(2*plainPackage)...)
	seal(t, d, "longer", key, longer) // the same key twice: forbidden, but see that it fails too
	other, err := os.ReadFile(d.file("other"))
	if err != nil {
		t.Fatal(err)
	}
	long, err := os.ReadFile(d.file("longer"))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) func([]byte) []byte { return func(b []byte) []byte { b[at] ^= 1; return b } }
	whole := [2]int64{0, -1}
	for _, tt := range []struct {
		name  string
		spoil func([]byte) []byte
		r     [2]int64
	}{
		{"bit in the first header", flip(0), whole},
		{"bit in the nonce", flip(8), whole},
		{"bit in the content", flip(100), whole},
		{"bit in the last tag", func(b []byte) []byte { return flip(len(b) - 1)(b) }, whole},
		{"bit in a later package, ranged", flip(2*sealedPackage + 50), [2]int64{2*plainPackage + 5, 10}},
		{"last byte cut", func(b []byte) []byte { return b[:len(b)-1] }, whole},
		{"last package cut", func(b []byte) []byte { return b[:3*sealedPackage] }, whole},
		{"last package cut, its bytes asked", func(b []byte) []byte { return b[:3*sealedPackage] }, [2]int64{3 * plainPackage, -1}},
		{"cut within the range", func(b []byte) []byte { return b[:2*sealedPackage-9] }, [2]int64{plainPackage, 10}},
		{"cut before the range", func(b []byte) []byte { return b[:sealedPackage] }, [2]int64{plainPackage, 10}},
		{"emptied", func([]byte) []byte { return nil }, whole},
		{"emptied, ranged", func([]byte) []byte { return nil }, [2]int64{5, 5}},
		{"a byte appended", func(b []byte) []byte { return append(b, 0) }, whole},
		{"a package appended", func(b []byte) []byte { return append(b, other[:sealedPackage]...) }, [2]int64{size - 1, 1}},
		{"packages swapped", func(b []byte) []byte {
			return append(append(bytes.Clone(b[sealedPackage:2*sealedPackage]), b[:sealedPackage]...), b[2*sealedPackage:]...)
		}, whole},
		{"another package at the place, ranged", func(b []byte) []byte { copy(b, b[sealedPackage:2*sealedPackage]); return b }, [2]int64{0, 5}},
		{"another object", func([]byte) []byte { return bytes.Clone(other) }, whole},
		{"a longer object", func([]byte) []byte { return bytes.Clone(long) }, whole},
		{"a longer object, its middle asked as the end", func([]byte) []byte { return bytes.Clone(long) }, [2]int64{size - 1, 1}},
	} {
		a := &asked{Objects: d, spoil: tt.spoil}
		got, err := readRange(t, a, "object", key, size, tt.r[0], tt.r[1])
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %d bytes, error %v; want ErrTampered", tt.name, len(got), err)
		}
		if !bytes.HasPrefix(content[tt.r[0]:], got) {
			t.Errorf("%s: yielded bytes that were never sealed", tt.name)
		}
		// A caller that reads exactly what it asked for and never on to io.EOF.
		want := tt.r[1]
		if want == -1 {
			want = size - tt.r[0]
		}
		r, err := OpenRange(t.Context(), a, "object", key, size, tt.r[0], tt.r[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, want)); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: read in full: %v; want ErrTampered", tt.name, err)
		}
		if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrTampered) {
			t.Errorf("%s: after the error it yields %d bytes, %v", tt.name, n, err)
		}
		r.Close()
	}
	if _, err := readRange(t, d, "object", NewKey(), size, 0, -1); !errors.Is(err, ErrTampered) {
		t.Errorf("wrong key: %v", err)
	}
	for _, wrong := range []int64{size - 1, size + 1, 3 * plainPackage, 4 * plainPackage} {
		if _, err := readRange(t, d, "object", key, wrong, 0, -1); !errors.Is(err, ErrTampered) {
			t.Errorf("opened as %d bytes: %v; want ErrTampered", wrong, err)
		}
	}
}

func TestSealFaults(t *testing.T) {
	d, broken := openDir(t), errors.New("broken")
	vault, err := OpenVault(t.TempDir() + "/vault.key")
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(string, io.Reader) (Sealed, error){
		"copy":     func(name string, r io.Reader) (Sealed, error) { return SealTo(t.Context(), d, name, NewKey(), r) },
		"original": func(name string, r io.Reader) (Sealed, error) { return vault.Seal(t.Context(), d, name, r) },
	} {
		if _, err := do("empty", strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("%s of nothing: %v", name, err)
		}
		for _, n := range []int{0, 1, 1000, plainPackage, 3*plainPackage + 5} {
			for _, fault := range []error{broken, io.ErrUnexpectedEOF} {
				object := relay.NewID()
				if _, err := do(object, io.MultiReader(bytes.NewReader(random(n)), iotest.ErrReader(fault))); !errors.Is(err, fault) {
					t.Errorf("%s, source fails after %d bytes with %v: %v", name, n, fault, err)
				}
				if _, err := d.Get(t.Context(), object, 0, -1); !errors.Is(err, relay.ErrNotFound) {
					t.Errorf("%s, source fails after %d bytes with %v: the object: %v", name, n, fault, err)
				}
			}
		}
	}
	// A store that fails is not called tampered with.
	key := NewKey()
	seal(t, d, "copy", key, random(1000))
	if _, err := vault.Seal(t.Context(), d, "original", bytes.NewReader(random(1000))); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []error{broken, io.ErrUnexpectedEOF} {
		a := &asked{Objects: d, fail: fault}
		if _, err := readRange(t, a, "copy", key, 1000, 0, -1); !errors.Is(err, fault) || errors.Is(err, ErrTampered) {
			t.Errorf("store fails with %v under a copy: %v", fault, err)
		}
		r, err := vault.Open(t.Context(), a, "original")
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, fault) || errors.Is(err, ErrTampered) {
			t.Errorf("store fails with %v under an original: %v", fault, err)
		}
	}
}
