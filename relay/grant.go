package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gowebpki/jcs"
	"golang.org/x/text/unicode/norm"
)

// Grant is what an approval allows. Its canonical form (RFC 8785) is what a passkey signs.
// All times are RFC 3339 in UTC with seconds; all numbers are below 2^53.
type Grant struct {
	V          int             `json:"v"`        // 1
	Type       string          `json:"typ"`      // [TypeGrant], or [TypeCompelled]
	Nonce      string          `json:"nonce"`    // 32 random bytes, base64url: keeps the challenge unpredictable
	Relay      string          `json:"relay"`    // host of the relay
	GrantID    string          `json:"grant_id"` //
	Basis      string          `json:"basis"`    // "consent", or "compelled"
	Request    GrantRequest    `json:"request"`
	By         GrantBy         `json:"by"`
	DecidedAt  string          `json:"decided_at"`
	Scope      GrantScope      `json:"scope"`
	Source     GrantSource     `json:"source"`
	Redaction  GrantRedaction  `json:"redaction"`
	Outputs    []GrantOutput   `json:"outputs"`
	Access     GrantAccess     `json:"access"`
	Conditions GrantConditions `json:"conditions"`
	Quorum     *GrantQuorum    `json:"quorum"`          // null when one passkey is enough
	Order      *GrantOrder     `json:"order,omitempty"` // what compelled it; absent from consent
	UI         GrantUI         `json:"ui"`
	Supersedes *string         `json:"supersedes"` // grant id, or null
}

// The types of the document that a passkey signs. What a court compels is never a grant.
const (
	TypeGrant     = "cliplease.grant"
	TypeCompelled = "cliplease.compelled"
)

// GrantOrder is what the agency says that compels the home.
type GrantOrder struct {
	Kind           string `json:"kind"`
	Citation       string `json:"citation"`
	DocumentSHA256 string `json:"document_sha256"`
	Served         string `json:"served"` // date, or ""
}

// Record returns the type and basis of the document that answers a request on legal basis b,
// and the order that it names: consent, unless b compels.
func (b LegalBasis) Record() (typ, basis string, order *GrantOrder) {
	if !b.Compulsory {
		return TypeGrant, "consent", nil
	}
	return TypeCompelled, "compelled", &GrantOrder{string(b.Kind), b.Citation, b.DocumentSHA256, b.Served}
}

// records reports whether g is the kind of document that answers a request on legal basis b.
func (g Grant) records(b LegalBasis) bool {
	typ, basis, order := b.Record()
	return g.V == 1 && g.Type == typ && g.Basis == basis && (g.Order == nil) == (order == nil) && (order == nil || *g.Order == *order)
}

// GrantRequest ties a grant to the agency's signed request.
type GrantRequest struct {
	SHA256  string `json:"sha256"` // of the raw token
	Agency  string `json:"agency"`
	Case    string `json:"case"`
	Purpose string `json:"purpose_code"`
}

// GrantBy is who signs, and signs first where several have to.
type GrantBy struct {
	Member     string `json:"member"`
	Role       string `json:"role"`
	Credential string `json:"credential"` // base64url of the credential id; set when the ceremony names one, else empty
}

