// Package redact turns footage into release copies: every face and plate hidden beyond recovery, no
// sound unless asked for, no metadata, exactly the window that was granted.
//
// One job goes through five steps. Normalise decodes the untrusted footage in a sandbox to a lossless
// constant-rate file and hands every frame to the detectors as it goes. Track turns what they saw in
// single frames into tracks, forward and backward in time, so that what was found once is hidden in
// every frame in which it can be seen. Render hides the tracks in one pass of ffmpeg per copy. A
// second, independent look searches the copy for anything that is still visible. The gates then
// measure the copy: frames, streams, metadata, and whether every region is really hidden.
//
// The engine runs ffmpeg and the detectors as children without network, secrets or other files; see
// sandbox.go. It holds neither frames nor models in its own memory.
package redact

import (
	"errors"
	"time"
)

// Version names the engine's behaviour: it changes when the same plan and footage would give other bytes.
const Version = "2"

// ErrRefused marks footage that the engine does not accept. The error's text says why, and what would
// work, in words for a homeowner.
var ErrRefused = errors.New("this footage cannot be used")

// ErrNotReady marks a machine that cannot redact safely: ffmpeg, a model or the sandbox is missing or
// is not what it should be. The error's text says what to do.
var ErrNotReady = errors.New("redaction is not ready")

// Config says where the engine finds its tools and how much it may use. The zero value finds
// everything in its usual place.
type Config struct {
	FFmpeg    string // path of ffmpeg; default: found in PATH
	FFprobe   string // path of ffprobe; default: found in PATH
	Bwrap     string // path of bubblewrap; default: found in PATH; "none" uses the Landlock sandbox instead
	Models    string // folder of the models and the ONNX Runtime library; default: see [ModelsDir]
	Threads   int    // processor cores to use; default: all, at most 8
	Unsafe    bool   // run children without a sandbox. Only for a machine that offers none and holds nothing else
	MaxSize   int64  // bytes of footage; default 500 MB
	MaxLength time.Duration
	MinLength time.Duration // default 1 s
	Preset    string        // x264 preset; default veryfast
}

// Check is the state of one thing that the engine needs.
type Check struct {
	Name   string `json:"name"` // "ffmpeg", "models" or "sandbox"
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was found, or what to do
}

// CopyOut asks for one release copy.
type CopyOut struct {
	Path   string // the file to write; it must not exist
	Notice string // burned into every frame: for whom the copy is; empty for none
}

// Progress says how far a job is.
type Progress struct {
	Stage string        // "reading", "searching", "hiding", "checking"
	Done  float64       // share of the whole job, 0 to 1
	Left  time.Duration // estimate of the time left; zero while unknown
}

// Job is one redaction.
type Job struct {
	In       string         // footage, a local file
	Plan     Plan           // what to hide and how
	Copies   []CopyOut      // one or more
	Proxy    string         // also write the window as the homeowner may see it: nothing hidden but the camera's fixed masks; empty for none
	Earlier  string         // what an earlier job found; it is used where it fits, else ignored; empty for none
	Found    string         // also write what this job found, for Earlier of a later one with other edits; empty for none
	WorkDir  string         // private folder for intermediate files; default: a new one under the system's temporary folder, removed at the end
	Progress func(Progress) // called from one goroutine at a time; may be nil
}
