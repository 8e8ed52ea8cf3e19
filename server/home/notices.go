package home

import (
	"net/http"
	"slices"
	"strings"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// noticeWords says what each notice is about.
var noticeWords = map[string]string{
	relay.NoticeRequest:   "A new request has come",
	relay.NoticeCosign:    "A release needs your signature as well",
	relay.NoticeReady:     "A release copy is ready to look at",
	relay.NoticeReleased:  "Something was released",
	relay.NoticeWatched:   "Somebody begins to watch",
	relay.NoticeMore:      "A recipient asks for more time",
	relay.NoticeEnds:      "A lease ends soon",
	relay.NoticeEnded:     "A lease is over",
	relay.NoticeCodes:     "Many codes were asked for",
	relay.NoticeDamaged:   "A stored copy is damaged",
	relay.NoticeKey:       "An agency brought a new key",
	relay.NoticeOffer:     "An agency that was invited answered",
	relay.NoticeRecovered: "A member came back without a passkey",
}

// Notices serves GET /notices: what the member is told of, and how.
func (s *Server) Notices(c *gin.Context) error {
	ctx, me := c.Request.Context(), member(c)
	n, err := s.db.Notices(ctx, me.ID)
	if err != nil {
		return err
	}
	p := templates.Notices{
		Layout: s.layout(c, "household", "Notices"), Email: me.Email, Scheme: n.Scheme, Host: n.Host, State: n.State, Result: n.Result,
		Tried: in(n.TriedAt, s.zone(ctx)), Examples: relay.ServiceKinds(), Home: s.site.HomeHost(),
	}
	for _, k := range relay.NoticeKinds() {
		p.Kinds = append(p.Kinds, templates.NoticeChoice{Kind: k, Words: noticeWords[k], Mail: slices.Contains(n.Mail, k), Service: slices.Contains(n.Service, k), Always: k == relay.NoticeRecovered})
	}
	return page(c, "notices", p)
}

// ChooseNotices handles POST /notices {"mail", "service"}: the kinds that go each way.
func (s *Server) ChooseNotices(c *gin.Context) error {
	var f struct {
		Mail    []string `json:"mail"`
		Service []string `json:"service"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	if err := s.db.ChooseNotices(c.Request.Context(), member(c).ID, f.Mail, f.Service, s.now()); err != nil {
		return err
	}
	return follow(c, "/notices")
}

// SetNoticeService handles POST /notices/service {"url"}. The address is sealed at once and never
// shown again; an empty one takes the service away.
func (s *Server) SetNoticeService(c *gin.Context) error {
	var f struct {
		URL string `json:"url"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	var scheme, host string
	address := strings.TrimSpace(f.URL)
	if address != "" {
		var err error
		if scheme, host, err = relay.ParseService(address, s.noticeHosts); err != nil {
			return err
		}
	}
	if err := s.db.SetNoticeService(c.Request.Context(), member(c).ID, address, scheme, host, s.now()); err != nil {
		return err
	}
	return follow(c, "/notices")
}

// TestNotice handles POST /notices/test: a notice that says only that it is a test is sent, and
// the page tells how that went.
func (s *Server) TestNotice(c *gin.Context) error {
	if err := s.db.TryNotice(c.Request.Context(), member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/notices")
}

// NoticeState serves GET /notices/state: how the newest notice to the member's service went.
func (s *Server) NoticeState(c *gin.Context) error {
	n, err := s.db.Notices(c.Request.Context(), member(c).ID)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"state": n.State})
	return nil
}
