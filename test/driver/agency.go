package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cliplease/relay"
)

// Agency is an agency at its command line: the program's own client.
type Agency struct {
	ID     string
	Name   string
	Domain string // of its mailboxes
	Key    string // file with its private key
	JWKS   string // file with its public key, as it is handed over
	KID    string // names the key
	Words  string // the eight words that both sides compare on the telephone

	relay *Relay
	dir   string
}

// NewAgency makes an agency's key with its files in the folder dir. The relay does not know it
// yet.
func (r *Relay) NewAgency(ctx context.Context, dir, id, name, domain string) (*Agency, error) {
	file := func(suffix string) string { return filepath.Join(dir, id[strings.LastIndexByte(id, ':')+1:]+suffix) }
	a := &Agency{ID: id, Name: name, Domain: domain, Key: file(".key"), JWKS: file(".jwks.json"), relay: r, dir: dir}
	out, err := r.Must(ctx, "agency", "keygen", "--agency", id, "--out", a.Key, "--json")
	if err != nil {
		return nil, err
	}
	var made struct {
		KID   string          `json:"kid"`
		Words string          `json:"words"`
		JWKS  json.RawMessage `json:"jwks"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		return nil, fmt.Errorf("keygen: %w: %s", err, out)
	}
	a.KID, a.Words = made.KID, made.Words
	return a, os.WriteFile(a.JWKS, made.JWKS, 0o644)
}

// Register adds the agency to the relay's data, as somebody does who compared the words.
func (a *Agency) Register(ctx context.Context) error {
	_, err := a.relay.Must(ctx, "agency", "add", "--id", a.ID, "--name", a.Name, "--level", "local", "--domain", a.Domain,
		"--jwks", a.JWKS, "--how", "Called the number on the city's own site; both sides read the same eight words.")
	return err
}

// Ask is what an agency writes into the file of its request.
type Ask struct {
	Camera     string
	From, To   time.Time
	Case       string
	Purpose    relay.PurposeCode
	Text       string
	Recipients []relay.RecipientAsk
	RespondIn  time.Duration // default: three days
}

// document is the file for an ask: the claims that a person decides on. The client fills in
// who asks, whom, when and for how long.
func (k Ask) document(now time.Time) map[string]any {
	if k.RespondIn == 0 {
		k.RespondIn = 72 * time.Hour
	}
	return map[string]any{
		"sub":         "officer:4711",
		"lane":        relay.LaneVoluntary,
		"purpose":     relay.Purpose{Code: k.Purpose, Text: k.Text},
		"legal_basis": relay.LegalBasis{Kind: relay.BasisVoluntary, Citation: "Voluntary request to a resident"},
		"case":        relay.Case{Ref: k.Case, Opened: now.AddDate(0, 0, -1).Format(time.DateOnly)},
		"scope": relay.Scope{
			Target: relay.Target{Handle: k.Camera}, From: k.From.UTC().Truncate(time.Second), To: k.To.UTC().Truncate(time.Second),
			MaxDuration: 600, Streams: []string{"video"}, Faces: "redacted",
		},
		"retention":  relay.Retention{Days: 30, Trigger: "case_close", Statement: "Kept in the case file and destroyed when the case closes."},
		"onward":     relay.Onward{Policy: "none", Recipients: []string{}, Systems: []string{}, Statement: "Shared with nobody else."},
		"recipients": k.Recipients,
		"contact":    relay.Contact{Name: "Records office", Phone: "+16125550100", Callback: "registered"},
		"respond_by": now.Add(k.RespondIn).UTC().Truncate(time.Second),
		"attest":     relay.AttestID,
		"amends":     nil,
	}
}

// Write writes the request's file and returns its path.
func (a *Agency) Write(k Ask, now time.Time) (string, error) {
	raw, err := json.MarshalIndent(k.document(now), "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(a.dir, "request-"+relay.NewID()[:8]+".json")
	return path, os.WriteFile(path, append(raw, '\n'), 0o644)
}

// Receipt is what the relay signs for a request.
type Receipt struct {
	RequestID     string    `json:"request_id"`
	RequestSHA256 string    `json:"request_sha256"`
	ReceivedAt    time.Time `json:"received_at"`
	RespondBy     time.Time `json:"respond_by"`
}

// File files a request and returns the relay's receipt.
func (a *Agency) File(ctx context.Context, k Ask) (Receipt, error) {
	path, err := a.Write(k, time.Now())
	if err != nil {
		return Receipt{}, err
	}
	out, err := a.relay.Must(ctx, "agency", "request", "--key", a.Key, "--relay", a.relay.Site.API, "--file", path)
	if err != nil {
		return Receipt{}, err
	}
	var r Receipt
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return r, fmt.Errorf("the receipt cannot be read: %w: %s", err, out)
	}
	if r.RequestID == "" {
		return r, fmt.Errorf("the receipt names no request: %s", out)
	}
	return r, nil
}

// Poll asks how a request stands, and also returns the answer as it was printed.
func (a *Agency) Poll(ctx context.Context, requestID string) (v relay.AgencyView, printed string, err error) {
	printed, err = a.relay.Must(ctx, "agency", "poll", "--key", a.Key, "--relay", a.relay.Site.API, requestID)
	if err != nil {
		return v, printed, err
	}
	return v, printed, json.Unmarshal([]byte(printed), &v)
}

// Withdraw takes a request back.
func (a *Agency) Withdraw(ctx context.Context, requestID string) error {
	_, err := a.relay.Must(ctx, "agency", "withdraw", "--key", a.Key, "--relay", a.relay.Site.API, requestID)
	return err
}

// Open fetches a release as a key recipient into the file out.
func (a *Agency) Open(ctx context.Context, releaseID, out string) (Result, error) {
	return a.relay.Command(ctx, "agency", "open", "--key", a.Key, "--relay", a.relay.Site.API, "--release", releaseID, "--out", out)
}
