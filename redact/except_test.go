package redact

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// keysOf is where a track is at its first, middle and last picture, as a person's page names it.
func keysOf(t Track, w, h int, fps float64) (keys []Key) {
	for _, i := range slices.Compact([]int{0, len(t.Frames) / 2, len(t.Frames) - 1}) {
		b := t.Frames[i]
		keys = append(keys, Key{At: time.Duration((float64(b.I) + 0.5) / fps * 1e9), X: b.X / float64(w), Y: b.Y / float64(h), W: b.W / float64(w), H: b.H / float64(h)})
	}
	return keys
}

// resting is a track that stays in one place.
func resting(id, kind string, first, frames int, r rect) hidden {
	t := hidden{Track: Track{ID: id, Kind: kind}, first: first, cells: bytes.Repeat([]byte{100}, 3*cellsAcross*cellsAcross)}
	for i := range frames {
		t.boxes = append(t.boxes, r)
		t.Frames = append(t.Frames, Box{I: first + i, X: r.x, Y: r.y, W: r.w, H: r.h})
	}
	return t
}

// excepting is a job with some tracks and exceptions, just before it hides.
func excepting(tracks []hidden, edits ...Edit) *workState {
	w := &workState{job: Job{Plan: Plan{Edits: edits}}, n: normal{w: 320, h: 180}, fps: 10, frames: 40, tracks: tracks}
	w.except()
	return w
}

// TestExceptMatch: an exception that does not mean exactly one track that the detectors found leaves
// everything hidden, and a finding says so.
func TestExceptMatch(t *testing.T) {
	poster := rect{100, 50, 40, 40}
	of := func(kind string, keys ...Key) Edit {
		return Edit{Kind: EditException, Of: kind, Keys: keys, Reason: "a poster"}
	}
	key := func(frame int, r rect) Key {
		return Key{At: time.Duration(frame*100+50) * time.Millisecond, X: r.x / 320, Y: r.y / 180, W: r.w / 320, H: r.h / 180}
	}
	track := resting("face-1", "face", 5, 20, poster)
	for _, tt := range []struct {
		name   string
		tracks []hidden
		edit   Edit
		want   string // id of the track that is left visible
	}{
		{"the very track", []hidden{track}, of("face", key(5, poster), key(24, poster)), "face-1"},
		{"a little aside", []hidden{track}, of("face", key(5, poster.moved(2, 2)), key(24, poster)), "face-1"},
		{"among others", []hidden{resting("face-1", "face", 0, 40, rect{10, 10, 40, 40}), resting("face-2", "face", 5, 20, poster)}, of("face", key(5, poster)), "face-2"},
		{"outside the picture in part", []hidden{resting("face-1", "face", 5, 20, rect{-30, 50, 40, 40})}, of("face", key(5, rect{0, 50, 10, 40})), "face-1"},
		{"no track", nil, of("face", key(5, poster)), ""},
		{"too far aside", []hidden{track}, of("face", key(5, poster.moved(12, 0))), ""},
		{"of another size", []hidden{track}, of("face", key(5, rect{90, 40, 60, 60})), ""},
		{"of another kind", []hidden{track}, of("plate", key(5, poster)), ""},
		{"not yet there", []hidden{track}, of("face", key(4, poster), key(24, poster)), ""},
		{"no more there", []hidden{track}, of("face", key(5, poster), key(25, poster)), ""},
		{"gone elsewhere at the end", []hidden{track}, of("face", key(5, poster), key(24, poster.moved(30, 0))), ""},
		{"two that both fit", []hidden{track, resting("face-2", "face", 5, 20, poster.moved(2, 0))}, of("face", key(5, poster)), ""},
		{"what a person drew", []hidden{resting("edit-1", "edit", 5, 20, poster)}, of("edit", key(5, poster)), ""},
	} {
		w := excepting(tt.tracks, tt.edit)
		got := ""
		for _, x := range w.report.Exceptions {
			got += x.Track
		}
		why := WhyUncovered
		if tt.want == "" {
			why = WhyUnmatched
		}
		if got != tt.want || len(w.report.Findings) != 1 || w.report.Findings[0].Why != why {
			t.Errorf("%s: uncovered %q with findings %+v, want %q and %s", tt.name, got, w.report.Findings, tt.want, why)
		}
		for _, x := range w.tracks {
			if opened := x.opened(x.first); opened != (x.ID == tt.want) || opened != (x.Exception != "") {
				t.Errorf("%s: %s is left visible: %t", tt.name, x.ID, opened)
			}
		}
	}
	w := excepting([]hidden{track}, of("face", key(7, poster), key(9, poster)), of("face", key(5, poster)))
	if w.tracks[0].opened(6) || !w.tracks[0].opened(7) || !w.tracks[0].opened(9) || w.tracks[0].opened(10) {
		t.Error("more is left visible than from the first place to the last")
	}
	if len(w.report.Exceptions) != 1 || len(w.report.Findings) != 2 || w.report.Findings[1].Why != WhyUnmatched {
		t.Errorf("two exceptions for one track: %+v", w.report)
	}
}

