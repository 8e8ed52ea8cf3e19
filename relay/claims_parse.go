package relay

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/unicode/norm"
)

// Call is what every token of an agency says besides its business. It is checked before
// anything else in it is.
type Call struct {
	Issuer   string `json:"iss"` // the agency's id; equals the key's agency
	Audience string `json:"aud"` // this relay's API, one string
	IssuedAt int64  `json:"iat"` // seconds since 1970, UTC
	Expires  int64  `json:"exp"` // seconds since 1970, UTC
	TokenID  string `json:"jti"` // 22 to 64 base64url characters, at least 128 random bits
	Version  string `json:"ver"` // "1"
}

// PollClaims asks how the agency's own requests stand.
type PollClaims struct {
	Call
	RequestIDs []string `json:"request_ids"` // 1 to 20, each once
}

// WithdrawClaims takes a request back.
type WithdrawClaims struct {
	Call
	RequestID string `json:"request_id"`
}

// OpenClaims opens a release for the key that signs it.
type OpenClaims struct {
	Call
	ReleaseID string `json:"release_id"`
}

// DestroyedClaims attests that the agency destroyed its copies of a release.
type DestroyedClaims struct {
	Call
	ReleaseID   string    `json:"release_id"`
	DestroyedAt time.Time `json:"destroyed_at"` // RFC 3339 Z
	Statement   string    `json:"statement"`    // 1 to 500 characters: how, and by whom
}

// AcknowledgeClaims confirm that the agency has the relay's signed notice of the end of a release.
type AcknowledgeClaims struct {
	Call
	ReleaseID    string `json:"release_id"`
	NoticeSHA256 string `json:"notice_sha256"` // hex; of the compact notice as a poll gave it
}

// RotateClaims brings an agency's new key. Proof is a token of its own, signed by the new
// key over [KeyProof]: nobody pins a key that they do not hold.
type RotateClaims struct {
	Call
	JWK   jsontext.Value `json:"jwk"`
	Proof string         `json:"proof"`
}

// KeyProof is the payload of the token that proves possession of a new key.
type KeyProof struct {
	Issuer   string `json:"iss"` // as in the token around it
	Audience string `json:"aud"`
	TokenID  string `json:"jti"`
}

// Expected is what the relay holds against a token: who signed it, for whom it must be, and
// when.
type Expected struct {
	Agency   Agency
	Keys     []AgencyKey   // the agency's, for recipients that are named by key
	Audience string        // the only one
	Now      time.Time     //
	MaxLife  time.Duration // of the token, exp - iat
}

// Leeway is by how much an agency's clock may differ from the relay's.
const Leeway = 30 * time.Second

// Limits of what a request may say. Lengths are in characters.
const (
	PurposeMin       = 20
	PurposeMax       = 1000
	CitationMax      = 300
	CaseRefMax       = 80
	HandleMax        = 64
	NameMax          = 120
	StatementMax     = 500
	SystemMax        = 80
	ListMax          = 20 // onward recipients, systems
	RecipientsMax    = 8
	RetentionMaxDays = 3650
	PollMax          = 20             // ids in one poll
	WindowMax        = 24 * time.Hour // scope, from first to last
	RespondMin       = 24 * time.Hour // respond_by, after iat
	RespondMax       = 30 * 24 * time.Hour
	UrgentMin        = time.Hour // respond_by of the lane exigent
	UrgentMax        = 72 * time.Hour
)

var (
	tokenID  = regexp.MustCompile(`\A[A-Za-z0-9_-]{22,64}\z`)
	objectID = regexp.MustCompile(`\A[a-z0-9]{16,64}\z`)
	digest   = regexp.MustCompile(`\A[0-9a-f]{64}\z`)
	mailbox  = regexp.MustCompile(`\A[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\z`)
	phone    = regexp.MustCompile(`\A\+?[0-9][0-9 ()./-]{2,38}\z`)
)

// ParseClaims reads the payload of a request and checks it against what the relay expects
// and against itself. Its errors are [InvalidError] that name the first claim that is wrong;
// they depend on the payload, the agency's own record and the time, and on nothing of the home.
func ParseClaims(payload []byte, e Expected) (Claims, error) {
	c, err := parseCall(payload, e, func(c Claims) Call {
		return Call{c.Issuer, c.Audience, c.IssuedAt, c.Expires, c.TokenID, c.Version}
	})
	if err != nil {
		return Claims{}, err
	}
	return c, c.check(e)
}

// ParsePoll is [ParseClaims] for a poll.
func ParsePoll(payload []byte, e Expected) (PollClaims, error) {
	c, err := parseCall(payload, e, func(c PollClaims) Call { return c.Call })
	if err != nil {
		return c, err
	}
	if n := len(c.RequestIDs); n < 1 || n > PollMax {
		return c, Invalid("request_ids", "Ask for 1 to %d requests at once.", PollMax)
	}
	for i, id := range c.RequestIDs {
		if !objectID.MatchString(id) || slices.Contains(c.RequestIDs[:i], id) {
			return c, Invalid(fmt.Sprintf("request_ids.%d", i), "This is no request id as a receipt gives it, or it stands in the list twice.")
		}
	}
	return c, nil
}

