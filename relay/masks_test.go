package relay

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

func mask(x, y, w, h float64) Mask { return Mask{"window", x, y, w, h} }

// TestSetMasks: what can be drawn, and that nobody draws over what another member drew unseen.
func TestSetMasks(t *testing.T) {
	many := make([]Mask, MaxMasks+1)
	for i := range many {
		many[i] = mask(0.1, 0.1, 0.1, 0.1)
	}
	for _, tt := range []struct {
		name    string
		masks   []Mask
		version int
		says    string // "": it is taken
	}{
		{"one", []Mask{mask(0.1, 0.2, 0.3, 0.4)}, 3, ""},
		{"as many as there may be", many[:MaxMasks], 3, ""},
		{"the whole picture", []Mask{mask(0, 0, 1, 1)}, 3, ""},
		{"none any more", []Mask{}, 3, ""},
		{"another name alone", []Mask{{"door", 0, 0, 0.25, 0.25}}, 3, ""},
		{"too many", many, 3, "at most 24"},
		{"the same", []Mask{mask(0, 0, 0.25, 0.25)}, 3, "has already"},
		{"drawn on an older set", []Mask{mask(0.1, 0.2, 0.3, 0.4)}, 2, "were changed"},
		{"drawn on none", []Mask{mask(0.1, 0.2, 0.3, 0.4)}, 4, "were changed"},
		{"without a name", []Mask{{" ", 0.1, 0.2, 0.3, 0.4}}, 3, "a name"},
		{"a name with a space after it", []Mask{{"door ", 0.1, 0.2, 0.3, 0.4}}, 3, "space"},
		{"a name too long", []Mask{{strings.Repeat("é", MaxMaskName+1), 0.1, 0.2, 0.3, 0.4}}, 3, "at most 60"},
		{"the longest name", []Mask{{strings.Repeat("é", MaxMaskName), 0.1, 0.2, 0.3, 0.4}}, 3, ""},
		{"a name that is no text", []Mask{{"\xff", 0.1, 0.2, 0.3, 0.4}}, 3, "name"},
		{"beyond the right edge", []Mask{mask(0.8, 0, 0.3, 0.1)}, 3, "outside"},
		{"beyond the lower edge", []Mask{mask(0, 0.95, 0.3, 0.1)}, 3, "outside"},
		{"beyond the left edge", []Mask{mask(-0.1, 0, 0.3, 0.1)}, 3, "outside"},
		{"too thin", []Mask{mask(0, 0, 0.001, 1)}, 3, "too small"},
		{"turned inside out", []Mask{mask(0.5, 0.5, -0.2, 0.2)}, 3, "too small"},
		{"no number", []Mask{mask(math.NaN(), 0, 0.2, 0.2)}, 3, "outside"},
		{"of no width", []Mask{mask(0, 0, math.NaN(), 0.2)}, 3, "outside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Camera{ID: "c1", MaskVersion: 3, Masks: []Mask{mask(0, 0, 0.25, 0.25)}}
			e, err := c.SetMasks(tt.masks, tt.version, "m1", start)
			invalid := new(InvalidError)
			switch {
			case tt.says != "":
				if !errors.As(err, &invalid) || invalid.Field != "masks" || !strings.Contains(err.Error(), tt.says) || c.MaskVersion != 3 || len(c.Masks) != 1 || e.Kind != "" {
					t.Errorf("got %v, version %d, event %q", err, c.MaskVersion, e.Kind)
				}
			case err != nil || c.MaskVersion != 4 || len(c.Masks) != len(tt.masks) || e.Kind != CameraMasked || e.Data["version"] != 4:
				t.Errorf("got %v, version %d, event %+v", err, c.MaskVersion, e)
			}
			raw, err := json.Marshal(e)
			if err != nil || strings.Contains(string(raw), "window") || strings.Contains(string(raw), "door") {
				t.Errorf("the log tells the name of a mask: %s, %v", raw, err)
			}
		})
	}
}

