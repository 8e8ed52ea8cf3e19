package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/go-json-experiment/json/jsontext"
)

// object is a piece of the description.
type object = map[string]any

// endpoint is one call with a signed token.
type endpoint struct {
	path, typ, id, summary, about string
	life                          time.Duration
	claims                        any // of the token
	code                          int
	answers                       any // nil: a receipt
	notFound                      bool
}

var endpoints = []endpoint{
	{"/a/v1/requests", token.Request, "fileRequest", "File a request",
		"The relay stores the request and answers at once with a signed receipt. What the home has, and what it decides, shows in no answer. The same token sent again brings the same receipt.",
		lifeLong, relay.Claims{}, 202, nil, false},
	{"/a/v1/requests/poll", token.Poll, "poll", "Ask how own requests stand",
		"pending until respond_by, unless something was released; closed from then on. A request id that is not the agency's own is answered like one that does not exist, and so is the whole poll.",
		lifeShort, relay.PollClaims{}, 200, standings{}, true},
	{"/a/v1/requests/withdraw", token.Withdraw, "withdraw", "Take a request back",
		"Ends a pending request. What was released already stays as it is.",
		lifeLong, relay.WithdrawClaims{}, 200, standings{}, true},
	{"/a/v1/releases/open", token.Open, "openRelease", "Open a release as a key recipient",
		"Signed by the key that the request named as a recipient. Counts one view and returns a session for GET /a/v1/releases/media.",
		lifeShort, relay.OpenClaims{}, 200, opening{}, true},
	{"/a/v1/releases/destroyed", token.Destroyed, "destroyed", "Attest that copies were destroyed",
		"The home sees it as the agency's statement.",
		lifeLong, relay.DestroyedClaims{}, 200, attested{}, true},
	{"/a/v1/releases/acknowledge", token.Acknowledge, "acknowledge", "Acknowledge the end of a release",
		"Says that the agency has the notice that a poll gave after a release ended. Access is over whether it is acknowledged or not. The first acknowledgement stays.",
		lifeLong, relay.AcknowledgeClaims{}, 200, acknowledged{}, true},
	{"/a/v1/keys/rotate", token.KeyRotate, "rotateKey", "Bring a new key",
		"Signed by a key in use. The new key may sign after 48 hours, unless the home objects. proof is a token of type " + token.KeyProof +
			", signed by the new key, whose payload has exactly iss, aud and jti of this one.",
		lifeLong, relay.RotateClaims{}, 202, rotation{}, false},
}

