package storage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cliplease/relay"
)

func TestCodes(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		rel, s := h.leases()
		_, err := db.LinkByToken(ctx, hexSum("unknown"))
		h.fails(err, relay.ErrNotFound)
		o := h.opens(s)
		h.fails(db.StartView(ctx, o, h.view(o), h.now), relay.ErrNotFound) // no code yet
		h.fails(db.TryCode(ctx, o.Session.TokenHash, h.now), relay.ErrNotFound)
		for range relay.CodesPerHour {
			h.ok(db.SendCode(ctx, o, "ABCD2345", hexSum("code"), map[string]string{"minutes": "10"}, h.now))
		}
		h.allFail(relay.ErrPolicy, map[string]func() error{"a code too many": func() error {
			return db.SendCode(ctx, h.opens(s), "ABCD2345", hexSum("code"), nil, h.now)
		}})
		h.now = h.now.Add(time.Hour)
		o = h.opens(s)
		h.ok(db.SendCode(ctx, o, "WXYZ2345", hexSum("code 2"), nil, h.now))
		o, err = db.View(ctx, o.Session.TokenHash, "pre")
		h.ok(err)
		for range relay.CodeTries {
			h.ok(db.TryCode(ctx, o.Session.TokenHash, h.now))
			h.ok(db.RefuseCode(ctx, o, h.now))
		}
		h.fails(db.TryCode(ctx, o.Session.TokenHash, h.now), relay.ErrNotFound)
		o.Session.CodeMAC = hexSum("another code")
		h.fails(db.StartView(ctx, o, h.view(o), h.now), relay.ErrNotFound)

		h.now = h.now.Add(time.Hour)
		o = h.opens(s)
		h.ok(db.SendCode(ctx, o, "WXYZ2345", hexSum("code 3"), nil, h.now))
		o, err = db.View(ctx, o.Session.TokenHash, "pre")
		h.ok(err)
		late := h.now.Add(relay.CodeLife)
		h.allFail(relay.ErrNotFound, map[string]func() error{
			"a code too late":          func() error { return db.StartView(ctx, o, h.view(o), late) },
			"a try too late":           func() error { return db.TryCode(ctx, o.Session.TokenHash, late) },
			"after the lease":          func() error { return db.StartView(ctx, o, h.view(o), rel.ExpiresAt) },
			"the code of another link": func() error { x := o; x.Link.ID = s.Links[1].Link.ID; return db.StartView(ctx, x, h.view(x), h.now) },
		})
		h.ok(db.StartView(ctx, o, h.view(o), h.now))
		h.fails(db.StartView(ctx, o, h.view(o), h.now), relay.ErrNotFound) // the code is used
		var data []Mail
		mails, err := db.MailAbout(ctx, rel.ID)
		h.ok(err)
		for _, m := range mails {
			if m.Kind == "code" {
				data = append(data, m)
			}
			if m.Secret != "" {
				t.Errorf("mail %s shows its secret", m.Kind)
			}
		}
		if len(data) != relay.CodesPerHour+2 || data[len(data)-1].Address != "det@pd.example" || data[len(data)-1].Data["minutes"] != "10" {
			t.Errorf("codes were mailed: %+v", data)
		}
		var raw string
		h.ok(db.read.QueryRowContext(ctx, "SELECT secret FROM outbox WHERE id = $1", data[0].ID).Scan(&raw))
		if raw == "" || strings.Contains(raw, "WXYZ2345") {
			t.Errorf("the code is in the database: %q", raw)
		}
	})
}

