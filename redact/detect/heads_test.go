package detect

import "testing"

// TestHeads: PoseNet's heads lie where the face detectors see faces, and about as large; and it sees
// heads in the same photograph when the faces themselves are painted over.
func TestHeads(t *testing.T) {
	p := shrink(photo(t, "../../bin/footage/sample6.jpg"), 2)
	look := func(name string, p Picture) []Found {
		t.Helper()
		s, ok := Lookup(name)
		if !ok {
			t.Fatalf("no detector %s", name)
		}
		s.Levels = []Level{{1, 0}}
		d, err := Open(models, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		found, err := d.Detect(p)
		if err != nil {
			t.Fatal(err)
		}
		var sure []Found
		for _, f := range found {
			if f.Score > 0.5 {
				sure = append(sure, f)
			}
		}
		return sure
	}
	faces := look("retinaface-near", p)
	if len(faces) < 3 {
		t.Fatalf("the photograph has %d faces", len(faces))
	}
	matched := func(heads []Found) (n int) {
		for _, f := range faces {
			for _, h := range heads {
				if overlap(f, h) > 0.3 && h.H > 0.6*f.H && h.H < 1.8*f.H {
					n++
					break
				}
			}
		}
		return n
	}
	if n := matched(look("posenet", p)); n < len(faces)-1 {
		t.Errorf("heads at %d of %d faces", n, len(faces))
	}
	// Paint over the middle of each face, as a mask or a visor would.
	q := Picture{append([]byte(nil), p.Pix...), p.W, p.H}
	for _, f := range faces {
		for y := int(f.Y + 0.35*f.H); y < int(f.Y+f.H); y++ {
			for x := int(f.X); x < int(f.X+f.W); x++ {
				if i := 3 * (y*q.W + x); y >= 0 && x >= 0 && y < q.H && x < q.W {
					q.Pix[i], q.Pix[i+1], q.Pix[i+2] = 40, 60, 120
				}
			}
		}
	}
	if n := matched(look("posenet", q)); n < len(faces)/2+1 {
		t.Errorf("with masks on, heads at %d of %d faces", n, len(faces))
	}
}

// TestBodies: where heads are painted over, hair and ears too, the bodies still tell where some of them belong.
func TestBodies(t *testing.T) {
	p := shrink(photo(t, "../../bin/footage/sample5.jpg"), 2)
	faces := detectAll(t, "retinaface-near", p)
	for _, f := range faces {
		for y := int(f.Y - 0.4*f.H); y < int(f.Y+1.0*f.H); y++ {
			for x := int(f.X - 0.25*f.W); x < int(f.X+1.25*f.W); x++ {
				if i := 3 * (y*p.W + x); y >= 0 && x >= 0 && y < p.H && x < p.W {
					p.Pix[i], p.Pix[i+1], p.Pix[i+2] = 120, 120, 120
				}
			}
		}
	}
	told := 0
	heads := detectAll(t, "posenet", p)
	for _, f := range faces {
		for _, b := range heads {
			x, y := b.X+b.W/2, b.Y+b.H/2
			if b.Detector == PoseNetBody && x > f.X && x < f.X+f.W && y > f.Y-0.5*f.H && y < f.Y+f.H {
				told++
				break
			}
		}
	}
	if told < 2 {
		t.Errorf("bodies tell of %d of %d heads: %v", told, len(faces), heads)
	}
}

func detectAll(t *testing.T, name string, p Picture) []Found {
	s, _ := Lookup(name)
	d, err := Open(models, s, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	found, err := d.Detect(p)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
