package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"cliplease/redact"
)

// truth is what a clip really shows.
type truth struct {
	Width   int     `json:"width"`
	Height  int     `json:"height"`
	FPS     float64 `json:"fps"`
	Variant string  `json:"variant"`
	Frames  []struct {
		Boxes []trueBox `json:"boxes"`
	} `json:"frames"`
}

type trueBox struct {
	Kind   string  `json:"kind"`
	Track  string  `json:"track"`
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	W      float64 `json:"w"`
	H      float64 `json:"h"`
	Ignore bool    `json:"ignore"`
}

func readTruth(path string) (truth, error) {
	var t truth
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	return t, err
}

// tally counts boxes and those that were covered.
type tally struct{ covered, all int }

func (t tally) String() string {
	if t.all == 0 {
		return "      –"
	}
	return fmt.Sprintf("%6.2f%% (%d)", 100*float64(t.covered)/float64(t.all), t.all)
}

type summary struct {
	boxes, tracks map[string]*tally // by kind and size; by kind and least size
	warned        tally             // missed boxes that a finding points at
	hidden, rest  float64           // area
	took, cpu     time.Duration
	length, plain time.Duration
	stages        map[string]float64
}

func newSummary() *summary {
	return &summary{boxes: map[string]*tally{}, tracks: map[string]*tally{}, stages: map[string]float64{}}
}

func count(m map[string]*tally, key string, ok bool) {
	t := m[key]
	if t == nil {
		t = &tally{}
		m[key] = t
	}
	t.all++
	if ok {
		t.covered++
	}
}

// size names the class of a box by its height (face) or width (plate) in pixels.
func size(b trueBox) string {
	if b.Kind == "face" {
		switch {
		case b.H >= 32:
			return "face  ≥ 32 px"
		case b.H >= 16:
			return "face  16–32 px"
		}
		return "face  < 16 px"
	}
	switch {
	case b.W >= 80:
		return "plate ≥ 80 px wide"
	case b.W >= 40:
		return "plate 40–80 px wide"
	}
	return "plate < 40 px wide"
}

// grid is the cell, in pixels, in which areas are counted.
const grid = 4

// add scores one clip and returns a line about it.
func (s *summary) add(name string, t truth, r redact.Report, took, cpu, plain time.Duration) string {
	sx, sy := float64(r.Width)/float64(t.Width), float64(r.Height)/float64(t.Height)
	at := make([][]redact.Box, max(r.Frames, len(t.Frames)))
	for _, tr := range r.Tracks {
		for _, b := range tr.Frames {
			if b.I >= 0 && b.I < len(at) {
				at[b.I] = append(at[b.I], b)
			}
		}
	}
	gw, gh := t.Width/grid, t.Height/grid
	seen := map[string]*struct {
		all, covered int
		height       float64
		box          trueBox
	}{}
	var hidden, rest float64
	here := map[string]*tally{}
	for i, f := range t.Frames {
		hid := make([]bool, gw*gh)
		for _, b := range at[i] {
			mark(hid, gw, gh, b.X/sx, b.Y/sy, b.W/sx, b.H/sy)
		}
		zone := make([]bool, gw*gh)
		for _, b := range f.Boxes {
			mark(zone, gw, gh, b.X-0.6*b.W-8, b.Y-0.6*b.H-8, 2.2*b.W+16, 2.2*b.H+16)
			if b.Ignore {
				continue
			}
			ok := coverage(hid, gw, gh, b) >= 0.9
			count(s.boxes, size(b), ok)
			count(s.boxes, b.Kind+" in all", ok)
			count(here, b.Kind, ok)
			tr := seen[b.Track]
			if tr == nil {
				tr = &struct {
					all, covered int
					height       float64
					box          trueBox
				}{box: b}
				seen[b.Track] = tr
			}
			tr.all++
			tr.height += b.H
			if ok {
				tr.covered++
			} else {
				s.warned.all++
				if warned(r, i, b, sx, sy) {
					s.warned.covered++
				}
			}
		}
		for k := range zone {
			if !zone[k] {
				rest++
				if hid[k] {
					hidden++
				}
			}
		}
	}
	for _, tr := range seen {
		b := tr.box
		b.H = tr.height / float64(tr.all)
		count(s.tracks, size(b), tr.covered == tr.all)
	}
	s.hidden, s.rest = s.hidden+hidden, s.rest+rest
	s.took, s.cpu, s.plain = s.took+took, s.cpu+cpu, s.plain+plain
	length := time.Duration(float64(r.Frames) / r.FPS * float64(time.Second))
	s.length += length
	for k, v := range r.Seconds {
		s.stages[k] += v
	}
	line := fmt.Sprintf("%-40.40s %-14s", name, t.Variant)
	for _, k := range []string{"face", "plate"} {
		if v := here[k]; v != nil {
			line += fmt.Sprintf(" %s %d/%d", k, v.covered, v.all)
		}
	}
	return line + fmt.Sprintf("  over %.1f%%  findings %d  passed %v  %.2f× its length", 100*hidden/max(1, rest), len(r.Findings), r.Passed(), took.Seconds()/length.Seconds())
}