func TestViews(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		rel, s := h.leases()
		// A key recipient has a link of its own and no code.
		key := rel.Copies[1]
		o, err := db.LinkOfKey(ctx, rel.ID, key.ID)
		h.ok(err)
		if o.Copy.Recipient.KID != h.kid || string(o.Release.Grant) != string(rel.Grant) {
			t.Errorf("the key's link opens %+v", o)
		}
		_, err = db.LinkOfKey(ctx, rel.ID, "none")
		h.fails(err, relay.ErrNotFound)
		for i := range rel.Draft.MaxViews {
			v := h.view(o)
			h.ok(db.StartView(ctx, o, v, h.now))
			if i%2 == 0 {
				h.ok(db.Watched(ctx, v.TokenHash, 100, h.now))
				h.ok(db.Watched(ctx, v.TokenHash, 11, h.now))
				h.ok(db.EndView(ctx, v.TokenHash, h.now))
				h.ok(db.EndView(ctx, v.TokenHash, h.now)) // closed twice: one event
			}
		}
		h.allFail(relay.ErrNotFound, map[string]func() error{"a view too many": func() error { return db.StartView(ctx, o, h.view(o), h.now) }})
		views, err := db.Views(ctx, rel.ID)
		h.ok(err)
		if len(views) != 5 || views[0].Copy.ID != key.ID {
			t.Errorf("%d views", len(views))
		}

		// Sweeping ends what is idle or too old, once, and forgets what is over.
		w := h.watches(h.opens(s))
		h.opens(s)
		h.ok(db.UseToken(ctx, h.agency.ID, "jti", h.now.Add(time.Minute)))
		h.ok(db.SaveCeremony(ctx, Ceremony{ID: "c", Kind: "sign_in", Session: "{}", ExpiresAt: h.now.Add(time.Minute)}))
		h.now = h.now.Add(relay.ViewIdle - time.Second)
		h.ok(db.Sweep(ctx, h.now))
		_, err = db.View(ctx, w.TokenHash, "view")
		h.ok(err)
		h.now = h.now.Add(time.Second)
		h.ok(db.Sweep(ctx, h.now))
		_, err = db.View(ctx, w.TokenHash, "view")
		h.fails(err, relay.ErrNotFound)
		size := h.logSize()
		h.ok(db.Sweep(ctx, h.now))
		if h.logSize() != size {
			t.Error("the second sweep found something")
		}
		ended := 0
		for _, k := range h.events(rel.ID) {
			if k == relay.ViewEnded {
				ended++
			}
		}
		if ended != 6 {
			t.Errorf("%d views ended in the log, want 6", ended)
		}
		h.ok(db.UseToken(ctx, h.agency.ID, "jti", h.now.Add(time.Minute))) // its time was over

		// One link ends, the other goes on.
		mine := s.Links[0].Link
		w = h.watches(h.opens(s))
		h.ok(db.RevokeLink(ctx, mine.ID, h.member.ID, h.now))
		_, err = db.View(ctx, w.TokenHash, "view")
		h.fails(err, relay.ErrNotFound)
		h.allFail(relay.ErrConflict, map[string]func() error{"revoke a link twice": func() error { return db.RevokeLink(ctx, mine.ID, h.member.ID, h.now) }})
		h.fails(db.RevokeLink(ctx, "none", h.member.ID, h.now), relay.ErrNotFound)
		l, err := db.Link(ctx, mine.ID)
		h.ok(err)
		rel, err = db.Release(ctx, rel.ID)
		h.ok(err)
		if l.RevokedAt.IsZero() || l.Usable(rel, h.now) == nil || rel.State != relay.ReleaseIsLive {
			t.Errorf("after the link: %+v, %s", l, rel.State)
		}
		links, err := db.LinksOf(ctx, rel.ID)
		h.ok(err)
		if len(links) != 2 {
			t.Errorf("%d links", len(links))
		}
		o, err = db.LinkByToken(ctx, mine.TokenHash)
		h.ok(err)
		h.fails(db.SendCode(ctx, o, "ABCD2345", hexSum("code"), nil, h.now), relay.ErrConflict)

		// A copy whose bytes were changed.
		rel, s = h.leases()
		w = h.watches(h.opens(s))
		o, err = db.View(ctx, w.TokenHash, "view")
		h.ok(err)
		h.ok(db.Damaged(ctx, o, h.now))
		_, err = db.View(ctx, w.TokenHash, "view")
		h.fails(err, relay.ErrNotFound)

		// What the agency attests afterwards.
		a := Attestation{AgencyID: h.agency.ID, JTI: "j", ReleaseID: rel.ID, KID: h.kid, JWS: "a.b.c", SHA256: hexSum("a.b.c"), DestroyedAt: h.now, Statement: "wiped", CreatedAt: h.now}
		_, err = db.AddAttestation(ctx, a)
		h.ok(err)
		size = h.logSize()
		again, err := db.AddAttestation(ctx, a)
		h.ok(err)
		if diff := cmp.Diff(a, again); diff != "" || h.logSize() != size {
			t.Errorf("the same attestation again: %s", diff)
		}
		other := a
		other.JWS = "d.e.f"
		_, err = db.AddAttestation(ctx, other)
		h.fails(err, relay.ErrConflict)
		of, err := db.AttestationsOf(ctx, rel.ID)
		h.ok(err)
		if diff := cmp.Diff([]Attestation{a}, of); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOutbox(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		h.ok(db.QueueMail(ctx, Mail{Kind: "invitation", Address: "bo@home.example", Secret: "https://home.relay.example/join#secret", Subject: "s", ExpiresAt: h.now.Add(time.Hour)}, h.now))
		h.ok(db.TellMembers(ctx, "request", "s", h.now))
		mails, err := db.MailAbout(ctx, "s")
		h.ok(err)
		if len(mails) != 2 {
			t.Fatalf("%d mails", len(mails))
		}
		for _, m := range mails {
			used, err := db.InUse(ctx, m.ID)
			h.ok(err)
			if !used {
				t.Error("the key of a waiting mail counts as an orphan")
			}
			m, err = db.WaitingMail(ctx, m.ID)
			h.ok(err)
			if want := map[string]string{"invitation": "https://home.relay.example/join#secret"}[m.Kind]; m.Secret != want {
				t.Errorf("mail %s has secret %q", m.Kind, m.Secret)
			}
			h.ok(db.MailTried(ctx, m.ID, "451 later"))
			failure := ""
			if m.Kind == "invitation" {
				failure = "550 no such mailbox"
			}
			h.ok(db.MailDone(ctx, m, failure, h.now))
			h.allFail(relay.ErrConflict, map[string]func() error{"done twice": func() error { return db.MailDone(ctx, m, "", h.now) }})
			_, err = db.WaitingMail(ctx, m.ID)
			h.fails(err, relay.ErrNotFound)
			if used, err = db.InUse(ctx, m.ID); err != nil || used {
				t.Errorf("the key of a sent mail is in use, %v", err)
			}
		}
		mails, err = db.MailAbout(ctx, "s")
		h.ok(err)
		for _, m := range mails {
			if want := map[string]string{"invitation": "failed", "request": "sent"}[m.Kind]; m.State != want {
				t.Errorf("mail %s is %s: %s", m.Kind, m.State, m.Failure)
			}
		}
		if keys := keysOf(t, h.Keys); len(keys) != 0 {
			t.Errorf("keys are left: %v", keys)
		}
		if diff := cmp.Diff([]relay.EventKind{relay.MailFailed, relay.MailSent}, h.events("s")); diff != "" {
			t.Log(diff) // the order is that of random ids
		}
	})
}

