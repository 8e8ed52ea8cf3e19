package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"
)

// watchFolders takes in what cameras dropped into their folders since it last looked.
func (w *Worker) watchFolders(ctx context.Context) error {
	f := &w.Watch
	if f.Base == "" {
		return nil
	}
	f.Keeper, f.Look, f.Kept = w.Store, w.facts, w.kept
	cameras, err := w.Store.DB.Cameras(ctx)
	if err != nil {
		return err
	}
	took, err := f.Round(ctx, cameras, w.Now())
	if took != (source.Took{}) {
		w.Log.Info("took in what cameras dropped", "files", took.Taken, "refused", took.Refused)
	}
	return err
}

// facts finds out in the sandbox what a dropped file says of itself. It works on a copy: whoever
// may write into the folder could exchange the file at its path.
func (w *Worker) facts(ctx context.Context, original io.Reader) (_ source.Facts, err error) {
	dir, err := os.MkdirTemp(w.TempDir, "watch-")
	if err != nil {
		return source.Facts{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "original")
	copied, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return source.Facts{}, err
	}
	_, err = io.Copy(copied, original)
	if err := errors.Join(err, copied.Close()); err != nil {
		return source.Facts{}, fmt.Errorf("copy a dropped file: %w", err)
	}
	f, err := w.Engine.Probe(ctx, path)
	if errors.Is(err, redact.ErrRefused) {
		return source.Facts{}, relay.Invalid("file", "%s", sentence(strings.TrimPrefix(err.Error(), redact.ErrRefused.Error()+": ")))
	}
	return source.Facts{Created: f.Created, Length: f.Duration}, err
}

// kept reports whether the clip of a camera with a digest and start still has its original.
func (w *Worker) kept(ctx context.Context, cameraID, sha256 string, start time.Time) (bool, error) {
	clips, err := w.Store.DB.Clips(ctx, storage.ClipFilter{CameraID: cameraID, From: start, To: start.Add(time.Second), Limit: 1000})
	for _, c := range clips {
		if c.SHA256 == sha256 && c.Start.UnixMilli() == start.UnixMilli() && c.State != relay.ClipDisposed {
			return true, err
		}
	}
	return false, err
}
