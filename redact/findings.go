package redact

import (
	"fmt"
	"math"
	"slices"

	"cliplease/redact/detect"
)

// Findings are what a person should look at before a copy may leave.

// findings notes what the second look found outside the hidden regions, and what the search was
// unsure of.
func (w *workState) findings(found []lookFound) {
	sx, sy := float64(w.n.w)/float64(w.n.lw), float64(w.n.h)/float64(w.n.lh)
	p := newPainter(w.job.Plan, w.n, w.fps, w.frames, w.tracks)
	for _, l := range found {
		shapes := p.shapes(l.I)
		for _, f := range l.Found {
			r := rect{float64(f.X) * sx, float64(f.Y) * sy, float64(f.W) * sx, float64(f.H) * sy}
			covered := 0.0
			for _, s := range shapes {
				covered = max(covered, r.shared(s.rect)/(r.w*r.h))
			}
			if covered > 0.5 || r.shared(w.notices[0]) > 0 {
				continue
			}
			why, detail, track := WhyVisible, fmt.Sprintf("The second look still sees what may be a %s.", f.Kind), ""
			if t := w.uncovered(l.I, r); t != nil {
				why, track = WhyExcepted, t.ID
				detail = fmt.Sprintf("The second look sees what may be a %s in what was left visible (%s). Look that it is only that.", f.Kind, t.Exception)
			}
			w.addFinding(Finding{Frame: l.I, Kind: string(f.Kind), Why: why, Track: track, Score: math.Round(float64(f.Score)*1000) / 1000,
				X: round1(r.x), Y: round1(r.y), W: round1(r.w), H: round1(r.h),
				Detail: detail})
		}
	}
	for _, t := range w.trails {
		w.doubt(t, sx, sy)
	}
	w.unsure()
	slices.SortStableFunc(w.report.Findings, func(a, b Finding) int { return a.Frame - b.Frame })
}

// doubt notes what is uncertain about a track.
func (w *workState) doubt(t *trail, sx, sy float64) {
	first, last := t.Frames[0], t.last()
	f := Finding{Frame: first.I, Kind: string(t.Kind), Score: math.Round(t.Best*1000) / 1000, X: round1(first.X * sx), Y: round1(first.Y * sy), W: round1(first.W * sx), H: round1(first.H * sy)}
	f.Until = round1(float64(last.I) / w.fps)
	switch {
	case !believable(t) && t.Hits > 1:
		f.Why, f.Detail = WhyWeak, fmt.Sprintf("Something that may be a %s was seen, but too weakly to be hidden.", t.Kind)
	case t.Hits == 1 && t.Best < 0.5:
		f.Why, f.Detail = WhyWeak, fmt.Sprintf("Something that may be a %s was seen only once.", t.Kind)
	case t.Kind == detect.Face && t.only(detect.PoseNetBody) && believable(t):
		f.Why, f.Detail = WhyBody, "A person is here whose face was not found; where it should be is hidden."
	case t.Lost && t.Kind == detect.Face && t.Hits > 2:
		f.Frame, f.X, f.Y = last.I, round1(last.X*sx), round1(last.Y*sy)
		f.Why, f.Detail = WhyLost, "A face was lost in the middle of the picture."
	case t.Lost && t.Kind == marked:
		f.Frame, f.X, f.Y = last.I, round1(last.X*sx), round1(last.Y*sy)
		f.Why, f.Detail = WhyLost, "What was marked could not be followed any further."
	default:
		return
	}
	w.addFinding(f)
}

// unsure notes spans in which the detectors are known to miss more.
func (w *workState) unsure() {
	small := w.crowd()
	for _, s := range []struct {
		why, detail string
		is          func(lookState) bool
	}{
		{WhyDark, "It is too dark here to be sure that nothing was missed.", func(s lookState) bool { return s.Luma < dim }},
		{WhyDark, "The camera filmed in infrared here, in which faces are harder to find.", func(s lookState) bool { return s.Luma >= dim && s.Colour < 1.2 }},
		{WhyBlurred, "It is too blurred here to be sure that nothing was missed.", func(s lookState) bool { return s.Detail < 1.2 && s.Luma >= dim }},
		{WhyCrowd, "Many small faces are here; more of them may have been missed.", func(s lookState) bool { return small[s.I] >= crowd }},
	} {
		from := -1
		for i := range len(w.states) + 1 {
			if i < len(w.states) && s.is(w.states[i]) {
				if from < 0 {
					from = i
				}
				continue
			}
			if from >= 0 {
				until := w.frames
				if i < len(w.states) {
					until = w.states[i].I
				}
				w.addFinding(Finding{Frame: w.states[from].I, Until: round1(float64(until) / w.fps), Kind: "picture", Why: s.why, Detail: s.detail})
				from = -1
			}
		}
	}
}

// dim is the mean brightness, of 255, below which the detectors are known to miss more.
const dim = 60

// crowd is how many small faces at once make it likely that there are more.
const crowd = 5

// crowd counts, for each frame, the faces that are small.
func (w *workState) crowd() map[int]int {
	n := map[int]int{}
	for _, t := range w.trails {
		if t.Kind != detect.Face || !believable(t) {
			continue
		}
		for _, f := range t.Frames {
			if f.H < 40 {
				n[f.I]++
			}
		}
	}
	return n
}

// maxFindings bounds the report; whoever looks at that many has to look at all of it anyway.
const maxFindings = 500

// addFinding adds a finding, or lengthens one that says the same of the same place.
func (w *workState) addFinding(f Finding) {
	f.At = math.Round(float64(f.Frame)/w.fps*1000) / 1000
	f.Until = max(f.Until, f.At)
	for i := range w.report.Findings {
		g := &w.report.Findings[i]
		a, b := rect{f.X, f.Y, f.W, f.H}, rect{g.X, g.Y, g.W, g.H}
		again := f.At-g.Until < 1.5 && a.overlap(b) > 0.2 || f.Why == WhyExcepted
		if g.Why == f.Why && g.Kind == f.Kind && g.Track == f.Track && again {
			g.Until = max(g.Until, f.Until)
			g.Score = max(g.Score, f.Score)
			return
		}
	}
	if len(w.report.Findings) < maxFindings {
		w.report.Findings = append(w.report.Findings, f)
	}
}
