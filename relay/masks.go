package relay

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a camera's masks.
const (
	MaxMasks    = 24
	MaxMaskName = 60    // characters
	minMask     = 0.005 // of the picture's width and height
)

// Mask is an area of a camera's picture that is hidden in every release, before anything else.
// Lengths are shares, 0 to 1, of the whole picture as it is shown: upright, with rotation applied and
// square pixels. So a mask lies over the same part of the view whatever the resolution of a clip.
type Mask struct {
	Name string  `json:"name,omitempty"` // what the home calls it; never leaves the home
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	W    float64 `json:"w"`
	H    float64 `json:"h"`
}

// hides reports whether m covers the rectangle between two corners.
func (m Mask) hides(x1, y1, x2, y2 float64) bool {
	return m.X <= x1 && m.Y <= y1 && m.X+m.W >= x2 && m.Y+m.H >= y2
}

// MaskSet is the masks of a camera from one change to the next.
type MaskSet struct {
	CameraID string
	Version  int
	Masks    []Mask
	By       string // member
	Since    time.Time
}

// CheckMasks says what is wrong with what a member drew, or nil.
func CheckMasks(masks []Mask) error {
	if len(masks) > MaxMasks {
		return Invalid("masks", "You drew %d masks; a camera takes at most %d. Draw larger ones instead.", len(masks), MaxMasks)
	}
	for i, m := range masks {
		switch {
		case strings.TrimSpace(m.Name) == "":
			return Invalid("masks", "Give mask %d a name, such as: the neighbours' window.", i+1)
		case m.Name != strings.TrimSpace(m.Name), !utf8.ValidString(m.Name), utf8.RuneCountInString(m.Name) > MaxMaskName:
			return Invalid("masks", "The name of mask %d is too long, or begins or ends with a space: use at most %d characters.", i+1, MaxMaskName)
		case !inPicture(m.X, m.Y, m.X+m.W, m.Y+m.H), !(m.W >= minMask && m.H >= minMask):
			return Invalid("masks", "Mask %d (%s) is too small, or lies outside the picture: remove it and draw it anew.", i+1, m.Name)
		}
	}
	return nil
}

// SetMasks gives c other masks. version is [Camera.MaskVersion] as it was when they were drawn: of
// two members who draw at once the second is told, and nothing of the first is lost unseen.
func (c *Camera) SetMasks(masks []Mask, version int, actor string, now time.Time) (Event, error) {
	if version != c.MaskVersion {
		return Event{}, Invalid("masks", "The masks were changed since you opened this page. Load it again, look at what is there now, and draw yours anew.")
	}
	if err := CheckMasks(masks); err != nil {
		return Event{}, err
	}
	if slices.Equal(masks, c.Masks) {
		return Event{}, Invalid("masks", "These are the masks that the camera has already.")
	}
	hash, err := HashMasks(masks)
	if err != nil {
		return Event{}, err
	}
	c.Masks, c.MaskVersion = slices.Clone(masks), c.MaskVersion+1
	return Event{Kind: CameraMasked, Subject: c.ID, Actor: actor, At: now, Data: Data{
		"version": c.MaskVersion, "masks": len(masks), "sha256": hash, "hidden_permille": int(1000*HiddenShare(masks) + 0.5),
	}}, nil
}

// HashMasks is the SHA-256 of where masks lie, as canonical JSON. Their names are left out: they are
// the home's own words, and change nothing in a copy.
func HashMasks(masks []Mask) (string, error) {
	places := make([]Mask, len(masks))
	for i, m := range masks {
		m.Name = ""
		places[i] = m
	}
	hash, err := CanonicalHash(places)
	if err != nil {
		return "", fmt.Errorf("masks: %w", err)
	}
	return hash, nil
}

// HiddenShare is how much of the picture masks hide, 0 to 1; where they overlap it counts once.
func HiddenShare(masks []Mask) (share float64) {
	tiles(masks, func(x1, y1, x2, y2 float64) bool {
		if hidden(masks, x1, y1, x2, y2) {
			share += (x2 - x1) * (y2 - y1)
		}
		return true
	})
	return min(share, 1)
}

// HideMore reports whether masks a hide any part of the picture that masks b leave visible.
func HideMore(a, b []Mask) (more bool) {
	tiles(append(slices.Clone(a), b...), func(x1, y1, x2, y2 float64) bool {
		more = hidden(a, x1, y1, x2, y2) && !hidden(b, x1, y1, x2, y2)
		return !more
	})
	return more
}

func hidden(masks []Mask, x1, y1, x2, y2 float64) bool {
	return slices.ContainsFunc(masks, func(m Mask) bool { return m.hides(x1, y1, x2, y2) })
}

// tiles cuts the picture along every edge of masks and yields the pieces, until yield says enough:
// each lies wholly inside or wholly outside of each mask.
func tiles(masks []Mask, yield func(x1, y1, x2, y2 float64) bool) {
	var xs, ys []float64
	for _, m := range masks {
		xs, ys = append(xs, m.X, m.X+m.W), append(ys, m.Y, m.Y+m.H)
	}
	slices.Sort(xs)
	slices.Sort(ys)
	for i := 1; i < len(xs); i++ {
		for k := 1; k < len(ys); k++ {
			if xs[i] > xs[i-1] && ys[k] > ys[k-1] && !yield(xs[i-1], ys[k-1], xs[i], ys[k]) {
				return
			}
		}
	}
}
