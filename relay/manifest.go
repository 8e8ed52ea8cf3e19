package relay

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gowebpki/jcs"
)

// TypeManifest is the type of the token that a manifest is.
const TypeManifest = "cliplease-manifest+jwt"

// Manifest is what the relay states about the release copy of one recipient: from what it was
// made, what was hidden in it, by which programs, and what the log says. The relay signs one
// for each copy in the change that makes a release live. It names the original by a salted
// commitment, so that nobody can match files with it.
type Manifest struct {
	V             int               `json:"v"` // 1
	Relay         string            `json:"relay"`
	ReleaseID     string            `json:"release_id"`
	Round         int               `json:"round"` // of preparing; 1 unless it was edited
	MadeAt        string            `json:"made_at"`
	RequestSHA256 string            `json:"request_sha256"`
	GrantID       string            `json:"grant_id"`
	GrantSHA256   string            `json:"grant_sha256"` // see [GrantHash]
	Recipient     ManifestRecipient `json:"recipient"`
	Source        ManifestSource    `json:"source"`
	Window        ManifestWindow    `json:"window"`
	Output        ManifestOutput    `json:"output"`
	Redaction     ManifestRedaction `json:"redaction"`
	Detectors     []Tool            `json:"detectors"` // with the digest of each model
	Tools         []Tool            `json:"tools"`
	Edits         []ManifestEdit    `json:"edits"`
	Gates         []Gate            `json:"gates"`
	Looked        bool              `json:"needed_a_look"` // the engine was unsure, and a member said that they looked
	Log           ManifestLog       `json:"log"`
}

// ManifestRecipient says for whom the copy was made.
type ManifestRecipient struct {
	ID      string `json:"id"` // of the copy
	Kind    string `json:"kind"`
	Display string `json:"display"` // masked address, or the start of the key id
}

// ManifestSource says what the copy was made from.
type ManifestSource struct {
	Camera           string `json:"camera"`            // handle
	Commit           string `json:"commit"`            // as in the grant: HMAC of the original's digest
	NormalisedSHA256 string `json:"normalised_sha256"` // of the lossless intermediate that was redacted; "" when not known
	ClockOffsetMS    int64  `json:"clock_offset_ms"`   // how far the camera's clock is ahead; taken off all times here
}

// ManifestWindow is which time was asked for, approved, and is in the file.
type ManifestWindow struct {
	Asked    Span  `json:"asked"`
	Approved Span  `json:"approved"`
	Actual   Span  `json:"actual"`
	Gaps     []Gap `json:"gaps"` // of what was asked for; empty when the file shows all of it
}

// Span is a time from From to To, as RFC 3339.
type Span struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Gap is a part of what was asked for that the file does not show.
type Gap struct {
	Span
	Why string `json:"why"` // "not_given": not part of the grant; "not_recorded": granted, and the footage has it not
}

