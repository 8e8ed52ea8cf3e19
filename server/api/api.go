// Package api is the agencies' side of the relay: one signed token a call, checked in one
// fixed order, and answers that follow from the agency's own calls, the time, and what was
// released to it. Nothing about the home, its cameras or its footage is read before a call is
// stored, nor after it in the same call.
package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"cliplease/relay"
	"cliplease/server/media"
	"cliplease/server/token"
	"cliplease/storage"

	"github.com/gin-gonic/gin"
)

// Limits bound how much one agency may ask; see [relay.Limits].
type Limits = relay.Limits

// Config is what a [Server] needs.
type Config struct {
	Store  *storage.Store
	Site   relay.Site
	Media  *media.Server
	Limits Limits // zero: [relay.DefaultLimits]
	Now    func() time.Time
	Log    *slog.Logger
}

// Server answers agencies.
type Server struct {
	store   *storage.Store
	site    relay.Site
	media   *media.Server
	limits  Limits
	now     func() time.Time
	log     *slog.Logger
	dummies map[string]relay.AgencyKey // by algorithm: what tokens of unknown keys are verified with
	openapi []byte
}

// New returns a server for agencies.
func New(cfg Config) *Server {
	s := &Server{store: cfg.Store, site: cfg.Site, media: cfg.Media, limits: cfg.Limits, now: cfg.Now, log: cfg.Log}
	if s.limits == (Limits{}) {
		s.limits = relay.DefaultLimits()
	}
	s.dummies = dummies()
	s.openapi = describe(cfg.Site)
	return s
}

// dummies makes a key of each kind that nobody can sign with.
func dummies() map[string]relay.AgencyKey {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	out := map[string]relay.AgencyKey{}
	for _, key := range []any{ed, &ec.PublicKey} {
		p, err := relay.NewPublicKey(key)
		if err != nil {
			panic(err) // of these two kinds
		}
		out[p.Alg] = p.Pin("", time.Time{}, time.Time{})
	}
	return out
}

// The longest lives of tokens, exp - iat.
const (
	lifeLong  = 300 * time.Second // requests, withdrawals, attestations, keys
	lifeShort = 60 * time.Second  // polls and openings
)

// call is a token whose signature is good, with who signed it. Its payload is unread.
type call struct {
	raw     string
	token   token.Token
	key     relay.AgencyKey
	agency  relay.Agency
	expects relay.Expected
}

// errRequest is the answer to everything that is no well-formed call of a known key: always
// the same bytes, so that a stranger learns nothing, not even whom the relay knows.
var errRequest = errors.New("invalid request")

// authenticate takes steps 0 to 5 of a call: the outer form, the token's form, its key, and
// its signature. Every refusal is errRequest.
func (s *Server) authenticate(c *gin.Context, typ string, life time.Duration) (call, error) {
	raw, err := body(c.Writer, c.Request)
	if err != nil {
		return call{}, errRequest
	}
	t, err := token.Parse(raw, typ)
	if err != nil {
		return call{}, errRequest
	}
	ctx, now := c.Request.Context(), s.now()
	key, err := s.store.DB.AgencyKey(ctx, t.Header.KID)
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return call{}, err
	}
	known := err == nil && key.Usable(now) == nil && key.Alg == t.Header.Algorithm()
	if !known {
		key = s.dummies[t.Header.Algorithm()] // the same work for a key that is not known
	}
	public, err := key.Public()
	if err != nil {
		return call{}, err
	}
	if err := t.Verify(public); err != nil || !known {
		return call{}, errRequest
	}
	agency, err := s.store.DB.Agency(ctx, key.AgencyID)
	if err != nil {
		return call{}, err
	}
	keys, err := s.store.DB.AgencyKeys(ctx, key.AgencyID)
	if err != nil {
		return call{}, err
	}
	return call{raw: raw, token: t, key: key, agency: agency,
		expects: relay.Expected{Agency: agency, Keys: keys, Audience: s.site.API, Now: now, MaxLife: life}}, nil
}

// body reads the token of a call that has the right outer form.
func body(w http.ResponseWriter, r *http.Request) (string, error) {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 || kinds[0] != "application/jwt" || len(r.Header.Values("Content-Encoding")) > 0 || r.URL.RawQuery != "" || r.URL.ForceQuery {
		return "", errRequest
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, token.MaxBytes))
	return string(raw), err
}

// once uses up the token of a call that leaves no row of its own to know it again by.
func (s *Server) once(ctx context.Context, by call, k relay.Call) error {
	err := s.store.DB.UseToken(ctx, by.agency.ID, k.TokenID, time.Unix(k.Expires, 0).Add(2*relay.Leeway))
	if errors.Is(err, relay.ErrConflict) {
		return reused()
	}
	return err
}

func reused() error {
	return relay.Invalid("jti", "A token with this jti was used before; make a new one for each call.")
}

// refusal is the body of every answer that is not what the agency asked for.
type refusal struct {
	Error  string `json:"error"`            // "invalid_request", "invalid_claim", "too_many_requests", "not_available" or "unavailable"
	Claim  string `json:"claim,omitempty"`  // with "invalid_claim": which, dotted
	Reason string `json:"reason,omitempty"` // with "invalid_claim": a sentence
}

// retryAfter is what Retry-After says, whatever limit was reached: a value that depended on
// it would tell more than that there is one.
const retryAfter = 24 * time.Hour

// refuse answers a call that failed. Faults of the relay are returned and answered elsewhere.
func (s *Server) refuse(c *gin.Context, err error) error {
	var invalid *relay.InvalidError
	switch {
	case errors.Is(err, errRequest):
		return s.answer(c, http.StatusBadRequest, refusal{Error: "invalid_request"})
	case errors.As(err, &invalid):
		return s.answer(c, http.StatusUnprocessableEntity, refusal{Error: "invalid_claim", Claim: invalid.Field, Reason: invalid.Reason})
	case errors.Is(err, relay.ErrPolicy):
		c.Header("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		return s.answer(c, http.StatusTooManyRequests, refusal{Error: "too_many_requests"})
	case errors.Is(err, relay.ErrNotFound):
		return s.answer(c, http.StatusNotFound, refusal{Error: "not_available"})
	case errors.Is(err, media.ErrUnavailable):
		s.log.Error("the object store does not answer", "route", c.FullPath(), "error", err)
		return s.answer(c, http.StatusServiceUnavailable, refusal{Error: "unavailable"})
	}
	return err
}

// answer writes v as JSON. Every JSON answer of the API is written here.
func (s *Server) answer(c *gin.Context, code int, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return write(c, code, "application/json", bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// write sends an answer whole, with its length, so that all answers are framed alike.
func write(c *gin.Context, code int, kind string, body []byte) error {
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Length", strconv.Itoa(len(body)))
	c.Data(code, kind, body)
	return nil
}

// OpenAPI handles GET /openapi.json: the description of this API.
func (s *Server) OpenAPI(c *gin.Context) error {
	return write(c, http.StatusOK, "application/json", s.openapi)
}
