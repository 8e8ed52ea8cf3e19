package redact

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"sync"

	"cliplease/redact/detect"
)

// The looking child reads raw pictures, runs the detectors on some of them, and reports tracks, or,
// when it searches a release copy, just what it found. Pictures stay in this child.

// use is a detector and the frames that it looks at: every Every-th, starting with Phase.
type use struct {
	Detector string `json:"detector"`
	Every    int    `json:"every"`
	Phase    int    `json:"phase"`
}

// lookOrder is what the child is told.
type lookOrder struct {
	Models  string  `json:"models"`
	W       int     `json:"w"`
	H       int     `json:"h"`
	FPS     float64 `json:"fps"`
	Workers int     `json:"workers"`
	Uses    []use   `json:"uses"`
	Seeds   []seed  `json:"seeds"`  // what a person marked and wants followed
	Search  bool    `json:"search"` // report what is found in each frame instead of tracks
}

// seed is something to follow that a person marked, in pixels of the look.
type seed struct {
	I    int     `json:"i"`
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	W    float64 `json:"w"`
	H    float64 `json:"h"`
	Edit int     `json:"edit"` // number of the edit in the plan
}

// lookLine is one line of the child's report; one of its fields is set.
type lookLine struct {
	Progress int        `json:"progress,omitempty"` // frames done
	State    *lookState `json:"state,omitempty"`
	Track    *trail     `json:"track,omitempty"`
	Found    *lookFound `json:"found,omitempty"`
	End      *lookEnd   `json:"end,omitempty"`
}

// lookState describes a frame: how bright it is and how much detail it has.
type lookState struct {
	I      int     `json:"i"`
	Luma   float64 `json:"luma"`
	Detail float64 `json:"detail"`
	Colour float64 `json:"colour"` // mean distance from grey
	Cut    bool    `json:"cut,omitempty"`
}

type lookFound struct {
	I     int            `json:"i"`
	Found []detect.Found `json:"found"`
}

type lookEnd struct {
	Frames int            `json:"frames"`
	Looks  map[string]int `json:"looks"`
}

// shot is a frame on its way through the child.
type shot struct {
	index int
	yuv   []byte
	rgb   func() detect.Picture
	jobs  []*job
}

// job is one look of one detector.
type job struct {
	shot  *shot
	name  string
	part  image.Rectangle // of the picture, that is looked at
	found []detect.Found
	err   error
	done  chan struct{}
}

func lookChild(args []string, in io.Reader, out io.Writer) error {
	var o lookOrder
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &o) != nil {
		return errors.New("look takes one order")
	}
	if o.W < 16 || o.H < 16 || o.W > 4096 || o.H > 4096 || o.Workers < 1 {
		return fmt.Errorf("an order for pictures of %d by %d makes no sense", o.W, o.H)
	}
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	jobs := make(chan *job, 64)
	shots := make(chan *shot, 64)
	free := make(chan []byte, 24+8*o.Workers)
	for range cap(free) {
		free <- nil
	}
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range o.Workers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			work(o, jobs)
		}()
	}
	var readErr error
	go func() {
		defer close(shots)
		defer close(jobs)
		readErr = readShots(o, bufio.NewReaderSize(in, 1<<20), free, stop, shots, jobs)
	}()
	end, err := report(o, shots, free, enc, w)
	close(stop)
	for range shots { // let the reader go
	}
	workers.Wait()
	if err = errors.Join(err, readErr); err != nil {
		return err
	}
	if err := enc.Encode(lookLine{End: &end}); err != nil {
		return err
	}
	return w.Flush()
}

// cutOff is what the looking child says when the pictures end in the middle of one.
const cutOff = "is cut off"

// readShots reads frames until the end and hands those that are due to the detectors.
func readShots(o lookOrder, in io.Reader, free chan []byte, stop chan struct{}, shots chan<- *shot, jobs chan<- *job) error {
	size := o.W*o.H + 2*((o.W/2)*(o.H/2))
	gates := map[string]*motion{} // of detectors that may look at a part
	for _, u := range o.Uses {
		if spec, ok := detect.Lookup(u.Detector); ok && spec.Local && !o.Search {
			gates[u.Detector] = &motion{w: o.W, h: o.H}
		}
	}
	for i := 0; ; i++ {
		var buf []byte
		select {
		case buf = <-free:
		case <-stop:
			return nil
		}
		if buf == nil {
			buf = make([]byte, size)
		}
		if _, err := io.ReadFull(in, buf); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("frame %d %s: %w", i, cutOff, err)
		}
		s := &shot{index: i, yuv: buf}
		s.rgb = sync.OnceValue(func() detect.Picture { return toRGB(buf, o.W, o.H) })
		for _, u := range o.Uses {
			if i%u.Every == u.Phase%u.Every {
				j := &job{shot: s, name: u.Detector, part: image.Rect(0, 0, o.W, o.H), done: make(chan struct{})}
				if g := gates[u.Detector]; g != nil {
					j.part = g.part(buf[:o.W*o.H])
				}
				s.jobs = append(s.jobs, j)
			}
		}
		shots <- s
		for _, j := range s.jobs {
			jobs <- j
		}
	}
}