// ManifestOutput is the release copy itself.
type ManifestOutput struct {
	SHA256 string  `json:"sha256"`
	Bytes  int64   `json:"bytes"`
	Frames int     `json:"frames"`
	FPS    float64 `json:"fps"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
}

// ManifestRedaction is the recipe.
type ManifestRedaction struct {
	Profile     string      `json:"profile"`
	Style       Style       `json:"style"`
	Targets     []string    `json:"targets"`
	PlanSHA256  string      `json:"plan_sha256"`  // of the redactor's canonical plan; "" when not known
	StaticMasks string      `json:"static_masks"` // as in the grant
	ManualBoxes string      `json:"manual_boxes"` // as in the grant
	Exceptions  []Exception `json:"exceptions"`   // as in the grant
}

// ManifestEdit is one kind of change between the original and the copy.
type ManifestEdit struct {
	Kind  string `json:"kind"`  // "trim", "face", "plate", "manual", "mask", "uncovered", "notice", "audio_removed", "metadata_removed"
	Count int    `json:"count"` // how many regions were followed and hidden; 1 for what concerns the whole file
}

// ManifestLog is where the log names the grant.
type ManifestLog struct {
	Origin string `json:"origin"`
	Index  int64  `json:"index"` // of the entry
	Size   int64  `json:"size"`  // entries of the log with that one
}

// Manifests makes the manifests of a release that has just gone live with grant g, one for
// each of its outputs and in their order. index is the grant's entry in the log.
func Manifests(rel Release, r Request, g Grant, camera Camera, index int64, now time.Time) ([]Manifest, error) {
	s, err := rel.report()
	if err != nil {
		return nil, err
	}
	tool := func(name string) string {
		if i := slices.IndexFunc(s.Tools, func(t Tool) bool { return t.Name == name }); i >= 0 {
			return s.Tools[i].SHA256
		}
		return ""
	}
	edits := []ManifestEdit{{"trim", 1}}
	for _, kind := range slices.Sorted(maps.Keys(s.Tracks)) {
		edits = append(edits, ManifestEdit{kind, s.Tracks[kind]})
	}
	edits = append(edits, ManifestEdit{"notice", 1})
	if !g.Scope.Audio {
		edits = append(edits, ManifestEdit{"audio_removed", 1})
	}
	edits = append(edits, ManifestEdit{"metadata_removed", 1})
	asked := Span{Stamp(r.Claims.Scope.From), Stamp(r.Claims.Scope.To)}
	window := ManifestWindow{Asked: asked, Approved: Span{g.Scope.From, g.Scope.To}, Actual: Span{s.SourceFrom, s.SourceTo}}
	window.Gaps = window.gaps(s.FPS)
	var out []Manifest
	for _, o := range g.Outputs {
		out = append(out, Manifest{
			V: 1, Relay: g.Relay, ReleaseID: rel.ID, Round: rel.Round, MadeAt: Stamp(now), RequestSHA256: g.Request.SHA256, GrantID: g.GrantID, GrantSHA256: GrantHash(rel.Grant),
			Recipient: ManifestRecipient{o.Recipient, o.Kind, o.Display},
			Source:    ManifestSource{g.Scope.Camera, g.Source.Commit, s.SourceSHA, camera.ClockOffset.Milliseconds()},
			Window:    window,
			Output:    ManifestOutput{o.FileSHA256, o.Bytes, s.Frames, s.FPS, s.Width, s.Height},
			Redaction: ManifestRedaction{g.Redaction.Profile, rel.Draft.Style, rel.Draft.Targets, tool("plan"), g.Redaction.StaticMasks, g.Redaction.ManualBoxes, g.Redaction.Exceptions},
			Detectors: s.Detectors, Tools: s.Tools, Edits: edits, Gates: s.Gates, Looked: rel.NeedsLook,
			Log: ManifestLog{g.Relay + "/audit", index, index + 1},
		})
	}
	return out, nil
}

// gaps returns which parts of what was asked for are not in the file, with one picture or two
// at either end left out of account.
func (w ManifestWindow) gaps(fps float64) []Gap {
	out := []Gap{}
	at := func(s string) time.Time { t, _ := time.Parse(time.RFC3339, s); return t }
	add := func(from, to, why string, least time.Duration) {
		if a, b := at(from), at(to); !a.IsZero() && b.Sub(a) > least {
			out = append(out, Gap{Span{from, to}, why})
		}
	}
	frames := 100 * time.Millisecond
	if fps > 0 {
		frames = time.Duration(2 / fps * float64(time.Second))
	}
	add(w.Asked.From, w.Approved.From, "not_given", 0)
	add(w.Approved.From, w.Actual.From, "not_recorded", frames)
	add(w.Actual.To, w.Approved.To, "not_recorded", frames)
	add(w.Approved.To, w.Asked.To, "not_given", 0)
	return out
}

// Sign makes the compact token of m with the relay's key. The same manifest and key make the
// same bytes.
func (m Manifest) Sign(key ed25519.PrivateKey) (string, error) {
	public, err := NewPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(m)
	if err == nil {
		payload, err = jcs.Transform(payload)
	}
	if err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"`+public.Alg+`","kid":"`+public.KID+`","typ":"`+TypeManifest+`"}`)) + "." + b64(payload)
	return signed + "." + b64(ed25519.Sign(key, []byte(signed))), nil
}

// OpenManifest checks a manifest's signature and reads it.
func OpenManifest(token string, key PublicKey) (m Manifest, err error) {
	payload, err := verifyToken(token, key, TypeManifest)
	if err != nil {
		return m, err
	}
	return m, strict(payload, &m)
}

// Matches says why m is not the manifest of output o of grant g, whose entry has index and
// subject in the log, or nil.
func (m Manifest) Matches(g Grant, hash string, o GrantOutput, c Claims, index int64, subject string) error {
	wrong := func(what string) error { return fmt.Errorf("it names another %s than the grant", what) }
	switch {
	case m.V != 1:
		return errors.New("it is of another version")
	case m.Relay != g.Relay || m.ReleaseID != subject:
		return wrong("release")
	case m.RequestSHA256 != g.Request.SHA256:
		return wrong("request")
	case m.GrantID != g.GrantID || m.GrantSHA256 != hash:
		return wrong("grant")
	case m.Recipient.ID != o.Recipient || m.Recipient.Kind != o.Kind || m.Recipient.Display != o.Display:
		return wrong("recipient")
	case m.Output.SHA256 != o.FileSHA256 || m.Output.Bytes != o.Bytes:
		return wrong("file")
	case m.Source.Commit != g.Source.Commit || m.Source.Camera != g.Scope.Camera:
		return wrong("source")
	case m.Window.Approved != Span{g.Scope.From, g.Scope.To} || m.Window.Asked != Span{Stamp(c.Scope.From), Stamp(c.Scope.To)}:
		return wrong("window")
	case m.Redaction.Profile != g.Redaction.Profile || m.Redaction.StaticMasks != g.Redaction.StaticMasks || m.Redaction.ManualBoxes != g.Redaction.ManualBoxes ||
		!slices.Equal(m.Redaction.Exceptions, g.Redaction.Exceptions):
		return wrong("redaction")
	case m.Log != ManifestLog{g.Relay + "/audit", index, index + 1}:
		return wrong("place in the log")
	case slices.ContainsFunc(m.Gates, func(g Gate) bool { return !g.OK }):
		return errors.New("it says that a check of the copy failed")
	}
	return nil
}