func TestInUse(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		used := func(key, object string) (k, o bool) {
			t.Helper()
			k, err := db.InUse(ctx, key)
			h.ok(err)
			o, err = db.ObjectInUse(ctx, object)
			h.ok(err)
			return k, o
		}
		rel, s := h.leases()
		key, object := rel.Copies[0].ID, rel.Copies[0].Object
		if k, o := used(key, object); !k || !o {
			t.Error("a live copy counts as an orphan")
		}
		if k, o := used("r"+relay.NewID(), "o"+relay.NewID()); k || o {
			t.Error("what nobody knows counts as used")
		}
		for _, name := range append(h.clip.Stills, h.clip.Object) {
			if _, o := used("x", name); !o {
				t.Error("an original or a still counts as an orphan")
			}
		}
		review := h.prepares(h.asks())
		if k, o := used(ProxyKey(review.ID, 1), review.Proxy); !k || !o {
			t.Error("a proxy under review counts as an orphan")
		}
		if k, _ := used(ProxyKey(review.ID, 2), "x"); k {
			t.Error("the proxy key of another round counts as used")
		}
		_ = s
		h.ok(db.RevokeRelease(ctx, rel.ID, h.member.ID, "", h.now))
		if k, _ := used(key, object); k {
			t.Error("the key of an ended release counts as used")
		}
		h.shreds(rel.ID)
		if _, o := used(key, object); o {
			t.Error("the object of a shredded release counts as used")
		}
	})
}

