package redact

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"cliplease/redact/detect"
)

// A person who looks at a release copy draws a box and wants another copy. What the detectors found
// stays the same then, and finding it takes most of a job's time. So a job can write down what was
// found, and a later one reads it, decodes the footage again and, when the pictures are the same to
// the bit, only follows what was drawn. The copies get the same bytes as without it, and every check
// of them, the second look too, runs over all of them as ever.

// found is what the detectors found in the window of some footage.
type found struct {
	Of        string         `json:"of"`        // digest of all that decides what is found
	Mezzanine string         `json:"mezzanine"` // digest of the pictures
	Frames    int            `json:"frames"`
	Looks     map[string]int `json:"looks"`
	States    []lookState    `json:"states"`
	Trails    []*trail       `json:"trails"` // not those that a person marked
}

// maxFound bounds what is read of an earlier job's find: bytes after decompression.
const maxFound = 512 << 20

// search finds what there is to hide, or takes over what an earlier job found.
func (w *workState) search(ctx context.Context) error {
	of := w.findsOf()
	if old, err := readFound(w.job.Earlier, of); err == nil && old != nil {
		if err := w.look(ctx, nil); err != nil {
			return err
		}
		if old.Mezzanine == w.report.Mezzanine && old.Frames == w.frames {
			w.trails = append(old.Trails, w.trails...)
			w.states, w.looks, w.report.Reused = old.States, old.Looks, true
			w.arrange()
			return nil
		}
		w.trails, w.states = nil, nil
	}
	if err := w.look(ctx, w.uses()); err != nil {
		return err
	}
	w.arrange()
	if w.job.Found == "" {
		return nil
	}
	f := found{Of: of, Mezzanine: w.report.Mezzanine, Frames: w.frames, Looks: w.looks, States: w.states}
	for _, t := range w.trails {
		if t.Kind != marked {
			f.Trails = append(f.Trails, t)
		}
	}
	if err := f.write(w.job.Found); err != nil {
		return fmt.Errorf("write down what was found: %w", err)
	}
	return nil
}

// arrange brings the trails into an order that depends on nothing but the trails: what a person
// marked lies over what was found, however the search came by it.
func (w *workState) arrange() {
	rank := func(t *trail) int {
		if t.Kind == marked {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(w.trails, func(a, b *trail) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Frames[0].I, b.Frames[0].I), cmp.Compare(a.Kind, b.Kind))
	})
	w.noteDetectors(w.looks)
}

// findsOf is the digest of all that decides what the detectors find: the footage, how it is
// normalised, the detectors with their models, and this engine.
func (w *workState) findsOf() string {
	p := w.job.Plan
	runtime, _ := detect.Sum(detect.RuntimeFile)
	models := map[string]string{}
	for _, u := range w.uses() {
		if s, ok := detect.Lookup(u.Detector); ok {
			sum, _ := detect.Sum(s.Model)
			models[u.Detector] = fmt.Sprintf("%s %+v", sum, s)
		}
	}
	b, err := json.Marshal([]any{Version, w.e.version, w.report.Input, p.From, p.To, p.Targets, p.Masks, p.MaxHeight, p.MaxFPS, w.uses(), runtime, models, w.n.lw, w.n.lh, w.n.rate})
	if err != nil {
		panic("it holds only numbers and text: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (f found) write(path string) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	z := gzip.NewWriter(file)
	if err := json.NewEncoder(z).Encode(f); err != nil {
		return err
	}
	return z.Close()
}

// readFound reads what an earlier job found. It is nil when there is none, or when it is of something
// else. An error means that the file is damaged: its search is made again.
func readFound(path, of string) (*found, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var f found
	dec := json.NewDecoder(io.LimitReader(z, maxFound))
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) { // only its end tells whether all of it is sound
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	if f.Of != of {
		return nil, nil
	}
	for _, t := range f.Trails {
		if t == nil || t.Kind == marked {
			return nil, errors.New("it holds an impossible track")
		}
		if err := t.check(); err != nil {
			return nil, err
		}
		if t.last().I >= f.Frames {
			return nil, errors.New("a track goes on after the end")
		}
	}
	return &f, nil
}