// about says of claims and answers what their types do not: the words of the API's
// description. Keys are a type's name and the member's dotted name.
var about = map[string]object{
	"Claims.iss":                         {"description": "The agency's id; the signing key must be one of its own."},
	"Claims.sub":                         {"description": "The officer or role, as the agency says; the relay shows it as not verified.", "minLength": 1, "maxLength": relay.NameMax},
	"Claims.iat":                         {"description": "Seconds since 1970."},
	"Claims.exp":                         {"description": "Seconds since 1970; at most 300 after iat."},
	"Claims.jti":                         {"description": "At least 128 random bits, new for each token.", "pattern": "^[A-Za-z0-9_-]{22,64}$"},
	"Claims.ver":                         {"const": "1"},
	"Claims.lane":                        {"enum": []relay.Lane{relay.LaneVoluntary, relay.LaneLegalProcess, relay.LaneExigent}},
	"Claims.purpose.code":                {"enum": relay.Purposes()},
	"Claims.purpose.text":                {"description": "What happened, and what the footage is for.", "minLength": relay.PurposeMin, "maxLength": relay.PurposeMax},
	"Claims.legal_basis.kind":            {"description": "voluntary or statute in the lane voluntary; warrant, subpoena, court_order or statute in legal_process; exigent in exigent.", "enum": []relay.BasisKind{relay.BasisVoluntary, relay.BasisWarrant, relay.BasisSubpoena, relay.BasisCourtOrder, relay.BasisStatute, relay.BasisExigent}},
	"Claims.legal_basis.citation":        {"description": "May be empty only with voluntary.", "maxLength": relay.CitationMax},
	"Claims.legal_basis.document_sha256": {"pattern": "^[0-9a-f]{64}$"},
	"Claims.legal_basis.served":          {"format": "date"},
	"Claims.legal_basis.compulsory":      {"description": "True only in the lane legal_process, with document_sha256."},
	"Claims.case.ref":                    {"minLength": 1, "maxLength": relay.CaseRefMax},
	"Claims.case.opened":                 {"format": "date"},
	"Claims.scope.target.handle":         {"description": "The camera. Whether there is one of this name shows in no answer.", "minLength": 1, "maxLength": relay.HandleMax},
	"Claims.scope.from":                  {"description": "UTC, whole seconds."},
	"Claims.scope.to":                    {"description": "UTC, whole seconds; in the past, at most 24 hours after from."},
	"Claims.scope.max_duration_s":        {"description": "Seconds of footage that are needed at most.", "minimum": 1, "maximum": int(relay.MaxWindow.Seconds())},
	"Claims.scope.streams":               {"const": []string{"video"}},
	"Claims.scope.faces":                 {"enum": []string{"redacted", "unredacted_requested"}},
	"Claims.scope.audio":                 {"const": false},
	"Claims.retention.days":              {"minimum": 1, "maximum": relay.RetentionMaxDays},
	"Claims.retention.trigger":           {"enum": []string{"none", "case_close"}},
	"Claims.retention.statement":         {"maxLength": relay.StatementMax},
	"Claims.onward.policy":               {"enum": []string{"none", "listed", "law_only"}},
	"Claims.onward.recipients":           {"maxItems": relay.ListMax},
	"Claims.onward.systems":              {"description": "Evidence systems that the clip is put into.", "maxItems": relay.ListMax},
	"Claims.onward.statement":            {"maxLength": relay.StatementMax},
	"Claims.recipients":                  {"minItems": 1, "maxItems": relay.RecipientsMax},
	"Claims.recipients.kind":             {"description": "email: addr and name. key: kid, a key of the agency.", "enum": []relay.RecipientKind{relay.RecipientEmail, relay.RecipientKey}},
	"Claims.recipients.addr":             {"description": "In one of the mail domains that the agency is registered with.", "format": "email", "maxLength": 254},
	"Claims.recipients.name":             {"minLength": 1, "maxLength": relay.NameMax},
	"Claims.recipients.kid":              {"pattern": "^[A-Za-z0-9_-]{43}$"},
	"Claims.contact.name":                {"minLength": 1, "maxLength": relay.NameMax},
	"Claims.contact.callback":            {"const": "registered"},
	"Claims.respond_by":                  {"description": "24 hours to 30 days after iat; in the lane exigent 1 to 72 hours. The relay adds up to an hour, the same whatever the home does; the receipt says the moment."},
	"Claims.attest":                      {"const": relay.AttestID, "description": relay.AttestText},
	"Claims.amends":                      {"description": "request_sha256 of an earlier request of this agency that this one corrects, or null.", "pattern": "^[0-9a-f]{64}$"},
	"PollClaims.request_ids":             {"minItems": 1, "maxItems": relay.PollMax, "uniqueItems": true},
	"DestroyedClaims.statement":          {"minLength": 1, "maxLength": relay.StatementMax},
	"RotateClaims.jwk":                   {"description": "The new public key (RFC 7517): Ed25519 or P-256.", "type": "object"},
	"RotateClaims.proof":                 {"description": "A token of type " + token.KeyProof + " signed by the new key."},
	"standings.requests.state":           {"enum": []string{"pending", "released", "closed"}},
	"standings.requests.release_id":      {"description": "While released."},
	"standings.requests.ended":           {"description": "True after a release was revoked or ran out; copies are then to be destroyed."},
	"standings.requests.notice":          {"description": "With ended: the relay's signed notice, a token of type " + token.Ended + " with aud, request_id, release_id, ended_at and destroy, to be acknowledged.", "contentMediaType": "application/jwt"},
	"AcknowledgeClaims.release_id":       {"description": "As the notice gives it."},
	"AcknowledgeClaims.notice_sha256":    {"description": "Hex SHA-256 of the compact notice.", "pattern": "^[0-9a-f]{64}$"},
	"acknowledged.recorded_at":           {"description": "When it was acknowledged first.", "format": "date-time"},
	"refusal.error":                      {"enum": []string{"invalid_request", "invalid_claim", "too_many_requests", "not_available", "unavailable"}},
	"refusal.claim":                      {"description": "With invalid_claim: which claim, dotted, such as scope.from."},
	"refusal.reason":                     {"description": "With invalid_claim: what would be right."},
	"ReceiptClaims.respond_by":           {"description": "When silence becomes closed."},
	"opening.session":                    {"description": "For GET /a/v1/releases/media, as Authorization: Bearer."},
	"opening.until":                      {"description": "The session's end at the latest; 15 minutes without a range end it, too."},
	"opening.download":                   {"description": "Whether the grant allows the recipient to keep a file."},
	"rotation.not_before":                {"description": "When the key may sign."},
	"attested.recorded_at":               {"format": "date-time"},
	"ReceiptClaims.request_sha256":       {"description": "Hex SHA-256 of the compact token as the relay received it."},
	"ReceiptClaims.received_at":          {"format": "date-time"},
	"rotation.not_after":                 {"description": "When the agency's registration ends."},
	"DestroyedClaims.destroyed_at":       {"description": "UTC, whole seconds; not in the future."},
	"Claims.contact.phone":               {"pattern": `^\+?[0-9][0-9 ()./-]{2,38}$`},
	"Claims.onward.federal":              {"description": "Whether federal agencies are given it."},
	"Claims.onward.immigration":          {"description": "Whether it is given for immigration enforcement."},
	"WithdrawClaims.request_id":          {"description": "As the receipt gives it."},
	"OpenClaims.release_id":              {"description": "As a poll gives it."},
	"ReceiptClaims.request_id":           {"description": "For polls and for a withdrawal."},
}