// ParseWithdraw is [ParseClaims] for a withdrawal.
func ParseWithdraw(payload []byte, e Expected) (WithdrawClaims, error) {
	c, err := parseCall(payload, e, func(c WithdrawClaims) Call { return c.Call })
	if err == nil && !objectID.MatchString(c.RequestID) {
		err = Invalid("request_id", "This is no request id as a receipt gives it.")
	}
	return c, err
}

// ParseOpen is [ParseClaims] for opening a release.
func ParseOpen(payload []byte, e Expected) (OpenClaims, error) {
	c, err := parseCall(payload, e, func(c OpenClaims) Call { return c.Call })
	if err == nil && !objectID.MatchString(c.ReleaseID) {
		err = Invalid("release_id", "This is no release id as a poll gives it.")
	}
	return c, err
}

// ParseDestroyed is [ParseClaims] for an attestation of destruction.
func ParseDestroyed(payload []byte, e Expected) (DestroyedClaims, error) {
	c, err := parseCall(payload, e, func(c DestroyedClaims) Call { return c.Call })
	switch {
	case err != nil:
	case !objectID.MatchString(c.ReleaseID):
		err = Invalid("release_id", "This is no release id as a poll gives it.")
	case c.DestroyedAt.After(e.Now.Add(Leeway)):
		err = Invalid("destroyed_at", "This lies in the future; attest it once it is done.")
	case !length(c.Statement, 1, StatementMax):
		err = Invalid("statement", "Say in 1 to %d characters how the copies were destroyed.", StatementMax)
	}
	return c, err
}

// ParseAcknowledge is [ParseClaims] for the acknowledgement of an end.
func ParseAcknowledge(payload []byte, e Expected) (AcknowledgeClaims, error) {
	c, err := parseCall(payload, e, func(c AcknowledgeClaims) Call { return c.Call })
	switch {
	case err != nil:
	case !objectID.MatchString(c.ReleaseID):
		err = Invalid("release_id", "This is no release id as a notice gives it.")
	case !digest.MatchString(c.NoticeSHA256):
		err = Invalid("notice_sha256", "This is the SHA-256 of the notice as the poll gave it, in 64 hex digits.")
	}
	return c, err
}

// ParseRotate is [ParseClaims] for a new key, which it returns. Its proof is still to be
// checked.
func ParseRotate(payload []byte, e Expected) (RotateClaims, PublicKey, error) {
	c, err := parseCall(payload, e, func(c RotateClaims) Call { return c.Call })
	if err != nil {
		return c, PublicKey{}, err
	}
	key, err := ParseJWK(c.JWK)
	return c, key, err
}

// parseCall reads a payload strictly and checks what every token says.
func parseCall[T any](payload []byte, e Expected, call func(T) Call) (T, error) {
	var c T
	if err := decode(payload, &c); err != nil {
		return c, err
	}
	k := call(c)
	life := time.Duration(k.Expires-k.IssuedAt) * time.Second
	switch {
	case k.Issuer != e.Agency.ID:
		return c, Invalid("iss", "The key that signed this is not one of the agency that iss names.")
	case k.Audience != e.Audience:
		return c, Invalid("aud", "aud is one string, and for this relay it is %q.", e.Audience)
	case k.IssuedAt < 0 || k.IssuedAt > maxUnix:
		return c, Invalid("iat", "iat is a time in seconds since 1970.")
	case k.Expires < 0 || k.Expires > maxUnix || life <= 0 || life > e.MaxLife:
		return c, Invalid("exp", "exp lies after iat, by at most %d seconds.", int(e.MaxLife.Seconds()))
	case e.Now.Before(time.Unix(k.IssuedAt, 0).Add(-Leeway)):
		return c, Invalid("iat", "This was issued in the future; set the clock.")
	case !e.Now.Before(time.Unix(k.Expires, 0).Add(Leeway)):
		return c, Invalid("exp", "This has expired; sign a new one, and look whether the clock is right.")
	case !tokenID.MatchString(k.TokenID):
		return c, Invalid("jti", "jti is 22 to 64 base64url characters, made from at least 128 random bits for each token.")
	case k.Version != "1":
		return c, Invalid("ver", `ver is "1".`)
	}
	return c, nil
}

// maxUnix keeps times where all arithmetic with them is exact: the year 9999.
const maxUnix = 253402300799

// decode reads JSON into v so that there is only one way to read it: no member twice or in
// other letters, none unknown, none missing, no null for a value, no bytes that are not
// UTF-8, nothing behind the end, times in one form, and text without characters that hide.
func decode(payload []byte, v any) error {
	moments := json.UnmarshalFunc(func(raw []byte, t *time.Time) error {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		parsed, err := time.Parse("2006-01-02T15:04:05Z", s)
		if err != nil || Stamp(parsed) != s {
			return errMoment
		}
		*t = parsed
		return nil
	})
	if err := json.Unmarshal(payload, v, json.RejectUnknownMembers(true), json.WithUnmarshalers(moments)); err != nil {
		return explain(err)
	}
	if err := present(payload, reflect.TypeOf(v).Elem(), ""); err != nil {
		return err
	}
	return clean(reflect.ValueOf(v).Elem(), "")
}

