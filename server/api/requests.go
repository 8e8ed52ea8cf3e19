package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/gin-gonic/gin"
)

// FileRequest handles POST /a/v1/requests. Its answer is a receipt signed by the relay, the
// same bytes whenever the same token comes again.
func (s *Server) FileRequest(c *gin.Context) error {
	receipt, err := s.fileRequest(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return write(c, http.StatusAccepted, "application/jwt", []byte(receipt))
}

func (s *Server) fileRequest(c *gin.Context) (string, error) {
	by, err := s.authenticate(c, token.Request, lifeLong)
	if err != nil {
		return "", err
	}
	claims, err := relay.ParseClaims(by.token.Payload, by.expects)
	if err != nil {
		return "", err
	}
	now := by.expects.Now
	q, e := relay.ReceiveRequest(relay.NewID(), by.key.KID, by.raw, claims, s.store.Identity.Secret("jitter"), now)
	// One transaction: limits, request, event and the job that looks at it later. A crash
	// before its commit leaves nothing, and the agency sends the same token again; after it,
	// the same token brings the same receipt.
	stored, repeated, err := s.store.DB.ReceiveRequest(c.Request.Context(), q, e, now.Add(-s.limits.History()), func(earlier []relay.Request) error {
		if by.agency.Status != relay.AgencyActive || !now.Before(by.agency.VerifiedUntil) {
			return relay.ErrPolicy
		}
		return s.limits.Admit(claims, earlier, now)
	})
	if errors.Is(err, relay.ErrConflict) {
		s.log.Warn("a jti came again with another request", "kid", by.key.KID)
		return "", reused()
	}
	if err != nil {
		return "", err
	}
	if !repeated {
		s.log.Info("request received", "request", stored.ID)
	}
	return token.MintReceipt(s.store.Identity, stored)
}

// standing is how one request stands, as its agency may know it.
type standing struct {
	RequestID string `json:"request_id"`
	relay.AgencyView
	Notice string `json:"notice,omitempty"` // after a release: the relay's signed notice of its end
}

// standings is the answer to a poll and to a withdrawal: the one place where the state of a
// request is written for an agency.
type standings struct {
	Requests []standing `json:"requests"`
}

// stand reads how requests of an agency stand. One that is not the agency's own is
// [relay.ErrNotFound], like one that does not exist.
func (s *Server) stand(ctx context.Context, agencyID string, ids []string, now time.Time) (standings, error) {
	var out standings
	for _, id := range ids {
		q, err := s.store.DB.AgencyRequest(ctx, agencyID, id)
		if err != nil {
			return out, err
		}
		notice, err := token.MintEnded(s.store.Identity, q)
		if err != nil {
			return out, err
		}
		out.Requests = append(out.Requests, standing{q.ID, q.AgencyView(now), notice})
	}
	return out, nil
}

// Poll handles POST /a/v1/requests/poll.
func (s *Server) Poll(c *gin.Context) error {
	out, err := s.poll(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return s.answer(c, http.StatusOK, out)
}

func (s *Server) poll(c *gin.Context) (standings, error) {
	by, err := s.authenticate(c, token.Poll, lifeShort)
	if err != nil {
		return standings{}, err
	}
	claims, err := relay.ParsePoll(by.token.Payload, by.expects)
	if err != nil {
		return standings{}, err
	}
	if err := s.once(c.Request.Context(), by, claims.Call); err != nil {
		return standings{}, err
	}
	return s.stand(c.Request.Context(), by.agency.ID, claims.RequestIDs, by.expects.Now)
}

// Withdraw handles POST /a/v1/requests/withdraw. What is closed or withdrawn already is
// answered like what is withdrawn now.
func (s *Server) Withdraw(c *gin.Context) error {
	out, err := s.withdraw(c)
	if err != nil {
		return s.refuse(c, err)
	}
	return s.answer(c, http.StatusOK, out)
}

func (s *Server) withdraw(c *gin.Context) (standings, error) {
	by, err := s.authenticate(c, token.Withdraw, lifeLong)
	if err != nil {
		return standings{}, err
	}
	claims, err := relay.ParseWithdraw(by.token.Payload, by.expects)
	if err != nil {
		return standings{}, err
	}
	ctx, now := c.Request.Context(), by.expects.Now
	if err := s.once(ctx, by, claims.Call); err != nil {
		return standings{}, err
	}
	ids := []string{claims.RequestID}
	if _, err := s.stand(ctx, by.agency.ID, ids, now); err != nil {
		return standings{}, err
	}
	err = s.store.DB.UpdateRequest(ctx, claims.RequestID, func(q *relay.Request) (relay.Event, error) { return q.Withdraw(now) })
	if err != nil && !errors.Is(err, relay.ErrState) {
		return standings{}, err
	}
	return s.stand(ctx, by.agency.ID, ids, now)
}
