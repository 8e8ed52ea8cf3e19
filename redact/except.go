package redact

import (
	"fmt"
	"math"
	"strings"
)

// An exception leaves one thing visible that the detectors took for a face or a plate, because a person
// said so. Tracks are numbered anew in each job, so it names its track by the places where it was in an
// earlier one. Unless exactly one track is there all the time, everything stays hidden, and a finding
// says so. Only that track is left out, from the first to the last of those places: whatever else lies
// over it is drawn as ever.

// exceptFit is the least overlap (shared area over joint area) of a track with each place of an exception.
const exceptFit = 0.7

// except finds the tracks that the plan's exceptions mean.
func (w *workState) except() {
	for k, e := range w.job.Plan.Edits {
		if e.Kind != EditException {
			continue
		}
		from, to := w.frameOf(e.Keys[0]), w.frameOf(e.Keys[len(e.Keys)-1])
		f := Finding{Frame: from, At: milli(float64(from) / w.fps), Until: milli(float64(to+1) / w.fps), Kind: e.Of}
		at := w.boxOf(e.Keys[0])
		f.X, f.Y, f.W, f.H = round1(at.x), round1(at.y), round1(at.w), round1(at.h)
		fits := []int{}
		for i := range w.tracks {
			if w.meant(e, w.tracks[i]) {
				fits = append(fits, i)
			}
		}
		if len(fits) != 1 || w.tracks[fits[0]].Exception != "" {
			f.Why, f.Detail = WhyUnmatched, fmt.Sprintf("What was to be left visible (%s) is not found again for certain, so nothing was uncovered. Look, and choose it anew.", e.Reason)
			w.report.Findings = append(w.report.Findings, f)
			continue
		}
		t := &w.tracks[fits[0]]
		t.Exception, t.open = e.Reason, [2]int{from, to + 1}
		w.report.Exceptions = append(w.report.Exceptions, Exception{Edit: k, Track: t.ID, Kind: t.Kind, From: f.At, To: f.Until, Reason: e.Reason})
		f.Why, f.Track = WhyUncovered, t.ID
		f.Detail = fmt.Sprintf("A %s was left visible here (%s). Look that nothing else shows in its place.", t.Kind, e.Reason)
		w.report.Findings = append(w.report.Findings, f)
	}
}

func milli(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// meant says whether t is a track that the detectors found and that is at all places of an exception.
func (w *workState) meant(e Edit, t hidden) bool {
	if t.Kind != e.Of || validException(e) != nil { // what a person drew is no exception's to undo
		return false
	}
	for _, key := range e.Keys {
		i := w.frameOf(key) - t.first
		if i < 0 || i >= len(t.boxes) {
			return false
		}
		a, b := t.boxes[i].inside(w.n), w.boxOf(key).inside(w.n)
		shared := a.shared(b)
		if joint := a.w*a.h + b.w*b.h - shared; !(shared > 0 && shared >= exceptFit*joint) {
			return false
		}
	}
	return true
}

func (w *workState) frameOf(k Key) int { return int(math.Floor(k.At.Seconds()*w.fps + 1e-4)) }

func (w *workState) boxOf(k Key) rect {
	return rect{k.X * float64(w.n.w), k.Y * float64(w.n.h), k.W * float64(w.n.w), k.H * float64(w.n.h)}
}

// inside returns the part of a box that lies in the picture.
func (r rect) inside(n normal) rect {
	x, y := max(0, r.x), max(0, r.y)
	return rect{x, y, max(0, min(float64(n.w), r.x+r.w)-x), max(0, min(float64(n.h), r.y+r.h)-y)}
}

// uncovered returns the exception in whose region a box of a frame mostly lies, or nil.
func (w *workState) uncovered(frame int, r rect) *hidden {
	for i := range w.tracks {
		t := &w.tracks[i]
		if k := frame - t.first; t.opened(frame) && k >= 0 && k < len(t.boxes) && r.shared(t.boxes[k]) > 0.5*r.w*r.h {
			return t
		}
	}
	return nil
}

// opened says whether the track is left visible in a frame.
func (t *hidden) opened(frame int) bool { return frame >= t.open[0] && frame < t.open[1] }

// validException says what an exception lacks.
func validException(e Edit) error {
	if e.Of != "face" && e.Of != "plate" || strings.TrimSpace(e.Reason) == "" {
		return fmt.Errorf("an exception needs the kind of track (face or plate) and a reason")
	}
	return nil
}