// TestExceptHidesNoLess: whatever is left visible, every pixel outside its own region is hidden as
// before, and so is every pixel inside it that anything else hides.
func TestExceptHidesNoLess(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	place := func() rect {
		return rect{random.Float64()*340 - 20, random.Float64()*200 - 20, 10 + random.Float64()*90, 10 + random.Float64()*90}
	}
	visible := 0
	for round := range 200 {
		plan := Plan{Style: []Style{StyleBlur, StyleSolid}[round%2]}
		var tracks []hidden
		for i := range 1 + random.IntN(6) {
			kind := []string{"face", "plate"}[random.IntN(2)]
			tracks = append(tracks, resting(kind+string(rune('a'+i)), kind, random.IntN(5), 5+random.IntN(30), place()))
		}
		if round%3 == 0 {
			plan.Masks = []Mask{{Points: []Point{{0, 0}, {random.Float64(), 0}, {0.5, random.Float64()}}}}
		}
		if round%5 == 0 {
			plan.Edits = append(plan.Edits, Edit{Kind: EditArea, Points: []Point{{0.2, 0.2}, {random.Float64(), 0.3}, {0.5, random.Float64()}}})
		}
		var drawn []hidden
		if round%2 == 0 {
			drawn = append(drawn, resting("edit-1", "edit", 0, 40, place()))
		}
		all := append(slices.Clone(tracks), drawn...)
		one := random.IntN(len(tracks))
		edits := append(slices.Clone(plan.Edits), Edit{Kind: EditException, Of: tracks[one].Kind, Reason: "a poster", Keys: keysOf(tracks[one].Track, 320, 180, 10)})
		w := excepting(tracks, edits...)
		w.tracks = append(w.tracks, drawn...)
		n := normal{w: 320, h: 180}
		before := newPainter(plan, n, 10, 40, all)
		excepted := plan
		excepted.Edits = edits
		after := newPainter(excepted, n, 10, 40, w.tracks)
		others := newPainter(plan, n, 10, 40, slices.Delete(slices.Clone(all), one, one+1))
		for i := range 40 {
			alpha := func(p *painter) []byte { return p.frame(i)[frameSize(320, 180):] }
			a, b, o := alpha(before), alpha(after), alpha(others)
			x0, y0, x1, y1 := 0, 0, 0, 0
			if w.tracks[one].opened(i) {
				x0, y0, x1, y1 = after.bounds(w.tracks[one].boxes[i-w.tracks[one].first])
			}
			for k := range a {
				x, y := k%320, k/320
				if inside := x >= x0 && x < x1 && y >= y0 && y < y1; !inside && b[k] < a[k] || b[k] < o[k] {
					t.Fatalf("round %d, frame %d: %d,%d is hidden to %d of 255, before to %d, by the others alone to %d", round, i, x, y, b[k], a[k], o[k])
				}
				if b[k] < a[k] {
					visible++
				}
			}
		}
	}
	if visible == 0 {
		t.Error("nothing was ever left visible, so this test proves nothing")
	}
}

// TestException: a face of real footage is left visible, in a job that takes over what was found and in
// one that searches anew, with the same bytes; nothing else of the picture shows, and a person has to look.
func TestException(t *testing.T) {
	e := testEngine(t, Config{})
	dir := t.TempDir()
	in, known := filepath.Join(dir, "in.mp4"), filepath.Join(dir, "found")
	doorbell(t, in, 2)
	job := func(plan Plan, earlier string) Report {
		t.Helper()
		r, err := e.Redact(context.Background(), Job{In: in, Plan: plan, Earlier: earlier, Found: known, WorkDir: dir, Copies: []CopyOut{{Path: filepath.Join(dir, "out.mp4")}}})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Passed() {
			t.Errorf("gates %+v", r.Gates)
		}
		return r
	}
	first := job(Plan{}, "")
	i := slices.IndexFunc(first.Tracks, func(t Track) bool { return t.Kind == "face" && len(t.Frames) > 20 && t.Frames[0].X > 0 })
	if i < 0 {
		t.Fatalf("no face to leave visible among %d tracks", len(first.Tracks))
	}
	face := first.Tracks[i]
	plan := Plan{Edits: []Edit{{Kind: EditException, Of: "face", Reason: "a poster on the wall", Keys: keysOf(face, first.Width, first.Height, first.FPS)}}}
	again := job(plan, known)
	if !again.Reused || len(again.Exceptions) != 1 || again.Exceptions[0].Track != face.ID || again.Tracks[i].Exception == "" || !again.NeedsLook() {
		t.Fatalf("reused %t, exceptions %+v", again.Reused, again.Exceptions)
	}
	why := func(r Report, why string) (n int) {
		for _, f := range r.Findings {
			if f.Why == why && f.Track == face.ID {
				n++
			}
		}
		return n
	}
	if why(again, WhyUncovered) != 1 || why(again, WhyExcepted) != 1 {
		t.Errorf("findings %+v: want one that it was uncovered, and one that the second look sees it", again.Findings)
	}
	if again.Output == first.Output {
		t.Error("the copy is the one with everything hidden")
	}
	if whole := job(plan, ""); whole.Output != again.Output || whole.Reused {
		t.Errorf("a whole search gives %v, one that was taken over %v", whole.Output, again.Output)
	}
	// Another window is searched anew: what is not where it was stays hidden.
	moved := slices.Clone(plan.Edits)
	moved[0].Keys = slices.Clone(moved[0].Keys)
	for k := range moved[0].Keys {
		moved[0].Keys[k].X += 0.1
	}
	r := job(Plan{Edits: moved}, known)
	if len(r.Exceptions) != 0 || r.Output != first.Output || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Why == WhyUnmatched }) {
		t.Errorf("an exception for nothing: %+v, output %v, want %v", r.Exceptions, r.Output, first.Output)
	}
}