// TestHideMore: copies that were made with masks b can be signed while the camera has masks a exactly
// when a hides nothing that b shows.
func TestHideMore(t *testing.T) {
	left, right, all := mask(0, 0, 0.5, 1), mask(0.5, 0, 0.5, 1), mask(0, 0, 1, 1)
	for _, tt := range []struct {
		name string
		a, b []Mask
		more bool
		at   float64 // share that a hides
	}{
		{"none", nil, nil, false, 0},
		{"the first", []Mask{left}, nil, true, 0.5},
		{"taken away", nil, []Mask{left}, false, 0},
		{"the same", []Mask{left}, []Mask{left}, false, 0.5},
		{"the same, drawn twice", []Mask{left, left}, []Mask{left}, false, 0.5},
		{"renamed", []Mask{{"door", 0, 0, 0.5, 1}}, []Mask{left}, false, 0.5},
		{"one more", []Mask{left, right}, []Mask{left}, true, 1},
		{"one of two", []Mask{right}, []Mask{left, right}, false, 0.5},
		{"moved by a hair", []Mask{mask(0.00001, 0, 0.5, 1)}, []Mask{left}, true, 0.5},
		{"in pieces", []Mask{all}, []Mask{left, right}, false, 1},
		{"in pieces with a gap", []Mask{all}, []Mask{left, mask(0.5001, 0, 0.4999, 1)}, true, 1},
		{"smaller, inside", []Mask{mask(0.1, 0.1, 0.2, 0.2)}, []Mask{left}, false, 0.04},
		{"across the edge", []Mask{mask(0.4, 0.4, 0.2, 0.2)}, []Mask{left}, true, 0.04},
		{"overlapping", []Mask{mask(0, 0, 0.6, 1), mask(0.4, 0, 0.6, 1)}, []Mask{all}, false, 1},
		{"two that overlap at a corner", []Mask{mask(0, 0, 0.5, 0.5), mask(0.25, 0.25, 0.5, 0.5)}, nil, true, 0.4375},
	} {
		if got := HideMore(tt.a, tt.b); got != tt.more {
			t.Errorf("%s: %t", tt.name, got)
		}
		if got := HiddenShare(tt.a); math.Abs(got-tt.at) > 1e-9 {
			t.Errorf("%s: hides %g, want %g", tt.name, got, tt.at)
		}
	}
}

// TestSignMasks: a copy that shows what the home has hidden since is not signed, and a grant names the
// masks that are in the copies, whatever the camera has by then.
func TestSignMasks(t *testing.T) {
	q, clip, d := asked()
	made := []Mask{mask(0, 0, 0.5, 1)}
	hash, err := HashMasks(made)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		now  []Mask
		ok   bool
	}{
		{"the same", made, true},
		{"renamed", []Mask{{"garden", 0, 0, 0.5, 1}}, true},
		{"fewer", nil, true},
		{"smaller", []Mask{mask(0.1, 0, 0.2, 1)}, true},
		{"one more", append([]Mask{mask(0.7, 0.7, 0.1, 0.1)}, made...), false},
		{"elsewhere", []Mask{mask(0.2, 0, 0.5, 1)}, false},
	} {
		rel := releaseIn(t, ReleaseInReview, q, clip, d)
		if rel.Summary, err = json.Marshal(Summary{Masks: made, MaskSet: 2}); err != nil {
			t.Fatal(err)
		}
		g := grantOf(q, rel)
		if g.Redaction.StaticMasks != hash {
			t.Fatalf("the grant names %s, want %s", g.Redaction.StaticMasks, hash)
		}
		_, err := rel.Sign(q, g, []byte("{}"), nil, signedBy(false), tt.now, start)
		if ok := err == nil && rel.State == ReleaseIsLive; ok != tt.ok {
			t.Errorf("%s: %v, the release is %s", tt.name, err, rel.State)
		}
		if invalid := new(InvalidError); !tt.ok && (!errors.As(err, &invalid) || !strings.Contains(err.Error(), "Prepare it again")) {
			t.Errorf("%s: %v does not say what to do", tt.name, err)
		}
	}
	var none Release
	if _, _, err := none.MadeWith(); err == nil || none.CheckMasks(nil) == nil {
		t.Error("a release that says nothing of its masks passes")
	}
	a, _ := HashMasks([]Mask{{"garden", 0, 0, 0.5, 1}})
	if b, _ := HashMasks([]Mask{{"garden", 0, 0, 0.5, 0.9}}); a != hash || a == b {
		t.Errorf("renamed %s, smaller %s, as it was %s", a, b, hash)
	}
	if a, _ := HashMasks(nil); a != hexOfEmptyList {
		t.Errorf("no masks hash to %s", a)
	}
}

// hexOfEmptyList is the SHA-256 of "[]".
const hexOfEmptyList = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
