package relay

import (
	"encoding/json"
	"fmt"
	"time"
)

// Limits of what a person draws on one release.
const (
	MaxEdits    = 40 // regions
	MaxEditKeys = 40 // moments of one region
	maxCorners  = 64
)

// EditKind is what one region that a person drew does. Every kind but [EditException] hides more, none
// hides less.
type EditKind string

// The kinds of edits.
const (
	EditBox     EditKind = "box"     // hides a box that moves from key to key, or follows what it shows
	EditArea    EditKind = "area"    // hides a polygon in every picture
	EditOutside EditKind = "outside" // hides everything but a polygon in every picture

	// EditException leaves one thing visible that the detectors found. It needs a reason, and makes
	// the grant one that two members have to sign.
	EditException EditKind = "exception"
)

// Edit is one region that a person drew. Its JSON form is the redactor's.
type Edit struct {
	Kind   EditKind    `json:"kind"`
	Keys   []EditKey   `json:"keys,omitempty"`   // of a box; of an exception, where its track was
	Follow bool        `json:"follow,omitempty"` // of a box
	Points []EditPoint `json:"points,omitempty"` // of an area

	// Of an exception:
	Of     string `json:"of,omitempty"`     // "face" or "plate"
	Track  string `json:"track,omitempty"`  // id in the copies under review; only from a page to [Release.Except]
	Reason string `json:"reason,omitempty"` // [ReasonLeast] to [ReasonMost] characters
	By     string `json:"by,omitempty"`     // member
}

// EditKey is a box at one moment. Lengths are shares of the picture, 0 to 1.
type EditKey struct {
	At time.Duration `json:"at_ns"` // from the start of the window
	X  float64       `json:"x"`
	Y  float64       `json:"y"`
	W  float64       `json:"w"`
	H  float64       `json:"h"`
}

// EditPoint is a corner, in shares of the picture.
type EditPoint struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// ParseEdits reads what a person drew on a release of the given length. What it returns can be
// hidden exactly as drawn; everything else is an error that says which region is wrong.
func ParseEdits(raw json.RawMessage, length time.Duration) ([]Edit, error) {
	edits, err := decodeEdits(raw)
	if err != nil {
		return nil, err
	}
	if len(edits) > MaxEdits {
		return nil, Invalid("edits", "You drew %d regions; a release takes at most %d. Hide a larger area instead.", len(edits), MaxEdits)
	}
	for i, e := range edits {
		if wrong := e.check(length); wrong != "" {
			return nil, Invalid("edits", "Region %d %s.", i+1, wrong)
		}
	}
	return edits, nil
}

// check says what is wrong with e, to follow its number, or nothing.
func (e Edit) check(length time.Duration) string {
	if e.Kind != EditException && e.Of+e.Track+e.Reason+e.By != "" {
		return "has a reason, and hides something: remove it and draw it anew"
	}
	switch e.Kind {
	case EditBox:
		if len(e.Points) > 0 || len(e.Keys) == 0 || len(e.Keys) > MaxEditKeys {
			return fmt.Sprintf("needs 1 to %d moments: remove it and draw it anew", MaxEditKeys)
		}
		return e.checkKeys(length)
	case EditException:
		return e.checkException(length)
	case EditArea, EditOutside:
		if len(e.Keys) > 0 || e.Follow || len(e.Points) < 3 || len(e.Points) > maxCorners {
			return fmt.Sprintf("needs 3 to %d corners: remove it and draw it anew", maxCorners)
		}
		for _, p := range e.Points {
			if !inPicture(p.X, p.Y) {
				return "lies outside the picture: remove it and draw it anew"
			}
		}
	default:
		return "is of a kind that a release does not take: remove it and draw it anew"
	}
	return ""
}

// checkKeys says what is wrong with the moments of e.
func (e Edit) checkKeys(length time.Duration) string {
	for i, k := range e.Keys {
		switch {
		case k.At < 0 || k.At >= length:
			return "was drawn at a moment outside the window: remove it, or choose a window that holds that moment"
		case i > 0 && k.At <= e.Keys[i-1].At:
			return "has its moments in the wrong order: remove it and draw it anew"
		case !inPicture(k.X, k.Y, k.X+k.W, k.Y+k.H) || k.W < 0.002 || k.H < 0.002:
			return "is too small, or lies outside the picture: remove it and draw it anew"
		}
	}
	return ""
}

// inPicture allows for rounding at the edges.
func inPicture(shares ...float64) bool {
	for _, v := range shares {
		if !(v >= -1e-6 && v <= 1+1e-6) {
			return false
		}
	}
	return true
}

// Redraw sets what a person drew on the window that began at since, moved to d's own window.
func (d *Draft) Redraw(raw json.RawMessage, since time.Time) error {
	edits, err := ParseEdits(raw, 1<<62) // the moments are checked once they are moved
	if err != nil || len(edits) == 0 {
		d.Edits = nil
		return err
	}
	for i := range edits {
		for k := range edits[i].Keys {
			edits[i].Keys[k].At += since.Sub(d.From)
		}
	}
	if d.Edits, err = json.Marshal(edits); err != nil {
		return err
	}
	_, err = ParseEdits(d.Edits, d.To.Sub(d.From))
	return err
}
