package redact

import (
	"slices"
	"testing"

	"cliplease/redact/detect"
)

// TestDoubt: what the search was unsure of becomes a finding that says why.
func TestDoubt(t *testing.T) {
	trailOf := func(sources ...string) *trail {
		a := &trail{Kind: detect.Face, Best: 0.45}
		for i, s := range sources {
			f := seen{I: i, X: 10, Y: 10, W: 40, H: 50, Src: s}
			if s != "tracked" {
				f.Score = 0.45
				a.Hits++
			}
			a.Frames = append(a.Frames, f)
		}
		return a
	}
	lost := trailOf("posenet", "posenet", "retinaface-near")
	lost.Lost = true
	for name, c := range map[string]struct {
		trail *trail
		want  []string
	}{
		"a body without a head":         {trailOf(detect.PoseNetBody, "tracked", detect.PoseNetBody, detect.PoseNetBody), []string{WhyBody}},
		"a body of which the head came": {trailOf(detect.PoseNetBody, "posenet", "retinaface-far"), nil},
		"a body seen twice":             {trailOf(detect.PoseNetBody, detect.PoseNetBody), []string{WhyWeak}}, // too little to hide something on its word
		"once and weakly":               {trailOf("retinaface-far"), []string{WhyWeak}},
		"lost":                          {lost, []string{WhyLost}},
	} {
		w := &workState{fps: 15}
		w.doubt(c.trail, 1, 1)
		var got []string
		for _, f := range w.report.Findings {
			got = append(got, f.Why)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: findings %v, not %v", name, got, c.want)
		}
	}
}
