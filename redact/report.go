package redact

import (
	"encoding/json"
	"time"
)

// Box is a rectangle in pixels of the release copy in one frame of a track.
type Box struct {
	I      int     `json:"i"` // frame number, from 0
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	W      float64 `json:"w"`
	H      float64 `json:"h"`
	Score  float64 `json:"score"`  // confidence of the detector, 0 to 1; 0 where no detector saw it
	Source string  `json:"source"` // detector's name, or "tracked", "filled", "extended", "edit"
}

// Track is one thing that is hidden, over time.
type Track struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"` // "face", "plate" or "edit"
	Frames    []Box  `json:"frames"`
	Exception string `json:"exception,omitempty"` // why it was left visible, where the plan says so
}

// Exception is a track that was left visible because the plan says so.
type Exception struct {
	Edit   int     `json:"edit"`  // number of the edit in the plan, from 0
	Track  string  `json:"track"` // id
	Kind   string  `json:"kind"`  // "face" or "plate"
	From   float64 `json:"from"`  // seconds from the start of the release copy
	To     float64 `json:"to"`    // seconds
	Reason string  `json:"reason"`
}

// Why a moment needs a person's look.
const (
	WhyWeak      = "weak"      // seen, but with little certainty
	WhyLost      = "lost"      // a track ends in the middle of the picture
	WhyVisible   = "visible"   // a second look at the release copy still found something
	WhyDark      = "dark"      // too dark, or infrared, to be sure that nothing was missed
	WhyBlurred   = "blurred"   // too blurred to be sure that nothing was missed
	WhyCrowd     = "crowd"     // so many small faces that more may have been missed
	WhyBody      = "body"      // a person whose face was not found
	WhyGate      = "gate"      // a check of the release copy failed
	WhyUncovered = "uncovered" // the plan leaves a track visible
	WhyExcepted  = "excepted"  // a second look found something in the place of a track that was left visible
	WhyUnmatched = "unmatched" // an exception means no track, or more than one, so all stays hidden
)

// Finding is a moment that the engine is unsure of. A person looks before the copy may leave.
type Finding struct {
	At     float64 `json:"at"`    // seconds from the start of the release copy
	Until  float64 `json:"until"` // seconds; the last moment that the finding is about
	Frame  int     `json:"frame"`
	Kind   string  `json:"kind"` // "face", "plate" or "picture"
	Why    string  `json:"why"`
	X      float64 `json:"x"` // where, in pixels of the release copy; all zero for the whole picture
	Y      float64 `json:"y"`
	W      float64 `json:"w"`
	H      float64 `json:"h"`
	Score  float64 `json:"score,omitempty"`
	Track  string  `json:"track,omitempty"`
	Detail string  `json:"detail"` // one sentence for a person
}

// Gate is one check that a release copy must pass before anybody may get it.
type Gate struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// DetectorUse names a detector and the model it ran.
type DetectorUse struct {
	Name   string `json:"name"`
	Model  string `json:"model"`
	SHA256 string `json:"sha256"`
	Finds  string `json:"finds"`
	Looks  int    `json:"looks"` // how many pictures it looked at
}

// Copy is one release copy that was made.
type Copy struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
	Notice string `json:"notice,omitempty"`
}

// Report is the record of one redaction: what came in, what was hidden where and why, what went out,
// and whether a person has to look.
type Report struct {
	Version    string             `json:"version"` // of this engine
	Input      FileInfo           `json:"input"`
	Output     FileInfo           `json:"output"` // the first copy
	Copies     []Copy             `json:"copies"`
	Proxy      *FileInfo          `json:"proxy,omitempty"`
	Source     Footage            `json:"source"`
	Mezzanine  string             `json:"mezzanine_sha256"` // of the normalised footage
	Reused     bool               `json:"reused,omitempty"` // the detectors looked at these very pictures in an earlier job
	Plan       json.RawMessage    `json:"plan"`
	Frames     int                `json:"frames"`
	FPS        float64            `json:"fps"`
	Width      int                `json:"width"`
	Height     int                `json:"height"`
	Seconds    map[string]float64 `json:"seconds"` // wall time by stage
	Detectors  []DetectorUse      `json:"detectors"`
	Tracks     []Track            `json:"tracks"`
	Exceptions []Exception        `json:"exceptions,omitempty"`
	Findings   []Finding          `json:"findings"`
	Gates      []Gate             `json:"gates"`
	Tools      map[string]string  `json:"tools"` // ffmpeg, sandbox, runtime
}

// FileInfo names a file by its digest.
type FileInfo struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// Passed says whether all gates passed. A copy that did not pass must not be released at all.
func (r Report) Passed() bool {
	for _, g := range r.Gates {
		if !g.OK {
			return false
		}
	}
	return len(r.Gates) > 0
}

// NeedsLook says whether a person has to look before the copy may leave: a gate failed or the
// engine was unsure of something.
func (r Report) NeedsLook() bool { return !r.Passed() || len(r.Findings) > 0 }

// Footage says what a file holds.
type Footage struct {
	Format       string        `json:"format"` // mp4, matroska, avi
	Codec        string        `json:"codec"`
	Width        int           `json:"width"`  // pixels as displayed, after rotation
	Height       int           `json:"height"` // pixels as displayed, after rotation
	FPS          float64       `json:"fps"`    // of the normalised footage
	VariableRate bool          `json:"variable_rate"`
	Rotation     int           `json:"rotation"` // degrees clockwise: 0, 90, 180 or 270
	Duration     time.Duration `json:"duration_ns"`
	Frames       int           `json:"frames"` // as the container states; 0 when it does not
	Audio        bool          `json:"audio"`
	Created      time.Time     `json:"created,omitzero"` // the container's creation time
}
