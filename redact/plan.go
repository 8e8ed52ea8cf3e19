package redact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Style says how a region is hidden. Either way nothing of the covered pixels can be recovered.
type Style string

const (
	// StyleBlur fills a region with a soft, coarse colour pattern: two by two quantised cells, the same
	// for the whole life of a track.
	StyleBlur Style = "blur"
	// StyleSolid fills a region with one colour that does not depend on the covered pixels at all.
	StyleSolid Style = "solid"
)

// Target is a kind of thing to find and hide.
type Target string

// The targets.
const (
	Faces  Target = "faces"
	Plates Target = "plates"
)

// Point is a place in the picture; 0,0 is the top left and 1,1 the bottom right corner.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Mask is a fixed area of a camera's picture (a neighbour's window, say) that is filled with solid
// colour in every frame before anything else happens, in the release copies and in the proxy.
type Mask struct {
	Name   string  `json:"name,omitempty"`
	Points []Point `json:"points"` // polygon of three or more corners
}

// EditKind says what an [Edit] does.
type EditKind string

const (
	// EditBox hides a box that goes from keyframe to keyframe; before the first and after the last one
	// it stays where it was, within From and To. With Follow it goes where what it showed at each
	// keyframe goes, forward until that is lost and up to three seconds backward.
	EditBox EditKind = "box"
	// EditArea hides a polygon from From to To.
	EditArea EditKind = "area"
	// EditOutside hides everything except a polygon from From to To.
	EditOutside EditKind = "outside"
	// EditException leaves one track that the detectors found visible, from its first key to its last.
	// Of is its kind, and Keys are where an earlier report has it. It needs a Reason.
	EditException EditKind = "exception"
)

// Key is a box at one moment. Coordinates are shares of the picture, 0 to 1.
type Key struct {
	At time.Duration `json:"at_ns"` // from the start of the window
	X  float64       `json:"x"`
	Y  float64       `json:"y"`
	W  float64       `json:"w"`
	H  float64       `json:"h"`
}

// Edit is one change that a person makes to what the detectors found. Edits only ever add to what is
// hidden, except for [EditException].
type Edit struct {
	Kind   EditKind      `json:"kind"`
	From   time.Duration `json:"from_ns,omitempty"` // from the start of the window
	To     time.Duration `json:"to_ns,omitempty"`   // zero means the end of the window
	Keys   []Key         `json:"keys,omitempty"`    // box, exception
	Follow bool          `json:"follow,omitempty"`  // box
	Points []Point       `json:"points,omitempty"`  // area, outside
	Of     string        `json:"of,omitempty"`      // exception: "face" or "plate"
	Reason string        `json:"reason,omitempty"`  // exception
}

// Plan is everything that decides what a release copy looks like, apart from its notice. The same
// plan, footage and notice give the same bytes. The zero value hides faces and plates in all of the
// footage with [StyleBlur].
type Plan struct {
	From      time.Duration `json:"from_ns"`              // start of the window inside the footage
	To        time.Duration `json:"to_ns"`                // end of the window; zero means the end of the footage
	Style     Style         `json:"style"`                // default blur
	Targets   []Target      `json:"targets"`              // default faces and plates
	Masks     []Mask        `json:"masks,omitempty"`      // fixed masks of the camera
	Edits     []Edit        `json:"edits,omitempty"`      // what a person changed
	Audio     bool          `json:"audio"`                // keep the sound; default silent
	MaxHeight int           `json:"max_height,omitempty"` // of the shorter side, in pixels; default 1080
	MaxFPS    float64       `json:"max_fps,omitempty"`    // default 30
}

const (
	defaultMaxHeight = 1080
	defaultMaxFPS    = 30
)

