package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cliplease/relay"
	"cliplease/storage"
)

// Store opens the relay's data beside the running relay, to look at what is kept. The caller
// closes it.
func (r *Relay) Store(ctx context.Context) (*storage.Store, error) {
	c := storage.Config{Dir: r.Data, Database: r.Database, Site: r.Site}
	if m := r.MinIO; m != nil {
		c.S3 = &storage.S3Config{Endpoint: m.Endpoint, Bucket: r.Bucket, Region: "us-east-1", AccessKey: m.AccessKey, SecretKey: storage.Secret(m.SecretKey)}
	}
	return storage.Open(ctx, c)
}

// With opens the relay's data for the time of do.
func (r *Relay) With(ctx context.Context, do func(*storage.Store) error) (err error) {
	s, err := r.Store(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}

// Remains returns the names of those keys and objects that are still kept.
func (r *Relay) Remains(ctx context.Context, of storage.Leftover) (left []string, err error) {
	err = r.With(ctx, func(s *storage.Store) error {
		for id, err := range s.Keys.IDs(ctx) {
			if err != nil {
				return err
			}
			if slices.Contains(of.Keys, id) {
				left = append(left, "key "+id)
			}
		}
		for o, err := range s.Objects.List(ctx, "") {
			if err != nil {
				return err
			}
			if slices.Contains(of.Objects, o.Name) {
				left = append(left, "object "+o.Name)
			}
		}
		return nil
	})
	return left, err
}

// AwaitGone waits until none of the keys and objects is kept.
func (r *Relay) AwaitGone(ctx context.Context, of storage.Leftover) error {
	var left []string
	err := Until(ctx, func() (bool, error) {
		var err error
		left, err = r.Remains(ctx, of)
		return len(left) == 0, err
	})
	if err != nil && len(left) > 0 {
		return fmt.Errorf("still kept: %v: %w", left, err)
	}
	return err
}

// Release reads a release with the keys and objects that it has.
func (r *Relay) Release(ctx context.Context, id string) (rel relay.Release, has storage.Leftover, err error) {
	err = r.With(ctx, func(s *storage.Store) error {
		rel, err = s.DB.Release(ctx, id)
		return err
	})
	return rel, storage.Remains(rel), err
}

// Clip waits until the relay has looked at the clip of a name, and returns it. A clip that was
// refused is an error.
func (r *Relay) Clip(ctx context.Context, name string) (clip relay.Clip, err error) {
	err = r.With(ctx, func(s *storage.Store) error {
		return Until(ctx, func() (bool, error) {
			all, err := s.DB.Clips(ctx, storage.ClipFilter{Limit: 100})
			if err != nil {
				return false, err
			}
			i := slices.IndexFunc(all, func(c relay.Clip) bool { return c.Name == name })
			if i < 0 {
				return false, fmt.Errorf("there is no clip named %s", name)
			}
			clip = all[i]
			if clip.State == relay.ClipRefused {
				return false, fmt.Errorf("clip %s was refused: %s", name, clip.Reason)
			}
			return clip.State == relay.ClipReady, nil
		})
	})
	return clip, err
}
