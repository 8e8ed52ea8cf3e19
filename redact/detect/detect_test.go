package detect

import (
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const models = "../../bin/models"

// noise is a picture with structure, the same each time.
func noise(w, h int) Picture {
	p := Picture{make([]byte, w*h*3), w, h}
	s := uint32(1)
	for i := range p.Pix {
		s = s*1664525 + 1013904223
		p.Pix[i] = byte(s>>24)/4 + byte(i/3%w*90/w) + byte(i/3/w*90/h)
	}
	return p
}

// BenchmarkDetect times one look of each detector at each of its sizes, on one core.
func BenchmarkDetect(b *testing.B) {
	p := noise(1280, 720)
	for _, s := range Table {
		for _, level := range []float64{1.5, 1, 0.75, 0.5, 0.25} {
			b.Run(fmt.Sprintf("%s/%g", s.Name, level), func(b *testing.B) {
				one := s
				one.Levels = []Level{{level, 0}}
				d, err := Open(models, one, 1)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				for b.Loop() {
					if _, err := d.Detect(p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestFaces: every face detector finds the people in a photograph at the size that it is for.
func TestFaces(t *testing.T) {
	p := photo(t, "../../bin/footage/sample6.jpg")
	for _, s := range Table {
		if s.Finds != Face {
			continue
		}
		d, err := Open(models, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		for _, p := range []Picture{p, shrink(p, 2), shrink(p, 4)} {
			p = turned(p, (4-s.Turns)%4) // so that the detector's own turns bring it upright
			found, err := d.Detect(p)
			if err != nil {
				t.Fatal(err)
			}
			sure := 0
			for i, f := range found {
				if f.Score > 0.5 {
					sure++
				}
				if f.Kind != Face || f.Detector != s.Name || f.X < 0 || f.Y < 0 || f.X+f.W > float32(p.W) || f.Y+f.H > float32(p.H) {
					t.Errorf("%s: %+v", s.Name, f)
				}
				if i > 0 && f.Score > found[i-1].Score {
					t.Errorf("%s: not best first", s.Name)
				}
			}
			most = max(most, sure)
		}
		if most < 3 {
			t.Errorf("%s finds %d faces", s.Name, most)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestVerify: a model that is missing or altered is named, with what to do.
func TestVerify(t *testing.T) {
	if err := Verify(models); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Verify(dir); !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, RuntimeFile), []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Verify(dir); !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("an altered file: %v", err)
	}
	if _, err := Open(dir, Table[0], 1); !errors.Is(err, ErrModel) {
		t.Errorf("an altered file is opened: %v", err)
	}
}

// TestJoinText: the groups of a plate are one, two plates are two.
func TestJoinText(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parts []Found
		want  int
	}{
		{"two groups of a plate", []Found{{X: 10, Y: 10, W: 30, H: 20}, {X: 46, Y: 11, W: 40, H: 20}}, 1},
		{"two plates", []Found{{X: 10, Y: 10, W: 30, H: 20}, {X: 146, Y: 11, W: 40, H: 20}}, 2},
		{"two lines", []Found{{X: 10, Y: 10, W: 30, H: 20}, {X: 12, Y: 40, W: 40, H: 20}}, 2},
		{"a plate and small print", []Found{{X: 10, Y: 10, W: 60, H: 20}, {X: 72, Y: 14, W: 20, H: 6}}, 2},
	} {
		if got := joinText(tt.parts); len(got) != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func photo(t *testing.T, path string) Picture {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v (run make footage)", err)
	}
	defer f.Close()
	im, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := im.Bounds()
	p := Picture{W: b.Dx(), H: b.Dy()}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := im.At(x, y).RGBA()
			p.Pix = append(p.Pix, byte(r>>8), byte(g>>8), byte(bl>>8))
		}
	}
	return p
}