// schema describes a Go type as the JSON that stands for it.
func schema(t reflect.Type, path string) object {
	s := object{}
	switch {
	case t == reflect.TypeFor[time.Time]():
		s["type"], s["format"] = "string", "date-time"
	case t == reflect.TypeFor[jsontext.Value]():
	case t.Kind() == reflect.Pointer:
		s = schema(t.Elem(), path)
		s["type"] = []any{s["type"], "null"}
		return s
	case t.Kind() == reflect.String:
		s["type"] = "string"
	case t.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		s["type"] = "integer"
	case t.Kind() == reflect.Slice:
		s["type"], s["items"] = "array", schema(t.Elem(), path+"[]")
	case t.Kind() == reflect.Struct:
		members, required := object{}, []string{}
		fields(t, path, members, &required)
		s["type"], s["properties"], s["required"], s["additionalProperties"] = "object", members, required, false
	default:
		panic(fmt.Sprintf("api: no schema for %s", t))
	}
	for k, v := range about[strings.ReplaceAll(path, "[]", "")] {
		if !strings.HasSuffix(path, "[]") {
			s[k] = v
		}
	}
	return s
}

func fields(t reflect.Type, path string, members object, required *[]string) {
	for f := range t.Fields() {
		if f.Anonymous {
			fields(f.Type, path, members, required)
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		members[name] = schema(f.Type, path+"."+name)
		if option != "omitempty" && f.Type.Kind() != reflect.Pointer {
			*required = append(*required, name)
		}
	}
}

// named is the schema of a value's type.
func named(v any) object {
	t := reflect.TypeOf(v)
	return schema(t, t.Name())
}

// signed describes a body that is a token: its header, and the claims in it.
func signed(typ string, claims any) object {
	return object{"application/jwt": object{"schema": object{
		"type": "string", "contentMediaType": "application/jwt", "maxLength": token.MaxBytes,
		"contentSchema": object{"type": "array", "prefixItems": []object{
			{"type": "object", "required": []string{"alg", "kid", "typ"}, "additionalProperties": false, "properties": object{
				"alg": object{"enum": []string{relay.AlgEdDSA, "Ed25519", relay.AlgES256}},
				"kid": object{"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "description": "RFC 7638 thumbprint of the key."},
				"typ": object{"const": typ},
			}},
			named(claims),
		}},
	}}}
}

func plain(description string, v any) object {
	return object{"description": description, "content": object{"application/json": object{"schema": named(v)}}}
}

// describe writes the description of the API of one relay (OpenAPI 3.1).
func describe(site relay.Site) []byte {
	failed := func(description string) object { return plain(description, refusal{}) }
	limited := failed("The agency asks too much, or may not ask now. Which limit it was stays untold.")
	limited["headers"] = object{"Retry-After": object{"schema": object{"const": fmt.Sprint(int(retryAfter.Seconds()))}}}
	paths := object{}
	for _, e := range endpoints {
		answers := object{
			"400": failed("Not a well-formed token of a known key, whatever the reason; always the same bytes."),
			"422": failed("A claim is wrong; claim and reason say which and why."),
			"429": limited,
		}
		code := fmt.Sprint(e.code)
		if e.answers == nil {
			answers[code] = object{"description": "The relay's signed receipt.", "content": signed(token.Receipt, token.ReceiptClaims{})}
		} else {
			answers[code] = plain("Done.", e.answers)
		}
		if e.notFound {
			answers["404"] = failed("There is none, or none that this agency may know of.")
		}
		paths[e.path] = object{"post": object{
			"operationId": e.id, "summary": e.summary,
			"description": fmt.Sprintf("%s\n\nThe body is one compact JWS of type %s that lives at most %d seconds.", e.about, e.typ, int(e.life.Seconds())),
			"requestBody": object{"required": true, "content": signed(e.typ, e.claims)},
			"responses":   answers,
		}}
	}
	paths["/a/v1/releases/media"] = object{"get": object{
		"operationId": "media", "summary": "Fetch a range of an opened release",
		"description": fmt.Sprintf("At most %d bytes come in one answer, whatever is asked for; ask on from where it ended. Each range is allowed anew: after a revocation there is nothing more.", relay.RangeMax),
		"security":    []object{{"session": []string{}}},
		"parameters":  []object{{"name": "Range", "in": "header", "schema": object{"type": "string", "pattern": "^bytes=[0-9]*-[0-9]*$"}}},
		"responses": object{
			"206": object{"description": "A part of the file; Content-Range says which.", "content": object{"video/mp4": object{}}},
			"404": failed("No such session, or it is over."),
			"416": object{"description": "The range lies outside the file."},
			"503": failed("The footage cannot be read now; try again later."),
		},
	}}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "cliplease agency API", "version": "1",
			"description": "Every call is one token signed by a key that the home registered after calling the agency: a compact JWS with alg, kid and typ in its header and nothing else. " +
				"Answers follow from the agency's own calls, the time, and what was released to it; a refusal and silence look the same.",
		},
		"servers":    []object{{"url": site.API}},
		"paths":      paths,
		"components": object{"securitySchemes": object{"session": object{"type": "http", "scheme": "bearer", "description": "The session that /a/v1/releases/open returned."}}},
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("api: the description does not marshal: %v", err)) // it is made of maps and strings
	}
	return raw
}
