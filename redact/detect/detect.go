// Package detect finds faces and plates in pictures. Models and what they are good for stand in one
// table, see [Table]; all of them run in ONNX Runtime, which is loaded from the models folder at run
// time. The package is meant for a child process that holds nothing else.
package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// Kind is what a detector finds.
type Kind string

// The kinds.
const (
	Face  Kind = "face"
	Plate Kind = "plate"
)

// Picture is 8-bit RGB, row after row without padding.
type Picture struct {
	Pix  []byte
	W, H int
}

// Found is one thing in a picture. Coordinates are pixels of that picture.
type Found struct {
	Kind     Kind    `json:"k"`
	X        float32 `json:"x"`
	Y        float32 `json:"y"`
	W        float32 `json:"w"`
	H        float32 `json:"h"`
	Score    float32 `json:"s"` // 0 to 1
	Detector string  `json:"d"` // its name, or [PoseNetBody]
}

// PoseNetBody is the detector's name of a head that PoseNet did not see, but of which it saw the shoulders.
const PoseNetBody = "posenet-body"

// Detector finds things in one picture. It is for one goroutine.
type Detector interface {
	// Detect returns what it found, best first. The picture is only read.
	Detect(Picture) ([]Found, error)
	Close() error
}

// ErrModel marks a model or library that is missing or is not what it should be.
var ErrModel = errors.New("run deploy/models/install.sh to install the models")

// Verify checks that the models folder dir holds every model of the table and the runtime with the
// right digest. Digests are kept while a file's size and time of change stay the same.
func Verify(dir string) error {
	names := []string{RuntimeFile}
	for _, s := range Table {
		names = append(names, s.Model)
	}
	for _, name := range names {
		if err := verify(filepath.Join(dir, name), name); err != nil {
			return err
		}
	}
	return nil
}

type stamp struct {
	size int64
	mod  time.Time
}

var verified sync.Map // path to the stamp of the file that had the right digest

func verify(path, name string) error {
	want, ok := Sum(name)
	if !ok {
		return fmt.Errorf("%s is not available for this processor: use amd64 or arm64", name)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("model %s is missing in %s: %w", name, filepath.Dir(path), ErrModel)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	now := stamp{info.Size(), info.ModTime()}
	if old, ok := verified.Load(path); ok && old == now {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("model %s has digest %.12s…, not %.12s…: remove %s and %w", name, got, want, path, ErrModel)
	}
	verified.Store(path, now)
	return nil
}

var starting sync.Mutex

// start loads ONNX Runtime once; a process has one. Several goroutines may open detectors.
func start(library string) error {
	starting.Lock()
	defer starting.Unlock()
	if ort.IsInitialized() {
		return nil
	}
	ort.SetSharedLibraryPath(library)
	return ort.InitializeEnvironment(ort.WithLogLevelError())
}

// Open loads the detector that spec describes from the models folder dir, checking its digest first.
// Each detector uses threads cores.
func Open(dir string, spec Spec, threads int) (Detector, error) {
	for _, name := range []string{RuntimeFile, spec.Model} {
		if err := verify(filepath.Join(dir, name), name); err != nil {
			return nil, err
		}
	}
	if err := start(filepath.Join(dir, RuntimeFile)); err != nil {
		return nil, fmt.Errorf("start ONNX Runtime: %w", err)
	}
	net, err := openNet(filepath.Join(dir, spec.Model), spec.outputs(), threads)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", spec.Model, err)
	}
	return spec.build(net), nil
}
