package worker

import (
	"context"
	"errors"
	"io"
	"os"

	"cliplease/relay"
	"cliplease/storage"
)

// earlier writes what an earlier round of a release found to path and returns path, or "" when
// nothing is kept. The engine sees for itself whether it fits. What cannot be read is searched for
// again, so only a relay that stops, or a full disk, is an error.
func (w *Worker) earlier(ctx context.Context, releaseID, path string) (string, error) {
	search, err := w.Store.DB.SearchOf(ctx, releaseID)
	if errors.Is(err, relay.ErrNotFound) {
		return "", nil
	}
	if err == nil {
		err = w.openSearch(ctx, releaseID, search, path)
	}
	switch {
	case err == nil:
		return path, nil
	case ctx.Err() != nil || fullDisk(err):
		return "", err
	}
	w.Log.Warn("what an earlier round found cannot be read, so the footage is searched again", "release", releaseID, "error", err)
	return "", nil
}

func (w *Worker) openSearch(ctx context.Context, releaseID string, s storage.Search, path string) error {
	key, err := w.Store.Keys.Get(ctx, s.KeyID, releaseID)
	if err != nil {
		return err
	}
	body, err := storage.OpenRange(ctx, w.Store.Objects, s.Object, key, s.Bytes, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

// sealSearch seals what the engine found under a key that no other attempt has. A crash before the
// row leaves a key and an object to the sweep of orphans.
func (m *made) sealSearch(ctx context.Context, path string) (*storage.Search, error) {
	s := storage.Search{KeyID: "s" + relay.NewID()}
	m.keys = append(m.keys, s.KeyID)
	sealed, name, err := m.seal(ctx, s.KeyID, path)
	s.Object, s.Bytes = name, sealed.Bytes
	return &s, err
}