// work runs detectors, each loaded when it is first needed, until there are no more jobs.
func work(o lookOrder, jobs <-chan *job) {
	loaded := map[string]detect.Detector{}
	defer func() {
		for _, d := range loaded {
			d.Close()
		}
	}()
	for j := range jobs {
		d := loaded[j.name]
		if d == nil {
			spec, ok := detect.Lookup(j.name)
			if !ok {
				j.err = fmt.Errorf("detector %s is not known", j.name)
			} else if d, j.err = detect.Open(o.Models, spec, 1); j.err == nil {
				loaded[j.name] = d
			}
		}
		if j.err == nil && !j.part.Empty() {
			p := j.shot.rgb()
			if j.part.Dx() < p.W || j.part.Dy() < p.H {
				p = crop(p, j.part)
			}
			j.found, j.err = d.Detect(p)
			for i := range j.found {
				j.found[i].X += float32(j.part.Min.X)
				j.found[i].Y += float32(j.part.Min.Y)
			}
		}
		close(j.done)
	}
}

// report takes the frames in order, waits for what was found in them and writes the report.
func report(o lookOrder, shots <-chan *shot, free chan<- []byte, enc *json.Encoder, w *bufio.Writer) (lookEnd, error) {
	end := lookEnd{Looks: map[string]int{}}
	t := &tracker{w: float64(o.W), h: float64(o.H), fps: o.FPS, seeds: o.Seeds}
	t.emit = func(a *trail) error { return enc.Encode(lookLine{Track: a}) }
	before := map[string][]detect.Found{} // what each detector found last
	for s := range shots {
		var found []detect.Found
		kinds := map[detect.Kind]bool{}
		for _, j := range s.jobs {
			<-j.done
			if j.err != nil {
				return end, j.err
			}
			end.Looks[j.name]++
			if spec, ok := detect.Lookup(j.name); ok {
				kinds[spec.Finds] = true
			}
			if j.part.Dx() < o.W || j.part.Dy() < o.H {
				j.found = remember(before[j.name], j.found, j.part, o.W, o.H)
			}
			before[j.name] = j.found
			found = append(found, j.found...)
		}
		found = plausible(found, o.W, o.H)
		if o.Search {
			if err := enc.Encode(lookLine{Found: &lookFound{s.index, found}}); err != nil {
				return end, err
			}
		} else if len(o.Uses)+len(o.Seeds) > 0 { // else there is nothing to follow
			sc := newScene(s.index, s.yuv[:o.W*o.H], o.W, o.H)
			colour := func(r rect, k detect.Kind) []byte { return cells(s.yuv, o.W, o.H, r) }
			if err := t.step(sc, kinds, found, colour); err != nil {
				return end, err
			}
			if len(kinds) > 0 || sc.cut {
				if err := enc.Encode(lookLine{State: &lookState{s.index, sc.luma, sc.detail, colourful(s.yuv[o.W*o.H:]), sc.cut}}); err != nil {
					return end, err
				}
			}
		}
		end.Frames = s.index + 1
		free <- s.yuv
		if s.index%8 == 7 {
			if err := enc.Encode(lookLine{Progress: end.Frames}); err != nil {
				return end, err
			}
			if err := w.Flush(); err != nil {
				return end, err
			}
		}
	}
	return end, t.finish()
}

// colourful is the mean distance of a frame's colours from grey: about none in infrared.
func colourful(chroma []byte) float64 {
	sum, n := 0, 0
	for i := 0; i < len(chroma); i += 8 {
		sum += abs(int(chroma[i]) - 128)
		n++
	}
	return float64(sum) / float64(max(1, n))
}

// plausible drops what cannot be what it was taken for. Text is a plate's only in a plate's shape and
// size: high text is a shop's sign or a banner, text as high as wide is a shirt's or a poster's, and lines
// above one another are something to read. Small text may be anything.
func plausible(found []detect.Found, w, h int) []detect.Found {
	kept := make([]detect.Found, 0, len(found))
	for _, f := range found {
		if f.Kind == detect.Plate {
			high := f.H / float32(min(w, h))
			if !plateShaped(f.W/f.H, f.W/float32(w), high) || high > 0.05 && lines(found, f) > 1 {
				continue
			}
		}
		kept = append(kept, f)
	}
	return kept
}

