package custody_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/server/custody"
	"cliplease/storage"
	"cliplease/test/lease"
)

const other = "okafor@pd.example"

// ended is a relay with a release to two recipients that was opened and revoked.
func ended(t *testing.T) (*lease.Home, lease.Lease) {
	t.Helper()
	ctx, now := t.Context(), time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	site := relay.NewSite("relay.example", "", true)
	store, err := storage.Open(ctx, storage.Config{Dir: filepath.Join(t.TempDir(), "data"), Site: site})
	ok(err)
	t.Cleanup(func() { store.Close() })
	h, err := lease.New(ctx, store, site, func() time.Time { return now })
	ok(err)
	l, err := h.Sign(ctx, []byte("the release copy"), lease.Terms{Also: other})
	ok(err)
	links, err := store.DB.LinksOf(ctx, l.Release.ID)
	ok(err)
	for _, link := range links {
		for _, k := range []relay.EventKind{relay.LinkOpened, relay.CodeAccepted} {
			now = now.Add(time.Minute)
			ok(store.DB.Record(ctx, relay.Event{Kind: k, Subject: l.Release.ID, Actor: link.ID, At: now}))
		}
	}
	ok(store.DB.RevokeRelease(ctx, l.Release.ID, h.Member, "the neighbours asked", now.Add(time.Hour)))
	_, err = store.DB.AddAttestation(ctx, storage.Attestation{AgencyID: "urn:cliplease:agency:us-mn-exampleville-pd", JTI: "j", ReleaseID: l.Release.ID, KID: strings.Repeat("k", 43), JWS: "t", SHA256: "ab",
		DestroyedAt: now, Statement: "Deleted from the case file.", CreatedAt: now.Add(2 * time.Hour)})
	ok(err)
	return h, l
}

// TestHomeReport: the home's report has every state of the release with who, when, and digests.
func TestHomeReport(t *testing.T) {
	h, l := ended(t)
	r, err := custody.For(t.Context(), h.Store, h.Site, l.Release.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for i, e := range r.Entries {
		kinds = append(kinds, e.Kind)
		if e.N != i+1 || e.Log == nil || e.At.IsZero() || e.Who == "" || e.What == "" {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	want := "clip.received clip.ready request.received release.preparing release.prepared release.granted link.opened code.accepted link.opened code.accepted release.revoked copy.destroyed"
	if got := strings.Join(kinds, " "); !strings.Contains(got, "release.granted") || !inOrder(kinds, strings.Fields(want)) {
		t.Errorf("it tells %s", got)
	}
	granted := r.Entries[index(kinds, "release.granted")]
	if granted.Who != "Ada" || len(granted.In) != 3 || len(granted.Out) != 1 || granted.Out[0].SHA256 != relay.GrantHash(l.Release.Grant) {
		t.Errorf("the grant: %+v", granted)
	}
	made := r.Entries[index(kinds, "release.prepared")]
	if len(made.In) != 2 || made.In[0].SHA256 != r.Source.Original || len(made.Out) != 2 || made.Out[0].SHA256 != l.Copy.SHA256 {
		t.Errorf("the making: %+v", made)
	}
	if r.State != "revoked" || r.Ended == "" || len(r.Files) != 2 || r.Files[0].Manifest == "" || r.Source.Original == "" || r.Window.Gaps[0].Why != "not_given" {
		t.Errorf("%+v", r)
	}
}

// TestRecipientReport: a recipient's report tells nothing of the household, of other recipients,
// of why something ended, or of how much else the log holds.
func TestRecipientReport(t *testing.T) {
	h, l := ended(t)
	r, err := custody.For(t.Context(), h.Store, h.Site, l.Release.ID, l.Copy.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{"Ada", h.Member, other, "o…@", "neighbours", `"log"`, `"manifest"`, "request.seen", "request.judged", "clip.", "original_sha256"} {
		if bytes.Contains(raw, []byte(canary)) {
			t.Errorf("%q is in it: %s", canary, raw)
		}
	}
	var kinds []string
	for _, e := range r.Entries {
		kinds = append(kinds, e.Kind)
	}
	if got, want := strings.Join(kinds, " "), "request.received release.prepared release.granted link.opened code.accepted release.revoked copy.destroyed"; got != want {
		t.Errorf("it tells %s, want %s", got, want)
	}
	if said := r.Entries[len(r.Entries)-1]; said.Who != "Exampleville Police" || !strings.Contains(said.What, "“Deleted from the case file.”") {
		t.Errorf("%+v", said)
	}
	if last := r.Entries[len(r.Entries)-2]; last.Who != "The home" || len(r.Files) != 1 || r.Files[0].SHA256 != l.Copy.SHA256 {
		t.Errorf("%+v of %+v", last, r.Files)
	}
	if _, err := custody.For(t.Context(), h.Store, h.Site, l.Release.ID, "rother"); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("a copy of another release: %v", err)
	}
	if _, err := custody.For(t.Context(), h.Store, h.Site, "none", ""); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("no release: %v", err)
	}
}

// TestSameBytes: the same log makes the same PDF and the same JSON.
func TestSameBytes(t *testing.T) {
	h, l := ended(t)
	var first [2]bytes.Buffer
	for i := range first {
		r, err := custody.For(t.Context(), h.Store, h.Site, l.Release.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.PDF(&first[i]); err != nil {
			t.Fatal(err)
		}
		raw, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var back custody.Report
		if err := json.Unmarshal(raw, &back); err != nil || len(back.Entries) != len(r.Entries) {
			t.Errorf("the JSON reads back with %d of %d entries: %v", len(back.Entries), len(r.Entries), err)
		}
		first[i].Write(raw)
	}
	if !bytes.Equal(first[0].Bytes(), first[1].Bytes()) {
		t.Error("the same log makes other bytes")
	}
	if !bytes.HasPrefix(first[0].Bytes(), []byte("%PDF-")) {
		t.Errorf("it begins with %.20q", first[0].Bytes())
	}
}

func index(list []string, what string) int {
	for i, s := range list {
		if s == what {
			return i
		}
	}
	return 0
}

func inOrder(list, want []string) bool {
	for _, s := range list {
		if len(want) > 0 && s == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}