var errMoment = errors.New("no moment")

// explain turns an error of the decoder into one that names the claim.
func explain(err error) error {
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, errMoment) && errors.As(err, &semantic):
		return Invalid(dotted(semantic.JSONPointer), "Write the time as 2006-01-02T15:04:05Z: UTC, whole seconds.")
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return Invalid(dotted(semantic.JSONPointer), "There is no such member; members are named exactly as in the API's description.")
	case errors.As(err, &semantic):
		return Invalid(dotted(semantic.JSONPointer), "This has the wrong type: it should be %s.", kindOf(semantic.GoType))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return Invalid(dotted(syntax.JSONPointer), "This member stands twice.")
	case errors.As(err, &syntax):
		return Invalid(dotted(syntax.JSONPointer), "The payload is no valid JSON in UTF-8.")
	}
	return Invalid("", "The payload is no valid JSON object.")
}

// dotted is a JSON pointer as we write claims: "scope.from". A name that a stranger chose is
// cut short and stripped of what could hide.
func dotted(p jsontext.Pointer) string {
	var parts []string
	for name := range p.Tokens() {
		name = strings.Map(func(r rune) rune {
			if r > unicode.MaxASCII || !unicode.IsPrint(r) {
				return '?'
			}
			return r
		}, name)
		parts = append(parts, name[:min(len(name), 40)])
	}
	return strings.Join(parts[:min(len(parts), 6)], ".")
}

func kindOf(t reflect.Type) string {
	if t == nil {
		return "what the API's description says"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Pointer:
		return kindOf(t.Elem()) + " or null"
	default:
	}
	if t == reflect.TypeFor[time.Time]() {
		return "a time such as 2006-01-02T15:04:05Z"
	}
	return "an object"
}

// present says which member of t is missing or null in raw. A pointer may be null, and what
// is marked omitempty may be missing.
func present(raw jsontext.Value, t reflect.Type, path string) error {
	switch {
	case t.Kind() == reflect.Slice && t != reflect.TypeFor[jsontext.Value]():
		var items []jsontext.Value
		if err := json.Unmarshal(raw, &items); err != nil {
			return explain(err)
		}
		for i, item := range items {
			at := fmt.Sprintf("%s.%d", path, i)
			if item.Kind() == 'n' {
				return Invalid(at, "This is null, and may not be.")
			}
			if err := present(item, t.Elem(), at); err != nil {
				return err
			}
		}
		return nil
	case t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]():
		return nil
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(raw, &members); err != nil {
		return explain(err)
	}
	return presentIn(members, t, path)
}

func presentIn(members map[string]jsontext.Value, t reflect.Type, path string) error {
	if path != "" {
		path += "."
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			if err := presentIn(members, f.Type, ""); err != nil {
				return err
			}
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		value, there := members[name]
		switch {
		case f.Type.Kind() == reflect.Pointer:
		case !there && option == "omitempty":
		case !there:
			return Invalid(path+name, "This is missing.")
		case value.Kind() == 'n':
			return Invalid(path+name, "This is null, and may not be.")
		default:
			if err := present(value, f.Type, path+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// clean says which text holds characters that are invisible, turn the reading direction, or
// can be written in two ways.
func clean(v reflect.Value, path string) error {
	switch {
	case v.Kind() == reflect.String:
		s := v.String()
		if !norm.NFC.IsNormalString(s) {
			return Invalid(path, "Write this text in the Unicode form NFC.")
		}
		if strings.ContainsFunc(s, hides) {
			return Invalid(path, "This text holds a control character or one that turns the reading direction.")
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return clean(v.Elem(), path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		for i := range v.Len() {
			if err := clean(v.Index(i), fmt.Sprintf("%s.%d", path, i)); err != nil {
				return err
			}
		}
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			f := v.Type().Field(i)
			at, name := path, strings.Split(f.Tag.Get("json"), ",")[0]
			if at != "" && name != "" {
				at += "."
			}
			if err := clean(v.Field(i), at+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// hides reports whether r is a character that a reader would not see: controls, line and
// paragraph separators, those that turn the direction, and those that only take no room.
func hides(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029', r == '\u061C', r == '\uFEFF', r == utf8.RuneError:
		return true
	case r == '\u200B', r == '\u200E', r == '\u200F', r >= '\u202A' && r <= '\u202E', r >= '\u2060' && r <= '\u2069':
		return true // U+200C and U+200D stay: some scripts cannot be written without them
	}
	return false
}

// length reports whether s has from least to most characters and begins and ends with one
// that can be seen.
func length(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && s == strings.TrimSpace(s)
}