// TestMoreTime asks for more time and lets leases come near their end: the members and the recipient
// are told once, also when two processes look at the same moment.
func TestMoreTime(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		rel, s := h.leases()
		w := h.watches(h.opens(s))
		o, err := db.View(ctx, w.TokenHash, "view")
		h.ok(err)
		told := func(kind string) (n int) {
			t.Helper()
			for _, subject := range []string{rel.ID, rel.RequestID} {
				mails, err := db.MailAbout(ctx, subject)
				h.ok(err)
				for _, m := range mails {
					if m.Kind == kind {
						n++
					}
				}
			}
			return n
		}
		h.ok(db.AskMore(ctx, o, h.now))
		asked := told("more")
		if asked == 0 {
			t.Error("no member was told")
		}
		h.fails(db.AskMore(ctx, o, h.now.Add(time.Hour)), relay.ErrPolicy)
		if l, err := db.Link(ctx, o.Link.ID); err != nil || !l.AskedAt.Equal(h.now) {
			t.Errorf("asked at %s, %v", l.AskedAt, err)
		}
		if n := told("more"); n != asked {
			t.Errorf("%d mails, want %d", n, asked)
		}
		kinds := h.events(rel.ID)
		if kinds[len(kinds)-1] != relay.LinkAsked {
			t.Errorf("the last event is %s", kinds[len(kinds)-1])
		}

		l := s.Links[0].Link
		if l.RemindAt().IsZero() {
			t.Fatalf("the lease is too short for this test: %s", l.ExpiresAt.Sub(l.CreatedAt))
		}
		h.ok(db.RemindRecipients(ctx, l.RemindAt().Add(-time.Second)))
		if n := told("soon"); n != 0 {
			t.Errorf("%d reminders came early", n)
		}
		done := make(chan error, 8)
		for range cap(done) {
			go func() { done <- db.RemindRecipients(ctx, l.RemindAt()) }()
		}
		for range cap(done) {
			h.ok(<-done)
		}
		mailboxes := 0
		for _, c := range rel.Copies {
			if c.Recipient.Kind == relay.RecipientEmail {
				mailboxes++
			}
		}
		if n := told("soon"); n != mailboxes || n == 0 {
			t.Errorf("%d reminders for %d mailboxes", n, mailboxes)
		}

		// Whoever has no access any more is neither heard nor told.
		rel, s = h.leases()
		w = h.watches(h.opens(s))
		o, err = db.View(ctx, w.TokenHash, "view")
		h.ok(err)
		h.ok(db.RevokeLink(ctx, o.Link.ID, h.member.ID, h.now))
		h.fails(db.AskMore(ctx, o, h.now), relay.ErrNotFound)
		for _, link := range s.Links[1:] {
			h.ok(db.RevokeLink(ctx, link.Link.ID, h.member.ID, h.now))
		}
		h.ok(db.RemindRecipients(ctx, o.Link.RemindAt()))
		if n := told("soon"); n != 0 {
			t.Errorf("%d reminders to revoked links", n)
		}
	})
}
