package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"cliplease/relay"
	"cliplease/storage"
)

// emptyTemp makes the folder for temporary files, or removes what a killed process left in
// it: plaintext of originals, among others.
func (w *Worker) emptyTemp() error {
	if err := os.MkdirAll(w.TempDir, 0o700); err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	if err := os.Chmod(w.TempDir, 0o700); err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	entries, err := os.ReadDir(w.TempDir)
	if err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(w.TempDir, e.Name())); err != nil {
			return fmt.Errorf("folder for temporary files: %w", err)
		}
	}
	return nil
}

// workshop makes a private folder with the opened original of clip in it. The caller calls
// clear when it is done, whatever happened.
func (w *Worker) workshop(ctx context.Context, clip relay.Clip) (dir, original string, clear func(), err error) {
	if dir, err = os.MkdirTemp(w.TempDir, "job-"); err != nil {
		return "", "", nil, err
	}
	clear = func() {
		if err := os.RemoveAll(dir); err != nil {
			w.Log.Error("footage was left in the folder for temporary files; it is removed at the next start", "folder", dir, "error", err)
		}
	}
	original = filepath.Join(dir, "original")
	if err := w.openOriginal(ctx, clip, original); err != nil {
		clear()
		return "", "", nil, err
	}
	return dir, original, clear, nil
}

// openOriginal writes the original of clip to path and compares it with the digest that was
// taken when it arrived.
func (w *Worker) openOriginal(ctx context.Context, clip relay.Clip, path string) (err error) {
	body, err := w.Store.Vault.Open(ctx, w.Store.Objects, clip.Object)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), body); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != clip.SHA256 {
		return fmt.Errorf("the original of clip %s is not the one that arrived: %w", clip.ID, storage.ErrTampered)
	}
	return nil
}

// fullDisk reports whether err means that no space is left.
func fullDisk(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
