package relay

import "time"

// Claims is the payload of an agency's signed request: who asks, why, for what, and what it
// will do with the footage. Members that are not named here are refused.
type Claims struct {
	Issuer     string         `json:"iss"`         // the agency's id; equals the key's agency
	Subject    string         `json:"sub"`         // the officer, as the agency says; not verified by the relay
	Audience   string         `json:"aud"`         // this relay's API, one string
	IssuedAt   int64          `json:"iat"`         // seconds since 1970, UTC
	Expires    int64          `json:"exp"`         // seconds since 1970, UTC
	TokenID    string         `json:"jti"`         // 22 to 64 base64url characters, at least 128 random bits
	Version    string         `json:"ver"`         // "1"
	Lane       Lane           `json:"lane"`        //
	Purpose    Purpose        `json:"purpose"`     //
	LegalBasis LegalBasis     `json:"legal_basis"` //
	Case       Case           `json:"case"`        //
	Scope      Scope          `json:"scope"`       //
	Retention  Retention      `json:"retention"`   //
	Onward     Onward         `json:"onward"`      //
	Recipients []RecipientAsk `json:"recipients"`  // 1 to 8
	Contact    Contact        `json:"contact"`     //
	RespondBy  time.Time      `json:"respond_by"`  // RFC 3339 Z
	Attest     string         `json:"attest"`      // id of the fixed text that the agency attests
	Amends     *string        `json:"amends"`      // SHA-256 (hex) of an earlier request of the same agency, or null
}

// Lane is the way a request takes: asked for, ordered by a court, or urgent.
type Lane string

// The lanes.
const (
	LaneVoluntary    Lane = "voluntary"
	LaneLegalProcess Lane = "legal_process"
	LaneExigent      Lane = "exigent"
)

// Purpose is what the agency will use the footage for.
type Purpose struct {
	Code PurposeCode `json:"code"`
	Text string      `json:"text"` // 20 to 1,000 characters, in the agency's own words
}

// PurposeCode is one of a closed list of purposes.
type PurposeCode string

// The purposes.
const (
	PurposeBurglary         PurposeCode = "burglary"
	PurposeRobbery          PurposeCode = "robbery"
	PurposeTheft            PurposeCode = "theft"
	PurposeVehicleTheft     PurposeCode = "vehicle_theft"
	PurposeAssault          PurposeCode = "assault"
	PurposeHomicide         PurposeCode = "homicide"
	PurposeSexualOffence    PurposeCode = "sexual_offence"
	PurposeHitAndRun        PurposeCode = "hit_and_run"
	PurposeTrafficCollision PurposeCode = "traffic_collision"
	PurposeVandalism        PurposeCode = "vandalism"
	PurposeArson            PurposeCode = "arson"
	PurposeMissingPerson    PurposeCode = "missing_person"
	PurposeFraud            PurposeCode = "fraud"
	PurposeInsuranceClaim   PurposeCode = "insurance_claim"
	PurposeImmigration      PurposeCode = "immigration_civil"
	PurposeOther            PurposeCode = "other"
)

// Purposes lists every [PurposeCode].
func Purposes() []PurposeCode {
	return []PurposeCode{
		PurposeBurglary, PurposeRobbery, PurposeTheft, PurposeVehicleTheft, PurposeAssault, PurposeHomicide,
		PurposeSexualOffence, PurposeHitAndRun, PurposeTrafficCollision, PurposeVandalism, PurposeArson,
		PurposeMissingPerson, PurposeFraud, PurposeInsuranceClaim, PurposeImmigration, PurposeOther,
	}
}

// BasisKind is why giving the footage would be lawful.
type BasisKind string

// The legal bases.
const (
	BasisVoluntary  BasisKind = "voluntary"
	BasisWarrant    BasisKind = "warrant"
	BasisSubpoena   BasisKind = "subpoena"
	BasisCourtOrder BasisKind = "court_order"
	BasisStatute    BasisKind = "statute"
	BasisExigent    BasisKind = "exigent"
)

// LegalBasis is what the agency rests its request on.
type LegalBasis struct {
	Kind           BasisKind `json:"kind"`
	Citation       string    `json:"citation"`                  // at most 300 characters
	DocumentSHA256 string    `json:"document_sha256,omitempty"` // hex; of the court's document
	Served         string    `json:"served,omitempty"`          // date, 2006-01-02
	Compulsory     bool      `json:"compulsory"`                // only in the lane legal_process, with a document
}

// Case is the agency's own reference.
type Case struct {
	Ref    string `json:"ref"`    // 1 to 80 characters
	Opened string `json:"opened"` // date, 2006-01-02
}

// Scope is which footage is asked for.
type Scope struct {
	Target      Target    `json:"target"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	MaxDuration int       `json:"max_duration_s"` // seconds of footage that the agency needs at most
	Streams     []string  `json:"streams"`        // ["video"]
	Faces       string    `json:"faces"`          // "redacted" or "unredacted_requested"
	Audio       bool      `json:"audio"`
}

// Target is the camera that is asked for, by its handle. A handle that no camera has is
// treated like any other: what the relay holds must not show.
type Target struct {
	Handle string `json:"handle"` // 1 to 64 characters
}

// Retention is how long the agency says it keeps the clip.
type Retention struct {
	Days      int    `json:"days"`    // 1 to 3650
	Trigger   string `json:"trigger"` // "none" or "case_close"
	Statement string `json:"statement"`
}

// Onward is with whom the agency says it will share the clip.
type Onward struct {
	Policy      string   `json:"policy"` // "none", "listed" or "law_only"
	Recipients  []string `json:"recipients"`
	Federal     bool     `json:"federal"`
	Immigration bool     `json:"immigration"`
	Systems     []string `json:"systems"` // evidence systems it will be put into
	Statement   string   `json:"statement"`
}

// RecipientAsk names one recipient: a person by mailbox, or a system by its key.
type RecipientAsk struct {
	Kind RecipientKind `json:"kind"`
	Addr string        `json:"addr,omitempty"` // kind email; in one of the agency's domains
	Name string        `json:"name,omitempty"` // kind email
	KID  string        `json:"kid,omitempty"`  // kind key; a key of the same agency
}

// RecipientKind says how a recipient proves who it is.
type RecipientKind string

// The kinds of recipient.
const (
	RecipientEmail RecipientKind = "email" // a code sent to the mailbox
	RecipientKey   RecipientKind = "key"   // a signature by the agency's key
)

// Contact is the person whom the homeowner may call.
type Contact struct {
	Name     string `json:"name"`
	Phone    string `json:"phone"`
	Callback string `json:"callback"` // "registered": call the number on record, not this one
}

// AttestText is what an agency attests with every request, by [AttestID].
const AttestText = "I attest that this request is made in the course of the named case, that what it says about purpose, " +
	"legal basis, retention and onward sharing is true, and that the footage will be used for nothing else."

// AttestID names [AttestText].
const AttestID = "cliplease-attest-1"
