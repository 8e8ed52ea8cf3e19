package relay

import (
	"strings"
	"time"
)

// OfferLife is how long an agency has to answer an invitation, and the home to register it.
const OfferLife = 14 * 24 * time.Hour

// AgencyOffer is what an agency hands over when the homeowner has invited it. It registers
// nothing: the homeowner finds the records office's number elsewhere, calls, and compares.
type AgencyOffer struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Level        Level    `json:"level"`
	Jurisdiction string   `json:"jurisdiction"`
	Domains      []string `json:"domains"`
	Complaints   string   `json:"complaints"`
	JWKS         string   `json:"jwks"`
}

// Clean returns o with blanks taken off and domains in small letters, or says what is wrong.
func (o AgencyOffer) Clean() (AgencyOffer, error) {
	for _, s := range []*string{&o.ID, &o.Name, &o.Jurisdiction, &o.Complaints, &o.JWKS} {
		*s = strings.TrimSpace(*s)
	}
	domains := make([]string, len(o.Domains))
	for i, d := range o.Domains {
		domains[i] = strings.ToLower(strings.TrimSpace(d))
	}
	o.Domains = domains
	if err := (Agency{ID: o.ID, Name: o.Name, Level: o.Level, Domains: o.Domains}).Validate(); err != nil {
		return o, err
	}
	switch {
	case len(o.Jurisdiction) > 200:
		return o, Invalid("jurisdiction", "Say in at most 200 characters where the agency is in charge.")
	case len(o.Complaints) > 300:
		return o, Invalid("complaints", "Say in at most 300 characters where to complain.")
	}
	if _, err := ParseJWKS([]byte(o.JWKS)); err != nil {
		return o, err
	}
	return o, nil
}

// AgencyInvitation asks one agency to hand over its name and keys.
type AgencyInvitation struct {
	TokenHash string // hex SHA-256 of the token in the link
	Name      string // whom the home means
	InvitedBy string
	ExpiresAt time.Time
	Offer     AgencyOffer // what it handed over
	OfferedAt time.Time   // zero while it has not
}

// ID names the invitation on the home's pages.
func (v AgencyInvitation) ID() string { return v.TokenHash[:16] }