// GrantScope is which footage is released.
type GrantScope struct {
	Camera   string   `json:"camera"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	Narrowed bool     `json:"narrowed"` // shorter than the agency asked
	Streams  []string `json:"streams"`
	Audio    bool     `json:"audio"`
}

// GrantSource commits to the original without letting others match files with it.
type GrantSource struct {
	Commit string `json:"commit"` // hex HMAC-SHA256(salt, SHA-256 of the original)
}

// GrantRedaction is how the copies were redacted.
type GrantRedaction struct {
	Profile     string      `json:"profile"`      // "faces+plates-blur-v1"
	StaticMasks string      `json:"static_masks"` // of the camera's masks when the copies were made; see [HashMasks]
	ManualBoxes string      `json:"manual_boxes"` // SHA-256 of the edits as canonical JSON
	Exceptions  []Exception `json:"exceptions"`   // what is left visible, and why; mostly empty
}

// GrantOutput is one release copy: the exact file that one recipient may have.
type GrantOutput struct {
	Recipient  string `json:"recipient"` // copy id
	Kind       string `json:"kind"`
	AddrCommit string `json:"addr_commit"` // hex HMAC-SHA256(salt of the clip, address or key id)
	Display    string `json:"display"`     // masked address, or the start of the key id
	FileSHA256 string `json:"file_sha256"`
	Bytes      int64  `json:"bytes"`
}

// GrantAccess is for how long and how often.
type GrantAccess struct {
	NotBefore string `json:"not_before"`
	Expires   string `json:"expires"`
	MaxViews  int    `json:"max_views"`
	Download  bool   `json:"download"`
}

// GrantConditions is what the recipient is held to. Software cannot enforce these.
type GrantConditions struct {
	Use           string `json:"use"`
	Onward        string `json:"onward"`
	RetainDays    int    `json:"retain_days"`
	DestroyAttest bool   `json:"destroy_attest"`
}

// GrantUI says what the member was shown.
type GrantUI struct {
	Template       string `json:"template"`
	TemplateSHA256 string `json:"template_sha256"`
	Lang           string `json:"lang"`
	App            string `json:"app"`
}

// Canonical returns g as canonical JSON. Strings are brought to NFC first, since RFC 8785
// leaves them as they are.
func (g Grant) Canonical() ([]byte, error) {
	raw, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return jcs.Transform(norm.NFC.Bytes(raw))
}

// GrantChallenge is what the passkey signs: SHA-256 of a fixed label, a zero byte and the
// canonical grant.
func GrantChallenge(canonical []byte) []byte {
	sum := sha256.Sum256(append([]byte("cliplease-grant-v1\x00"), canonical...))
	return sum[:]
}

// GrantHash names a grant: the hex form of its challenge.
func GrantHash(canonical []byte) string { return hex.EncodeToString(GrantChallenge(canonical)) }

// CanonicalHash is the hex SHA-256 of v as canonical JSON, for the parts of a grant that are
// named by digest.
func CanonicalHash(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if raw, err = jcs.Transform(raw); err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// Covers says why g is not a grant of exactly the release rel for request r, or nil: same
// request, same copies with the same bytes, access no wider than the draft, and the quorum
// that the request and the grant show to be needed.
func (g Grant) Covers(rel Release, r Request) error {
	wrong := func(what string) error {
		return fmt.Errorf("the grant names another %s than the one under review: %w", what, ErrPolicy)
	}
	switch {
	case !g.records(r.Claims.LegalBasis):
		return wrong("kind of document")
	case g.Request.SHA256 != r.SHA256 || g.Request.Agency != r.AgencyID:
		return wrong("request")
	case g.Scope.From != Stamp(rel.Draft.From) || g.Scope.To != Stamp(rel.Draft.To):
		return wrong("window")
	case g.Scope.Audio:
		return wrong("sound")
	case g.Access.Expires != Stamp(rel.Draft.Expires) || g.Access.MaxViews != rel.Draft.MaxViews || g.Access.Download != rel.Draft.Download:
		return wrong("access")
	case len(g.Outputs) != len(rel.Copies):
		return wrong("number of copies")
	}
	for _, c := range rel.Copies {
		if !slices.ContainsFunc(g.Outputs, func(o GrantOutput) bool {
			return o.Recipient == c.ID && o.Kind == string(c.Recipient.Kind) && o.FileSHA256 == c.SHA256 && o.Bytes == c.Bytes && c.SHA256 != ""
		}) {
			return wrong("file")
		}
	}
	if _, made, err := rel.MadeWith(); err != nil {
		return err
	} else if g.Redaction.StaticMasks != made {
		return wrong("set of masks")
	}
	if open, err := rel.Exceptions(); err != nil || !slices.Equal(g.Redaction.Exceptions, open) {
		return errors.Join(err, wrong("list of what is left visible"))
	}
	if err := g.checkExceptions(rel.Draft.To.Sub(rel.Draft.From)); err != nil {
		return fmt.Errorf("%w: %w", err, ErrPolicy)
	}
	if err := g.checkQuorum(r.Claims, rel.Draft.To.Sub(rel.Draft.From)); err != nil {
		return fmt.Errorf("%w: %w", err, ErrPolicy)
	}
	return nil
}
