package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/media"
	"cliplease/server/token"
	"cliplease/storage"

	"github.com/gin-gonic/gin"
)

// opening is the answer to a key recipient that opened a release.
type opening struct {
	ReleaseID string `json:"release_id"`
	Session   string `json:"session"` // for GET /a/v1/releases/media, as "Authorization: Bearer …"
	Until     string `json:"until"`   // when the session ends at the latest; 15 minutes without a range end it, too
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`   // of the whole file
	Download  bool   `json:"download"` // whether the grant allows the recipient to keep a file
}

// OpenRelease handles POST /a/v1/releases/open: it counts a view of the copy made for the key
// that signed the call. Everything that cannot be opened is the same 404.
func (s *Server) OpenRelease(c *gin.Context) error {
	out, err := s.openRelease(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return s.answer(c, http.StatusOK, out)
}

func (s *Server) openRelease(c *gin.Context) (opening, error) {
	by, err := s.authenticate(c, token.Open, lifeShort)
	if err != nil {
		return opening{}, err
	}
	claims, err := relay.ParseOpen(by.token.Payload, by.expects)
	if err != nil {
		return opening{}, err
	}
	ctx, now := c.Request.Context(), by.expects.Now
	if err := s.once(ctx, by, claims.Call); err != nil {
		return opening{}, err
	}
	o, err := s.leased(ctx, by, claims.ReleaseID)
	if err != nil {
		return opening{}, err
	}
	if err := o.Link.Usable(o.Release, now); err != nil {
		return opening{}, err
	}
	session := make([]byte, 32)
	rand.Read(session) // never fails
	bearer := base64.RawURLEncoding.EncodeToString(session)
	v := storage.ViewSession{TokenHash: sessionHash(bearer), LinkID: o.Link.ID, Kind: "view", MediaPath: relay.NewID(),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(relay.ViewLife)}
	if o.Link.ExpiresAt.Before(v.ExpiresAt) {
		v.ExpiresAt = o.Link.ExpiresAt
	}
	// Looked at before it counts: bytes that are not those of the grant cost no view.
	if err := s.media.Verify(ctx, s.file(o, v.TokenHash)); err != nil {
		return opening{}, s.damaged(o, err)
	}
	if err := s.store.DB.StartView(ctx, storage.Opened{Link: o.Link, Release: o.Release, Copy: o.Copy}, v, now); err != nil {
		return opening{}, err
	}
	return opening{ReleaseID: o.Release.ID, Session: bearer, Until: relay.Stamp(v.ExpiresAt), Bytes: o.Copy.Bytes, SHA256: o.Copy.SHA256,
		Download: o.Release.Draft.Download}, nil
}

// leased finds the copy of a release that was made for the key of the call.
func (s *Server) leased(ctx context.Context, by call, releaseID string) (storage.Opened, error) {
	rel, err := s.store.DB.Release(ctx, releaseID)
	if err != nil {
		return storage.Opened{}, err
	}
	if _, err := s.store.DB.AgencyRequest(ctx, by.agency.ID, rel.RequestID); err != nil {
		return storage.Opened{}, err
	}
	for _, copied := range rel.Copies {
		if copied.Recipient.Kind == relay.RecipientKey && copied.Recipient.KID == by.key.KID {
			return s.store.DB.LinkOfKey(ctx, rel.ID, copied.ID)
		}
	}
	return storage.Opened{}, relay.ErrNotFound
}

// damaged says that a copy is not the one that was released, and to its recipient no more
// than that there is none.
func (s *Server) damaged(o storage.Opened, err error) error {
	if errors.Is(err, storage.ErrTampered) {
		s.log.Error("a release copy is not the one that was signed", "release", o.Release.ID, "copy", o.Copy.ID, "error", err)
		return relay.ErrNotFound
	}
	return err
}

func sessionHash(bearer string) string {
	sum := sha256.Sum256([]byte(bearer))
	return hex.EncodeToString(sum[:])
}

// file is the copy that a session opened, with the questions that each range of it asks.
func (s *Server) file(o storage.Opened, hash string) media.File {
	return media.File{
		Object: o.Copy.Object, KeyID: o.Copy.ID, Context: o.Release.ID, Size: o.Copy.Bytes, SHA256: o.Copy.SHA256,
		ReleaseID: o.Release.ID, LinkID: o.Link.ID, Download: true,
		Allowed: func(ctx context.Context) error {
			_, err := s.session(ctx, hash)
			return err
		},
		Count: func(ctx context.Context, n int64) error { return s.store.DB.Watched(ctx, hash, n, s.now()) },
	}
}

// session returns what a key recipient's session opens now. Anything else, a session of a
// browser too, is [relay.ErrNotFound].
func (s *Server) session(ctx context.Context, hash string) (storage.Opened, error) {
	now := s.now()
	o, err := s.store.DB.View(ctx, hash, "view")
	if err != nil {
		return o, err
	}
	if o.Copy.Recipient.Kind != relay.RecipientKey || !now.Before(o.Session.ExpiresAt) || now.Sub(o.Session.SeenAt) > relay.ViewIdle {
		return o, relay.ErrNotFound
	}
	return o, o.Link.Playable(o.Release, now)
}

// Media handles GET /a/v1/releases/media: one range of an opened release, at most
// [relay.RangeMax] bytes of it, allowed anew each time.
func (s *Server) Media(c *gin.Context) error {
	bearer, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	if !ok || len(bearer) != 43 {
		return s.refuse(c, relay.ErrNotFound)
	}
	hash := sessionHash(bearer)
	o, err := s.session(c.Request.Context(), hash)
	if err != nil {
		return s.refuse(c, err)
	}
	if c.GetHeader("Range") == "" {
		c.Request.Header.Set("Range", "bytes=0-") // the whole comes in ranges or not at all
	}
	if err := s.media.Serve(c.Writer, c.Request, s.file(o, hash)); err != nil {
		return s.refuse(c, s.damaged(o, err))
	}
	return nil
}

// Destroyed handles POST /a/v1/releases/destroyed: an agency attests that it destroyed its
// copies. It is kept and shown to the home as what it is, a statement. The same token again
// is answered like the first time.
func (s *Server) Destroyed(c *gin.Context) error {
	out, err := s.destroyed(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return s.answer(c, http.StatusOK, out)
}

// attested is the answer to an attestation.
type attested struct {
	ReleaseID  string `json:"release_id"`
	RecordedAt string `json:"recorded_at"`
}

func (s *Server) destroyed(c *gin.Context) (attested, error) {
	by, err := s.authenticate(c, token.Destroyed, lifeLong)
	if err != nil {
		return attested{}, err
	}
	claims, err := relay.ParseDestroyed(by.token.Payload, by.expects)
	if err != nil {
		return attested{}, err
	}
	ctx, now := c.Request.Context(), by.expects.Now
	rel, err := s.store.DB.Release(ctx, claims.ReleaseID)
	if err != nil {
		return attested{}, err
	}
	if _, err := s.store.DB.AgencyRequest(ctx, by.agency.ID, rel.RequestID); err != nil {
		return attested{}, err
	}
	if rel.GrantedAt.IsZero() {
		return attested{}, relay.ErrNotFound // nothing was ever given out
	}
	sum := sha256.Sum256([]byte(by.raw))
	a, err := s.store.DB.AddAttestation(ctx, storage.Attestation{AgencyID: by.agency.ID, JTI: claims.TokenID, ReleaseID: rel.ID, KID: by.key.KID,
		JWS: by.raw, SHA256: hex.EncodeToString(sum[:]), DestroyedAt: claims.DestroyedAt, Statement: claims.Statement, CreatedAt: now.Truncate(time.Millisecond)})
	if errors.Is(err, relay.ErrConflict) {
		return attested{}, reused()
	}
	return attested{ReleaseID: a.ReleaseID, RecordedAt: relay.Stamp(a.CreatedAt)}, err
}

// Acknowledge handles POST /a/v1/releases/acknowledge: an agency says that it has the notice that a
// release to it is over. The home sees it; whoever has not acknowledged has lost access all the same.
func (s *Server) Acknowledge(c *gin.Context) error {
	out, err := s.acknowledge(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return s.answer(c, http.StatusOK, out)
}

// acknowledged is the answer to an acknowledgement.
type acknowledged struct {
	ReleaseID  string `json:"release_id"`
	RecordedAt string `json:"recorded_at"`
}

func (s *Server) acknowledge(c *gin.Context) (acknowledged, error) {
	by, err := s.authenticate(c, token.Acknowledge, lifeLong)
	if err != nil {
		return acknowledged{}, err
	}
	claims, err := relay.ParseAcknowledge(by.token.Payload, by.expects)
	if err != nil {
		return acknowledged{}, err
	}
	ctx, now := c.Request.Context(), by.expects.Now
	rel, err := s.store.DB.Release(ctx, claims.ReleaseID)
	if err != nil {
		return acknowledged{}, err
	}
	q, err := s.store.DB.AgencyRequest(ctx, by.agency.ID, rel.RequestID)
	if err != nil {
		return acknowledged{}, err
	}
	// A release that another of the same request has followed keeps its own notice.
	q.ReleaseID, q.EndedAt = rel.ID, rel.EndedAt
	if rel.GrantedAt.IsZero() || rel.EndedAt.IsZero() {
		return acknowledged{}, relay.ErrNotFound
	}
	notice, err := token.MintEnded(s.store.Identity, q)
	if err != nil {
		return acknowledged{}, err
	}
	if sum := sha256.Sum256([]byte(notice)); claims.NoticeSHA256 != hex.EncodeToString(sum[:]) {
		return acknowledged{}, relay.Invalid("notice_sha256", "This is not the notice of the end of this release; poll again and take the notice from there.")
	}
	sum := sha256.Sum256([]byte(by.raw))
	a, err := s.store.DB.Acknowledge(ctx, storage.Acknowledgement{ReleaseID: rel.ID, AgencyID: by.agency.ID, KID: by.key.KID,
		JWS: by.raw, SHA256: hex.EncodeToString(sum[:]), CreatedAt: now.Truncate(time.Millisecond)})
	return acknowledged{ReleaseID: a.ReleaseID, RecordedAt: relay.Stamp(a.CreatedAt)}, err
}
