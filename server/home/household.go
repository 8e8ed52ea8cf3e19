package home

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// invitationLife is how long a link to join works.
const invitationLife = 48 * time.Hour

// Household serves GET /household: who belongs to the home, and the member's own passkeys
// and browsers.
func (s *Server) Household(c *gin.Context) error {
	ctx, me := c.Request.Context(), member(c)
	members, err := s.db.Members(ctx)
	if err != nil {
		return err
	}
	zone := s.zone(ctx)
	p := templates.Household{Layout: s.layout(c, "household", "Household"), Zone: me.Zone, HomeZone: s.homeZone(ctx).String()}
	for _, r := range relay.Roles() {
		p.Roles = append(p.Roles, templates.RoleChoice{Role: string(r), Means: roleMeans(r)})
	}
	for _, m := range members {
		p.Members = append(p.Members, templates.MemberRow{
			ID: m.ID, Name: m.Name, Email: m.Email, Role: roleWord(m.Role), Means: roleMeans(m.Role), Joined: m.CreatedAt.In(zone), Me: m.ID == me.ID,
			CanRemove: me.Role.CanManage() && m.ID != me.ID,
		})
	}
	keys, err := s.db.Credentials(ctx, me.ID)
	if err != nil {
		return err
	}
	for _, k := range keys {
		p.Passkeys = append(p.Passkeys, templates.PasskeyRow{ID: k.ID, Name: k.Name, Added: k.CreatedAt.In(zone), Used: in(k.UsedAt, zone)})
	}
	if p.Codes, err = s.db.RecoveryCodes(ctx, me.ID); err != nil {
		return err
	}
	if p.Frozen, err = s.frozen(ctx); err != nil {
		return err
	}
	sessions, err := s.db.Sessions(ctx, me.ID)
	if err != nil {
		return err
	}
	for _, v := range sessions {
		if v.ExpiresAt.Before(s.now()) || s.now().Sub(v.SeenAt) > sessionIdle {
			continue
		}
		p.Sessions = append(p.Sessions, templates.SessionRow{ID: sessionID(v), Agent: v.Agent, Started: v.CreatedAt.In(zone), Seen: v.SeenAt.In(zone), This: v.TokenHash == session(c).TokenHash})
	}
	return page(c, "household", p)
}

// Invite handles POST /household/invite {"name", "email", "role"}. The link goes by mail,
// where there is an address, and is shown once.
func (s *Server) Invite(c *gin.Context) error {
	ctx, now, me := c.Request.Context(), s.now(), member(c)
	var f struct {
		Name  string `json:"name"`
		Email string `json:"email"`
		Role  string `json:"role"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	name, email, role := strings.TrimSpace(f.Name), strings.TrimSpace(f.Email), relay.Role(f.Role)
	if err := checkName(name); err != nil {
		return err
	}
	if email != "" {
		if err := checkEmail("email", email); err != nil {
			return err
		}
	}
	if !slices.Contains(relay.Roles(), role) {
		return relay.Invalid("role", "Choose what this person may do.")
	}
	token := newToken()
	link := s.site.Home + "/join#" + token
	until := now.Add(invitationLife)
	if err := s.db.Invite(ctx, storage.Invitation{TokenHash: digest(token), Role: role, Name: name, Email: email, InvitedBy: me.ID, ExpiresAt: until}, now); err != nil {
		return err
	}
	if email != "" {
		if err := s.db.QueueMail(ctx, storage.Mail{
			Kind: "invitation", Address: email, Data: map[string]string{"name": name, "by": me.Name, "role": string(role), "until": until.UTC().Format(time.RFC3339)},
			Secret: link, Subject: digest(token)[:16], ExpiresAt: until,
		}, now); err != nil {
			return err
		}
	}
	c.JSON(http.StatusOK, gin.H{"link": link, "mailed": email != ""})
	return nil
}

// RemoveMember handles POST /household/:id/remove: sessions and passkeys of that member end.
func (s *Server) RemoveMember(c *gin.Context) error {
	if c.Param("id") == member(c).ID {
		return relay.Invalid("", "You cannot remove yourself. Another homeowner can.")
	}
	if err := s.db.RemoveMember(c.Request.Context(), c.Param("id"), member(c).ID, s.now()); err != nil {
		return err
	}
	return follow(c, "/household")
}

// RenamePasskey handles POST /passkeys/:id/rename {"name"}.
func (s *Server) RenamePasskey(c *gin.Context) error {
	var f struct {
		Name string `json:"name"`
	}
	if err := form(c, &f); err != nil {
		return err
	}
	name := strings.TrimSpace(f.Name)
	if name == "" || utf8.RuneCountInString(name) > 60 || strings.ContainsAny(name, "\r\n\t\x00") {
		return relay.Invalid("name", "Give the passkey a name (up to 60 characters), such as My phone.")
	}
	if err := s.db.RenameCredential(c.Request.Context(), member(c).ID, c.Param("id"), name); err != nil {
		return err
	}
	return follow(c, "/household")
}

// RevokePasskey handles POST /passkeys/:id/revoke: it works no more, and the member's other
// browsers are signed out.
func (s *Server) RevokePasskey(c *gin.Context) error {
	if err := form(c, &struct{}{}); err != nil {
		return err
	}
	err := s.db.RevokeCredential(c.Request.Context(), member(c).ID, c.Param("id"), session(c).TokenHash, s.now())
	if errors.Is(err, relay.ErrPolicy) {
		return relay.Invalid("", "This is the last passkey of the last homeowner. Add another one first, or invite another homeowner.")
	}
	if err != nil {
		return err
	}
	return follow(c, "/household")
}
