// Package custody writes down the chain of custody of a release: what was asked, made, signed,
// given out, watched and ended, by whom and when, with the digests of what went in and came
// out. It is made from the log, as a document of JSON and as a PDF to file or print.
//
// There are two: the home's has everything about the release; a recipient's has what concerns
// that recipient's copy, names no member of the home and no other recipient, and counts
// nothing that would tell what else happens on the relay.
package custody

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"
)

// Report is the chain of custody of one release.
type Report struct {
	V         int       `json:"v"`    // 1
	Type      string    `json:"type"` // "cliplease.custody"
	For       string    `json:"for"`  // "home" or "recipient"
	Relay     string    `json:"relay"`
	ReleaseID string    `json:"release_id"`
	State     string    `json:"state"`           // as the log leaves it: "live", "revoked", "expired", …
	Ends      string    `json:"ends,omitempty"`  // of the lease, as granted
	Ended     string    `json:"ended,omitempty"` // when it ended, if it did
	Request   Request   `json:"request"`
	Source    Source    `json:"source"`
	Window    *Window   `json:"window,omitempty"` // once something is granted
	Files     []File    `json:"files"`
	Made      *Making   `json:"made,omitempty"` // once something is granted
	Entries   []Entry   `json:"entries"`        // in the order of the log
	AsOf      time.Time `json:"as_of"`          // time of the last entry
	Check     string    `json:"check"`          // page that says whether a file is one of these, unchanged, and whether its lease runs
}

// Request is what the agency asked.
type Request struct {
	Agency   string `json:"agency"`    // its name
	AgencyID string `json:"agency_id"` //
	Officer  string `json:"officer"`   // as the agency says
	Case     string `json:"case"`
	Purpose  string `json:"purpose"` // in the agency's words
	Code     string `json:"purpose_code"`
	Lane     string `json:"lane"`
	Basis    string `json:"legal_basis"`
	Citation string `json:"citation,omitempty"`
	Record   string `json:"record"` // "consent", or "compelled"
	SHA256   string `json:"request_sha256"`
}

// Source is what the files were made from.
type Source struct {
	Camera        string `json:"camera"`
	ClockOffsetMS int64  `json:"clock_offset_ms"`           // how far the camera's clock is ahead; taken off all times here
	Original      string `json:"original_sha256,omitempty"` // the home's report alone
	Commit        string `json:"source_commit,omitempty"`   // salted commitment to the original's digest
	Normalised    string `json:"normalised_sha256,omitempty"`
}

// Window is the time that was asked for, approved, and is in the files.
type Window struct {
	Asked    relay.Span  `json:"asked"`
	Approved relay.Span  `json:"approved"`
	Actual   relay.Span  `json:"actual"`
	Gaps     []relay.Gap `json:"gaps"`
}

// File is one release copy.
type File struct {
	Recipient string `json:"recipient"` // masked address, or the start of the key id
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	Manifest  string `json:"manifest,omitempty"` // the signed statement of the relay; the home's report alone
}

// Making is how the files were made.
type Making struct {
	Grant     string                  `json:"grant_sha256"`
	Frames    int                     `json:"frames"`
	FPS       float64                 `json:"fps"`
	Redaction relay.ManifestRedaction `json:"redaction"`
	Detectors []relay.Tool            `json:"detectors"`
	Tools     []relay.Tool            `json:"tools"`
	Edits     []relay.ManifestEdit    `json:"edits"`
	Gates     []relay.Gate            `json:"gates"`
}