// plateShaped judges text by width over height and by its share of the picture's sides.
func plateShaped(shape, wide, high float32) bool {
	switch {
	case shape < 1.2 || shape > 8 || wide > 0.5:
		return false
	case shape < 1.75:
		return high < 0.055
	case shape < 2:
		return high < 0.085
	case shape > 5.8:
		return high < 0.045
	}
	return high < 0.22
}

// lines counts the other lines of text of about the same size close above and below f. A plate has two
// lines at most.
func lines(found []detect.Found, f detect.Found) int {
	n := 0
	for _, g := range found {
		if g.Kind != detect.Plate || g == f || g.H < 0.5*f.H || g.H > 2*f.H {
			continue
		}
		side := min(f.X+f.W, g.X+g.W) - max(f.X, g.X)
		apart := max(f.Y, g.Y) - min(f.Y+f.H, g.Y+g.H)
		if side > 0.4*min(f.W, g.W) && apart > -0.3*f.H && apart < 2*f.H {
			n++
		}
	}
	return n
}

// cellsAcross is how many cells of colour a hidden region keeps in each direction. With four, what was left
// of small faces and plates still went along with the original in one of ten.
const cellsAcross = 2

// cells reads the mean colours of a region, coarsely: two by two cells, each brightness in steps of
// 24 and each colour in steps of 16.
func cells(yuv []byte, w, h int, r rect) []byte {
	out := make([]byte, 0, 3*cellsAcross*cellsAcross)
	cw, ch := w/2, h/2
	planes := [3][]byte{yuv[:w*h], yuv[w*h : w*h+cw*ch], yuv[w*h+cw*ch:]}
	for cy := range cellsAcross {
		for cx := range cellsAcross {
			for p, plane := range planes {
				pw, ph, f, step := w, h, 1.0, 24
				if p > 0 {
					pw, ph, f, step = cw, ch, 0.5, 16
				}
				x0 := clampInt((r.x+r.w*float64(cx)/cellsAcross)*f, pw-1)
				x1 := clampInt((r.x+r.w*float64(cx+1)/cellsAcross)*f, pw)
				y0 := clampInt((r.y+r.h*float64(cy)/cellsAcross)*f, ph-1)
				y1 := clampInt((r.y+r.h*float64(cy+1)/cellsAcross)*f, ph)
				sum, n := 0, 0
				for y := y0; y < max(y1, y0+1); y++ {
					for x := x0; x < max(x1, x0+1); x++ {
						sum += int(plane[y*pw+x])
						n++
					}
				}
				v := (sum/n + step/2) / step * step
				out = append(out, byte(min(v, 235)))
			}
		}
	}
	return out
}

func clampInt(v float64, limit int) int { return max(0, min(limit, int(math.Round(v)))) }

// brighten returns the brightness that the detectors get to see for each brightness of a frame: the
// same in a bright frame; stretched in a dark one, since the detectors learned from bright pictures.
func brighten(y []byte) [256]int {
	var count [256]int
	for i := 0; i < len(y); i += 16 {
		count[y[i]]++
	}
	total := (len(y) + 15) / 16
	at := func(share float64) int {
		n := int(share * float64(total))
		for v, c := range count {
			if n -= c; n < 0 {
				return v
			}
		}
		return 255
	}
	var lut [256]int
	low, mid, high := at(0.01), at(0.5), at(0.99)
	for v := range lut {
		lut[v] = v
	}
	if (mid > 70 && high > 170) || high-low < 24 {
		return lut
	}
	low = min(low, 40)
	gamma := 1.0
	if mid < 70 {
		gamma = 0.75
	}
	for v := range lut {
		u := max(0, min(1, float64(v-low)/float64(high-low)))
		lut[v] = 16 + int(219*math.Pow(u, gamma)+0.5)
	}
	return lut
}

// toRGB converts a raw frame of limited range to 8-bit RGB.
func toRGB(yuv []byte, w, h int) detect.Picture {
	out := make([]byte, w*h*3)
	lut := brighten(yuv[:w*h])
	cw := w / 2
	u, v := yuv[w*h:], yuv[w*h+cw*(h/2):]
	for y := range h {
		row := yuv[y*w : (y+1)*w]
		cu, cv := u[y/2*cw:], v[y/2*cw:]
		o := out[y*w*3 : (y+1)*w*3]
		for x := 0; x+1 < w; x += 2 {
			d, e := int(cu[x/2])-128, int(cv[x/2])-128
			r, g, b := 409*e+128, -100*d-208*e+128, 516*d+128
			for k := range 2 {
				c := 298 * (lut[row[x+k]] - 16)
				i := 3 * (x + k)
				o[i], o[i+1], o[i+2] = clamp8((c+r)>>8), clamp8((c+g)>>8), clamp8((c+b)>>8)
			}
		}
	}
	return detect.Picture{Pix: out, W: w, H: h}
}

func clamp8(v int) byte { return byte(max(0, min(255, v))) }
