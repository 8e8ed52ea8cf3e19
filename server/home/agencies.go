package home

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// verification is how long a person's check of an agency counts.
const verification = 365 * 24 * time.Hour

// Agencies serves GET /agencies.
func (s *Server) Agencies(c *gin.Context) error {
	ctx := c.Request.Context()
	all, err := s.db.Agencies(ctx)
	if err != nil {
		return err
	}
	zone := s.zone(ctx)
	p := templates.Agencies{Layout: s.layout(c, "agencies", "Agencies")}
	for _, l := range relay.Levels() {
		p.Levels = append(p.Levels, string(l))
	}
	for _, a := range all {
		row := templates.AgencyRow{
			ID: a.ID, Name: a.Name, Level: level(a.Level), Jurisdiction: a.Jurisdiction, Domains: a.Domains, Phone: a.Phone, Complaints: a.Complaints,
			VerifiedHow: a.VerifiedHow, Until: in(a.VerifiedUntil, zone), Suspended: a.Status == relay.AgencySuspended,
		}
		row.Verified, row.Tone = verified(templates.Spoken(ctx), a, s.now(), zone)
		if row.VerifiedBy, err = s.memberName(ctx, a.VerifiedBy); err != nil {
			return err
		}
		keys, err := s.db.AgencyKeys(ctx, a.ID)
		if err != nil {
			return err
		}
		for _, k := range keys {
			words, err := relay.CheckWords(k.KID, 8)
			if err != nil {
				return err
			}
			row.Keys = append(row.Keys, templates.AgencyKey{KID: k.KID, Alg: k.Alg, Words: words, Status: keyStatus(k.Status), Until: k.NotAfter.In(zone), Active: k.Status == relay.KeyActive, From: k.NotBefore.In(zone), Waits: s.now().Before(k.NotBefore)})
		}
		p.Agencies = append(p.Agencies, row)
	}
	p.Form.ID = "urn:cliplease:agency:"
	open, err := s.db.AgencyInvitations(ctx, s.now())
	if err != nil {
		return err
	}
	for _, v := range open {
		row := templates.AgencyInvitation{ID: v.ID(), Name: v.Name, Until: v.ExpiresAt.In(zone), Offered: in(v.OfferedAt, zone), Agency: v.Offer.Name}
		if row.By, err = s.memberName(ctx, v.InvitedBy); err != nil {
			return err
		}
		p.Invitations = append(p.Invitations, row)
		if o := v.Offer; !v.OfferedAt.IsZero() && v.ID() == c.Query("offer") {
			p.Form = templates.AgencyForm{From: v.ID(), ID: o.ID, Name: o.Name, Level: string(o.Level), Jurisdiction: o.Jurisdiction, Domains: strings.Join(o.Domains, ", "), Complaints: o.Complaints, JWKS: o.JWKS}
		}
	}
	return page(c, "agencies", p)
}

