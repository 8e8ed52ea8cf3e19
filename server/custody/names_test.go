package custody

import "testing"

// TestNames: what the font cannot draw is written as its number, never left out.
func TestNames(t *testing.T) {
	drawable, err := glyphs()
	if err != nil {
		t.Fatal(err)
	}
	s := sheet{drawable: drawable}
	for in, want := range map[string]string{
		"Grzegorz Brzęczyszczykiewicz": "Grzegorz Brzęczyszczykiewicz",
		"Ελένη, Олена":                 "Ελένη, Олена",
		"王 Wang":                       "[U+738B] Wang",
		"two\nlines":                   "two lines",
		"bell\a":                       "bell[U+0007]",
	} {
		if got := s.clean(in); got != want {
			t.Errorf("%q is written %q, want %q", in, got, want)
		}
	}
}
