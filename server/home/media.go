package home

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"cliplease/relay"
	"cliplease/server/media"
	"cliplease/storage"

	"github.com/gin-gonic/gin"
)

// CopyMedia serves GET /releases/:id/copies/:copy/video: exactly the file that a recipient
// gets, for the member who looks at it.
func (s *Server) CopyMedia(c *gin.Context) error {
	rel, err := s.db.Release(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rel.Copies, func(v relay.Copy) bool { return v.ID == c.Param("copy") && v.Object != "" })
	if i < 0 {
		return relay.ErrNotFound
	}
	v := rel.Copies[i]
	return s.serve(c, media.File{
		Object: v.Object, KeyID: v.ID, Context: rel.ID, Size: v.Bytes, SHA256: v.SHA256, ReleaseID: rel.ID,
		Allowed: s.allowed(c, func(now relay.Release) error {
			if now.Round != rel.Round {
				return relay.ErrNotFound
			}
			return accessible(now, s.now())
		}),
	})
}

// ProxyMedia serves GET /releases/:id/original/video: the footage as it is, while a member
// compares it with the release copy, and not a moment longer.
func (s *Server) ProxyMedia(c *gin.Context) error {
	rel, err := s.db.Release(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if rel.Proxy == "" {
		return relay.ErrNotFound
	}
	return s.serve(c, media.File{
		Object: rel.Proxy, KeyID: storage.ProxyKey(rel.ID, rel.Round), Context: rel.ID, Size: rel.ProxyBytes, ReleaseID: rel.ID,
		Allowed: s.allowed(c, func(now relay.Release) error {
			if now.State != relay.ReleaseInReview || now.Round != rel.Round {
				return relay.ErrNotFound
			}
			return nil
		}),
	})
}

// allowed asks, again for every piece of a video, whether the member still belongs to the
// home, may still see, and the release is still what it was.
func (s *Server) allowed(c *gin.Context, still func(relay.Release) error) func(context.Context) error {
	id, browser := c.Param("id"), session(c).TokenHash
	return func(ctx context.Context) error {
		_, m, err := s.db.SessionMember(ctx, browser, sessionIdle, s.now())
		if err != nil {
			return err
		}
		if !m.Role.CanSee() {
			return relay.ErrPolicy
		}
		now, err := s.db.Release(ctx, id)
		if err != nil {
			return err
		}
		return still(now)
	}
}

// serve gives out a file to a page of this host and to nobody else.
func (s *Server) serve(c *gin.Context, f media.File) error {
	if err := embedded(c.Request); err != nil {
		return err
	}
	err := s.media.Serve(c.Writer, c.Request, f)
	if errors.Is(err, media.ErrUnavailable) {
		s.log.Error("footage cannot be read", "release", f.ReleaseID, "error", err)
		c.AbortWithStatus(http.StatusServiceUnavailable)
		return nil
	}
	return err
}

// embedded refuses footage to pages of other sites.
func embedded(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	return relay.ErrPolicy
}

// maxStill is the most that a thumbnail holds, in bytes.
const maxStill = 4 << 20

// Still serves GET /clips/:id/stills/:n: a thumbnail of a clip.
func (s *Server) Still(c *gin.Context) error {
	ctx := c.Request.Context()
	if err := embedded(c.Request); err != nil {
		return err
	}
	clip, err := s.db.Clip(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil || n < 0 || n >= len(clip.Stills) {
		return relay.ErrNotFound
	}
	plain, err := s.store.Vault.Open(ctx, s.store.Objects, clip.Stills[n])
	if err != nil {
		return err
	}
	defer plain.Close()
	body, err := io.ReadAll(io.LimitReader(plain, maxStill))
	if err != nil {
		return err
	}
	c.Header("Content-Security-Policy", "default-src 'none'; sandbox")
	c.Data(http.StatusOK, "image/jpeg", body)
	return nil
}