// Entry is one thing that happened.
type Entry struct {
	N     int       `json:"n"`             // 1, 2, …
	Log   *int64    `json:"log,omitempty"` // index in the log; the home's report alone
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`
	What  string    `json:"what"` // in words
	Who   string    `json:"who"`
	In    []Digest  `json:"in,omitempty"`  // digests of what it was done with
	Out   []Digest  `json:"out,omitempty"` // digests of what came out of it
	actor string
	data  relay.Data
}

// Digest names bytes.
type Digest struct {
	Of     string `json:"of"`
	SHA256 string `json:"sha256"`
}

// For makes the report of a release. With copyID it is the one of the recipient of that copy,
// else the home's. A release without a grant has no recipient's report: [relay.ErrNotFound].
func For(ctx context.Context, store *storage.Store, site relay.Site, releaseID, copyID string) (r Report, err error) {
	db := store.DB
	rel, err := db.Release(ctx, releaseID)
	if err != nil {
		return r, err
	}
	q, err := db.Request(ctx, rel.RequestID)
	if err != nil {
		return r, err
	}
	agency, err := db.Agency(ctx, q.AgencyID)
	if err != nil {
		return r, err
	}
	clip, err := db.Clip(ctx, rel.ClipID)
	if err != nil {
		return r, err
	}
	camera, err := db.Camera(ctx, clip.CameraID)
	if err != nil {
		return r, err
	}
	b := builder{rel: rel, q: q, agency: agency, clip: clip, copyID: copyID, names: map[string]string{agency.ID: agency.Name, "relay": "The relay", "command line": "A person at the relay's command line", source.FolderActor: "A camera, by its watched folder"}, links: map[string]string{}}
	tokens, err := db.Manifests(ctx, releaseID)
	if err != nil {
		return r, err
	}
	key, err := relay.NewPublicKey(store.Identity.Relay.Public())
	if err != nil {
		return r, err
	}
	for _, t := range tokens {
		m, err := relay.OpenManifest(t, key)
		if err != nil {
			return r, fmt.Errorf("a manifest of release %s: %w", releaseID, err)
		}
		if copyID == "" || m.Recipient.ID == copyID {
			b.manifests, b.tokens = append(b.manifests, m), append(b.tokens, t)
		}
	}
	if copyID != "" && (rel.Grant == nil || len(b.manifests) != 1) {
		return r, relay.ErrNotFound
	}
	links, err := db.LinksOf(ctx, releaseID)
	if err != nil {
		return r, err
	}
	for _, l := range links {
		i := slices.IndexFunc(rel.Copies, func(c relay.Copy) bool { return c.ID == l.CopyID })
		if i >= 0 && (copyID == "" || l.CopyID == copyID) {
			b.links[l.ID] = rel.Copies[i].Recipient.Display()
		}
	}
	members, err := db.Members(ctx)
	if err != nil {
		return r, err
	}
	for _, m := range members {
		b.names[m.ID] = m.Name
	}
	if b.said, err = db.AttestationsOf(ctx, releaseID); err != nil {
		return r, err
	}
	var entries []relay.Entry
	for _, subject := range []string{clip.ID, q.ID, rel.ID} {
		more, err := db.History(ctx, subject)
		if err != nil {
			return r, err
		}
		entries = append(entries, more...)
	}
	r = b.head(site, camera)
	return r, b.entries(&r, entries)
}

// builder holds what a report is made of.
type builder struct {
	rel       relay.Release
	q         relay.Request
	agency    relay.Agency
	clip      relay.Clip
	copyID    string // of a recipient's report; "" for the home's
	names     map[string]string
	links     map[string]string // by id, whose they are; a recipient's report has its own alone
	manifests []relay.Manifest
	tokens    []string
	said      []storage.Attestation // by the agency, that its copies are destroyed
}

func (b builder) home() bool { return b.copyID == "" }

// head is the report without what happened.
func (b builder) head(site relay.Site, camera relay.Camera) Report {
	c := b.q.Claims
	_, record, _ := c.LegalBasis.Record()
	r := Report{
		V: 1, Type: "cliplease.custody", For: "recipient", Relay: site.Name, ReleaseID: b.rel.ID, Check: site.View + "/check", Files: []File{}, Entries: []Entry{},
		Request: Request{Agency: b.agency.Name, AgencyID: b.agency.ID, Officer: c.Subject, Case: c.Case.Ref, Purpose: c.Purpose.Text, Code: string(c.Purpose.Code),
			Lane: string(c.Lane), Basis: string(c.LegalBasis.Kind), Citation: c.LegalBasis.Citation, Record: record, SHA256: b.q.SHA256},
		Source: Source{Camera: camera.Handle, ClockOffsetMS: camera.ClockOffset.Milliseconds()},
	}
	if b.home() {
		r.For, r.Source.Original = "home", b.clip.SHA256
	}
	if !b.rel.ExpiresAt.IsZero() {
		r.Ends = relay.Stamp(b.rel.ExpiresAt)
	}
	for i, m := range b.manifests {
		f := File{Recipient: m.Recipient.Display, SHA256: m.Output.SHA256, Bytes: m.Output.Bytes}
		if b.home() {
			f.Manifest = b.tokens[i]
		}
		r.Files = append(r.Files, f)
		r.Source.Camera, r.Source.ClockOffsetMS, r.Source.Commit, r.Source.Normalised = m.Source.Camera, m.Source.ClockOffsetMS, m.Source.Commit, m.Source.NormalisedSHA256
		r.Window = &Window{m.Window.Asked, m.Window.Approved, m.Window.Actual, m.Window.Gaps}
		r.Made = &Making{m.GrantSHA256, m.Output.Frames, m.Output.FPS, m.Redaction, m.Detectors, m.Tools, m.Edits, m.Gates}
	}
	return r
}

// entries adds what happened, in the order of the log.
func (b builder) entries(r *Report, all []relay.Entry) error {
	slices.SortFunc(all, func(x, y relay.Entry) int { return int(x.Index - y.Index) })
	var state relay.ReleaseState
	last := -1 // the preparation whose files were granted
	for _, raw := range all {
		if raw.Event == nil {
			continue
		}
		var e relay.Event
		if err := json.Unmarshal(raw.Event, &e); err != nil {
			return fmt.Errorf("log entry %d: %w", raw.Index, err)
		}
		if e.Subject == b.rel.ID {
			state, _ = state.After(e.Kind)
			if e.Kind == relay.ReleaseRevoked || e.Kind == relay.ReleaseExpired || e.Kind == relay.ReleaseDiscarded {
				r.Ended = relay.Stamp(e.At)
			}
		}
		if !b.home() && !b.concerns(e) {
			continue
		}
		out := Entry{At: e.At.UTC(), Kind: string(e.Kind), What: what(e), Who: b.who(e), actor: e.Actor, data: e.Data}
		if b.home() {
			index := raw.Index
			out.Log = &index
		}
		b.digests(&out, e)
		if e.Kind == relay.ReleasePrepared && !b.home() {
			if last >= 0 { // an earlier round, whose files went to nobody
				r.Entries = slices.Delete(r.Entries, last, last+1)
			}
			last = len(r.Entries)
		}
		r.Entries = append(r.Entries, out)
		r.AsOf = out.At
	}
	for i := range r.Entries {
		r.Entries[i].N = i + 1
	}
	r.State = string(state)
	return nil
}

// concerns reports whether an event is for a recipient to know: its agency's own acts, the
// making and granting of its copy, its own openings, and the end.
func (b builder) concerns(e relay.Event) bool {
	_, own := b.links[e.Actor]
	switch e.Kind {
	case relay.RequestReceived, relay.RequestWithdrawn, relay.CopyDestroyed, relay.ReleaseAcknowledged,
		relay.ReleasePrepared, relay.ReleaseGranted, relay.ReleaseRevoked, relay.ReleaseExpired, relay.ReleaseShredded:
		return true
	case relay.LinkRevoked:
		link, _ := e.Data["link"].(string)
		_, own = b.links[link]
		return own
	case relay.LinkOpened, relay.LinkAsked, relay.CodeAccepted, relay.CodeRefused, relay.ViewEnded, relay.KeyOpened:
		return own
	default: // what a new version adds stays with the home until somebody lets it out
		return false
	}
}

// who names an actor. A recipient learns "the home", not which member.
func (b builder) who(e relay.Event) string {
	if whose, ok := b.links[e.Actor]; ok {
		return "Recipient " + whose
	}
	if e.Actor == b.agency.ID || e.Actor == "relay" {
		return b.names[e.Actor]
	}
	if !b.home() {
		return "The home"
	}
	if name, ok := b.names[e.Actor]; ok {
		return name
	}
	return "Someone who has left the home (" + e.Actor + ")"
}

// digests says which bytes went into an event and which came out.
func (b builder) digests(out *Entry, e relay.Event) {
	text := func(key string) string { v, _ := e.Data[key].(string); return v }
	add := func(to *[]Digest, of, sum string) {
		if sum != "" {
			*to = append(*to, Digest{of, sum})
		}
	}
	files := func(to *[]Digest) {
		for i, m := range b.manifests {
			name := "release copy"
			if len(b.manifests) > 1 {
				name = fmt.Sprintf("release copy %d", i+1)
			}
			add(to, name, m.Output.SHA256)
		}
	}
	switch e.Kind {
	case relay.RequestReceived:
		add(&out.Out, "request", text("request_sha256"))
	case relay.ClipReceivedEv:
		add(&out.Out, "original", text("sha256"))
	case relay.ReleasePrepared:
		if b.home() {
			add(&out.In, "original", b.clip.SHA256)
			sums, _ := e.Data["outputs"].([]any)
			for i, s := range sums {
				sum, _ := s.(string)
				add(&out.Out, fmt.Sprintf("release copy %d", i+1), sum)
			}
		} else {
			files(&out.Out)
		}
		add(&out.In, "normalised footage", text("source"))
	case relay.ReleaseGranted:
		add(&out.In, "request", text("request_sha256"))
		files(&out.In)
		add(&out.Out, "grant", text("grant_sha256"))
	case relay.CopyDestroyed:
		add(&out.Out, "attestation", text("attestation_sha256"))
		for _, a := range b.said {
			if a.SHA256 == text("attestation_sha256") && a.Statement != "" {
				out.What += ": “" + a.Statement + "”"
			}
		}
	case relay.ReleaseAcknowledged:
		add(&out.Out, "acknowledgement", text("acknowledgement_sha256"))
	default: // nothing that has a digest
	}
}

// JSON is r as a document to file. The same log makes the same bytes.
func (r Report) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	return append(raw, '\n'), err
}

// FileName is what the report is called, without its ending.
func (r Report) FileName() string {
	return "cliplease-custody-" + r.ReleaseID[:min(8, len(r.ReleaseID))]
}