// mark sets the cells of a rectangle.
func mark(cells []bool, gw, gh int, x, y, w, h float64) {
	for cy := max(0, int(y/grid)); cy < min(gh, int((y+h)/grid)+1); cy++ {
		for cx := max(0, int(x/grid)); cx < min(gw, int((x+w)/grid)+1); cx++ {
			mx, my := (float64(cx)+0.5)*grid, (float64(cy)+0.5)*grid
			if mx >= x && mx <= x+w && my >= y && my <= y+h {
				cells[cy*gw+cx] = true
			}
		}
	}
}

// coverage is the share of a box's cells that are hidden.
func coverage(hid []bool, gw, gh int, b trueBox) float64 {
	box := make([]bool, len(hid))
	mark(box, gw, gh, b.X, b.Y, b.W, b.H)
	all, n := 0, 0
	for i, in := range box {
		if in {
			all++
			if hid[i] {
				n++
			}
		}
	}
	if all == 0 {
		return 1
	}
	return float64(n) / float64(all)
}

// warned says whether a finding points a person at a missed box: at its time, and at its place unless
// the finding is about the whole picture.
func warned(r redact.Report, frame int, b trueBox, sx, sy float64) bool {
	at := float64(frame) / r.FPS
	for _, f := range r.Findings {
		if f.Why == redact.WhyGate || at < f.At-1 || at > f.Until+1 {
			continue
		}
		cx, cy := (b.X+b.W/2)*sx, (b.Y+b.H/2)*sy
		if f.W == 0 || (cx > f.X-f.W && cx < f.X+2*f.W && cy > f.Y-f.H && cy < f.Y+2*f.H) {
			return true
		}
	}
	return false
}

func (s *summary) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-24s %-20s %s\n", "", "boxes covered", "tracks covered in every frame")
	var keys []string
	for k := range s.boxes {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		tracks := ""
		if t := s.tracks[k]; t != nil {
			tracks = t.String()
		}
		fmt.Fprintf(w, "%-24s %-20s %s\n", k, s.boxes[k], tracks)
	}
	fmt.Fprintf(w, "misses that a finding points at: %s\n", s.warned)
	fmt.Fprintf(w, "hidden of the rest of the picture: %.2f%%\n", 100*s.hidden/max(1, s.rest))
	fmt.Fprintf(w, "time: %.2f × the clips' length, processor %.2f ×", s.took.Seconds()/s.length.Seconds(), s.cpu.Seconds()/s.length.Seconds())
	if s.plain > 0 {
		fmt.Fprintf(w, ", %.1f × a plain transcode (%.2f ×)", s.took.Seconds()/s.plain.Seconds(), s.plain.Seconds()/s.length.Seconds())
	}
	fmt.Fprintln(w)
	keys = keys[:0]
	for k := range s.stages {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return s.stages[keys[i]] > s.stages[keys[j]] })
	for _, k := range keys {
		fmt.Fprintf(w, "  %-10s %5.1f %%\n", k, 100*s.stages[k]/s.took.Seconds())
	}
}