// InviteAgency handles POST /agencies/invite {"name"}: it makes a link with which an agency hands
// over its name and keys. The link is shown once.
func (s *Server) InviteAgency(c *gin.Context) error {
	var f struct {
		Name string `json:"name"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	name := strings.TrimSpace(f.Name)
	if name == "" || len(name) > 200 {
		return relay.Invalid("name", "Write down whom you invite, in up to 200 characters.")
	}
	token := newToken()
	v := relay.AgencyInvitation{TokenHash: digest(token), Name: name, InvitedBy: member(c).ID, ExpiresAt: s.now().Add(relay.OfferLife)}
	if err := s.db.InviteAgency(c.Request.Context(), v, s.now()); err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"link": s.site.View + "/offer#" + token})
	return nil
}

// CloseAgencyInvitation handles POST /agency-invitations/:id/close: the home gives it up.
func (s *Server) CloseAgencyInvitation(c *gin.Context) error {
	if err := s.db.CloseAgencyInvitation(c.Request.Context(), c.Param("id"), member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/agencies")
}

// AddAgency handles POST /agencies. The first call answers with the eight words of each key
// and stores nothing; the call that says that the words were compared registers the agency.
func (s *Server) AddAgency(c *gin.Context) error {
	var f struct {
		ID           string   `json:"id"`
		Name         string   `json:"name"`
		Level        string   `json:"level"`
		Jurisdiction string   `json:"jurisdiction"`
		Domains      []string `json:"domains"`
		Phone        string   `json:"phone"`
		Complaints   string   `json:"complaints"`
		How          string   `json:"how"`
		JWKS         string   `json:"jwks"`
		Compared     bool     `json:"compared"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	now, m := s.now(), member(c)
	a := relay.Agency{
		ID: strings.TrimSpace(f.ID), Name: strings.TrimSpace(f.Name), Level: relay.Level(f.Level), Jurisdiction: strings.TrimSpace(f.Jurisdiction),
		Phone: strings.TrimSpace(f.Phone), Complaints: strings.TrimSpace(f.Complaints), Status: relay.AgencyActive,
		VerifiedBy: m.ID, VerifiedHow: strings.TrimSpace(f.How), VerifiedAt: now, VerifiedUntil: now.Add(verification), CreatedAt: now,
	}
	for _, d := range f.Domains {
		a.Domains = append(a.Domains, strings.ToLower(strings.TrimSpace(d)))
	}
	if err := a.Validate(); err != nil {
		return err
	}
	if a.Phone == "" || len(a.Phone) > 60 {
		return relay.Invalid("phone", "Give the number of the records office, and find it yourself: on a bill, on the city's own site, in the phone book.")
	}
	keys, err := relay.ParseJWKS([]byte(f.JWKS))
	if err != nil {
		return err
	}
	if !f.Compared {
		var words []gin.H
		for _, k := range keys {
			words = append(words, gin.H{"kid": k.KID, "alg": k.Alg, "words": k.Words()})
		}
		c.JSON(http.StatusOK, gin.H{"compare": words})
		return nil
	}
	if len(a.VerifiedHow) < 10 || len(a.VerifiedHow) > 500 {
		return relay.Invalid("how", "Say how you checked: whom you called, on which number, and where you found it.")
	}
	var pinned []relay.AgencyKey
	for _, k := range keys {
		pinned = append(pinned, k.Pin(a.ID, now, now.Add(2*verification)))
	}
	ctx := c.Request.Context()
	_, err = s.db.Agency(ctx, a.ID)
	switch {
	case errors.Is(err, relay.ErrNotFound):
		err = s.db.RegisterAgency(ctx, a, pinned, m.ID, now)
	case err == nil: // it is checked again, as it must be once a year
		err = s.db.RecheckAgency(ctx, a, pinned, m.ID, now)
	}
	if errors.Is(err, relay.ErrConflict) {
		return relay.Invalid("jwks", "One of these keys was registered before: it is another agency's, or it was retired or stolen. Ask the agency for new ones.")
	}
	if err != nil {
		return err
	}
	return follow(c, "/agencies")
}

// SetKeyStatus handles POST /agencies/:id/keys/:kid/status {"status"}: a key is no longer used, or
// was stolen.
func (s *Server) SetKeyStatus(c *gin.Context) error {
	var f struct {
		Status string `json:"status"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	status := relay.KeyStatus(f.Status)
	if status != relay.KeyRetired && status != relay.KeyCompromised {
		return relay.Invalid("status", "A key is retired, or it was stolen.")
	}
	k, err := s.db.AgencyKey(c.Request.Context(), c.Param("kid"))
	if err != nil {
		return err
	}
	if k.AgencyID != c.Param("id") {
		return relay.ErrNotFound
	}
	if err := s.db.SetKeyStatus(c.Request.Context(), k.KID, status, member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/agencies")
}

// SetAgencyStatus handles POST /agencies/:id/status {"status"}.
func (s *Server) SetAgencyStatus(c *gin.Context) error {
	var f struct {
		Status string `json:"status"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	status := relay.AgencyStatus(f.Status)
	if status != relay.AgencyActive && status != relay.AgencySuspended {
		return relay.Invalid("status", "An agency is active or suspended.")
	}
	if err := s.db.SetAgencyStatus(c.Request.Context(), c.Param("id"), status, member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/agencies")
}

func keyStatus(s relay.KeyStatus) string {
	switch s {
	case relay.KeyCompromised:
		return "stolen"
	case relay.KeyRetired:
		return "retired"
	default:
		return "in use"
	}
}