// withDefaults fills in what the plan leaves open.
func (p Plan) withDefaults() Plan {
	if p.Style == "" {
		p.Style = StyleBlur
	}
	if len(p.Targets) == 0 {
		p.Targets = []Target{Faces, Plates}
	}
	p.Targets = slices.Clone(p.Targets)
	slices.Sort(p.Targets)
	p.Targets = slices.Compact(p.Targets)
	if p.MaxHeight == 0 {
		p.MaxHeight = defaultMaxHeight
	}
	if p.MaxFPS == 0 {
		p.MaxFPS = defaultMaxFPS
	}
	return p
}

// Canonical returns the plan with its defaults filled in as JSON that is the same for equal plans.
func (p Plan) Canonical() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p.withDefaults()); err != nil {
		panic("a plan holds only numbers and text: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// Digest is the SHA-256 of the canonical form, in hexadecimal.
func (p Plan) Digest() string {
	sum := sha256.Sum256(p.Canonical())
	return hex.EncodeToString(sum[:])
}

// Validate says what is wrong with the plan, in words for the person who made it.
func (p Plan) Validate() error {
	p = p.withDefaults()
	if p.Style != StyleBlur && p.Style != StyleSolid {
		return fmt.Errorf("style %q is not known: use blur or solid", p.Style)
	}
	for _, t := range p.Targets {
		if t != Faces && t != Plates {
			return fmt.Errorf("target %q is not known: use faces, plates or both", t)
		}
	}
	if p.From < 0 || p.To < 0 || (p.To != 0 && p.To <= p.From) {
		return errors.New("the window must start at or after the beginning of the footage and end after it starts")
	}
	if p.MaxHeight < 144 || p.MaxHeight > 2160 {
		return fmt.Errorf("a height limit of %d pixels is out of range: use 144 to 2160", p.MaxHeight)
	}
	if p.MaxFPS < 1 || p.MaxFPS > 60 || math.IsNaN(p.MaxFPS) {
		return fmt.Errorf("a limit of %g frames a second is out of range: use 1 to 60", p.MaxFPS)
	}
	for i, m := range p.Masks {
		if err := validPolygon(m.Points); err != nil {
			return fmt.Errorf("mask %d: %w", i+1, err)
		}
	}
	for i, e := range p.Edits {
		if err := e.validate(); err != nil {
			return fmt.Errorf("edit %d: %w", i+1, err)
		}
	}
	return nil
}

func (e Edit) validate() error {
	if e.From < 0 || e.To < 0 || (e.To != 0 && e.To <= e.From) {
		return errors.New("it must end after it starts")
	}
	switch e.Kind {
	case EditBox, EditException:
		if e.Kind == EditException {
			if err := validException(e); err != nil {
				return err
			}
		}
		if len(e.Keys) == 0 {
			return fmt.Errorf("%s: it needs at least one keyframe", e.Kind)
		}
		for i, k := range e.Keys {
			if !finite(k.X, k.Y, k.W, k.H) || k.W <= 0 || k.H <= 0 || k.X < -1 || k.Y < -1 || k.X > 1 || k.Y > 1 || k.W > 2 || k.H > 2 {
				return fmt.Errorf("keyframe %d lies outside the picture", i+1)
			}
			if i > 0 && k.At <= e.Keys[i-1].At {
				return fmt.Errorf("keyframe %d is not later than the one before it", i+1)
			}
		}
	case EditArea, EditOutside:
		return validPolygon(e.Points)
	default:
		return fmt.Errorf("kind %q is not known: use box, area, outside or exception", e.Kind)
	}
	return nil
}

func validPolygon(ps []Point) error {
	if len(ps) < 3 || len(ps) > 256 {
		return fmt.Errorf("an area needs 3 to 256 corners, not %d", len(ps))
	}
	for _, p := range ps {
		if !finite(p.X, p.Y) || p.X < 0 || p.X > 1 || p.Y < 0 || p.Y > 1 {
			return errors.New("a corner lies outside the picture (coordinates go from 0 to 1)")
		}
	}
	return nil
}

func finite(vs ...float64) bool {
	for _, v := range vs {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// has says whether the plan hides targets of kind t.
func (p Plan) has(t Target) bool { return slices.Contains(p.Targets, t) }
