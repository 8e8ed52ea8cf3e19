package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"cliplease/relay"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Verified says what [Store.Verify] went through.
type Verified struct {
	Entries     int64 `json:"entries"`     // of the log
	Signed      int64 `json:"signed"`      // entries that the newest checkpoint covers
	Checkpoints int   `json:"checkpoints"` //
	Requests    int   `json:"requests"`
	Releases    int   `json:"releases"`
	Keys        int   `json:"keys"` // in the key store
}

// maxFindings is how many broken promises one check lists.
const maxFindings = 20

// Verify checks all that must hold at any moment, whatever crashed before:
//
//   - the log is whole, every entry opens its own leaf, and every checkpoint is signed by this
//     relay and states the root that the entries have;
//   - every request, release, clip, agency and member is in the state in which its events in
//     the log leave it, one event for each move;
//   - no release was ever live without a grant that a passkey signed, that covers exactly its
//     copies, and that the log names, with a manifest of each copy; no link goes further than its grant;
//   - no link has more views than it may, and every view was counted;
//   - what detectors found is kept only for releases that can be prepared again;
//   - of what has ended no link or view is left open, and the keys are gone or their
//     destruction is queued;
//   - the masks of every camera are the last of its history, and the log names each of them;
//   - what an agency may see follows from its own request and what was released to it.
//
// The error lists what does not hold, at most 20 findings. Verify reads one snapshot and changes
// nothing, so that it can run beside a serving relay.
func (s *Store) Verify(ctx context.Context) (v Verified, err error) {
	defer wrap(&err, "verify")
	keys := map[string]bool{}
	tx, err := s.DB.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return v, err
	}
	defer tx.Rollback()
	key, err := relay.NewPublicKey(s.Identity.Relay.Public())
	if err != nil {
		return v, err
	}
	k := &check{ctx: ctx, q: tx, db: s.DB, key: key, keys: keys, told: map[string][]told{}, requests: map[string]relay.Request{}, releases: map[string]relay.Release{}}
	verifier, err := s.Identity.AuditVerifier()
	if err != nil {
		return v, err
	}
	if err := k.log(verifier, &v); err != nil {
		return v, err
	}
	if err := k.public(verifier); err != nil {
		return v, err
	}
	// Keys are read after the snapshot began: a key that the snapshot calls destroyed cannot
	// come back, so that no order of events makes a false finding.
	for id, err := range s.Keys.IDs(ctx) {
		if err != nil {
			return v, err
		}
		keys[id] = true
	}
	v.Keys = len(keys)
	for _, step := range []func() error{k.readReleases, k.checkRequests, k.checkRules, k.checkReleases, k.checkSearches, k.checkLinks, k.checkViews, k.checkClips, k.checkMasks, k.checkParties, k.checkMail} {
		if err := step(); err != nil {
			return v, err
		}
	}
	v.Requests, v.Releases = len(k.requests), len(k.releases)
	return v, errors.Join(k.findings...)
}

// told is one event of the log as the checks need it.
type told struct {
	kind  relay.EventKind
	index int64
	data  relay.Data
}

// check is one run of [Store.Verify].
type check struct {
	ctx      context.Context
	q        querier
	db       *DB
	key      relay.PublicKey // the relay's
	keys     map[string]bool
	told     map[string][]told // by subject, in order
	requests map[string]relay.Request
	releases map[string]relay.Release
	findings []error
}

// wrong notes a promise that does not hold.
func (k *check) wrong(format string, args ...any) {
	if len(k.findings) < maxFindings {
		k.findings = append(k.findings, fmt.Errorf(format, args...))
	}
}

// count returns how many events of a kind the log has about subject.
func (k *check) count(subject string, kind relay.EventKind) (n int) {
	for _, e := range k.told[subject] {
		if e.kind == kind {
			n++
		}
	}
	return n
}

// mustCount notes a finding unless the log has exactly want events.
func (k *check) mustCount(what, subject string, kind relay.EventKind, want int) {
	if n := k.count(subject, kind); n != want {
		k.wrong("%s %s: the log has %d events %s, want %d", what, subject, n, kind, want)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// logRow is an entry with the columns by which it is found.
type logRow struct {
	relay.Entry
	kind, subject string
	at            time.Time
}

func (k *check) log(verifier note.Verifier, v *Verified) error {
	notes, err := list(k.ctx, k.q, func(r scanner) (n struct {
		size int64
		text string
	}, err error) {
		err = r.Scan(&n.size, &n.text)
		return n, err
	}, "SELECT size, note FROM checkpoints ORDER BY size")
	if err != nil {
		return err
	}
	roots := map[int64]tlog.Hash{}
	for _, n := range notes {
		c, err := relay.OpenCheckpoint([]byte(n.text), verifier)
		switch {
		case err != nil:
			k.wrong("log: the checkpoint of %d entries is not this relay's: %w", n.size, err)
		case c.Size != n.size || c.Origin != verifier.Name():
			k.wrong("log: the checkpoint of %d entries is one of %s and %d entries", n.size, c.Origin, c.Size)
		default:
			roots[c.Size], v.Signed = c.Root, c.Size
		}
	}
	v.Checkpoints = len(roots)
	hashes, err := k.hashes("log_hashes")
	if err != nil {
		return err
	}
	var tree relay.Tree
	rows, err := k.q.QueryContext(k.ctx, "SELECT idx, leaf, event, salt, kind, subject, at FROM log_entries ORDER BY idx")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e logRow
		var event string
		if err := rows.Scan(&e.Index, &e.Leaf, &event, &e.Salt, &e.kind, &e.subject, at{&e.at}); err != nil {
			return err
		}
		if event != "" {
			e.Event = json.RawMessage(event)
		}
		if e.Index != tree.Size() {
			k.wrong("log: entry %d is missing", tree.Size())
			return rows.Err() // the rest would be one finding after the other
		}
		k.entry(e)
		if i := tlog.StoredHashIndex(0, e.Index); i >= int64(len(hashes)) || hashes[i] != e.LeafHash() {
			k.wrong("log: entry %d: stored hash %d is not that of its leaf: one of the two was changed", e.Index, i)
		}
		if err := tree.Append(e.Leaf); err != nil {
			return err
		}
		if root, ok := roots[tree.Size()]; ok {
			if got, err := tree.Root(); err != nil {
				return err
			} else if got != root {
				k.wrong("log: the first %d entries are not those of the checkpoint: one of them was changed, or the log was rewritten", tree.Size())
			}
			delete(roots, tree.Size())
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	v.Entries = tree.Size()
	delete(roots, 0)
	for size := range roots {
		k.wrong("log: it ends after %d entries, a checkpoint states %d", tree.Size(), size)
	}
	if i := tree.Differs(hashes); i >= 0 {
		if level, n := tlog.SplitStoredHashIndex(int64(i)); level > 0 { // that of a leaf was named above
			k.wrong("log: stored hash %d is not that of entries %d to %d", i, n<<level, (n+1)<<level-1)
		} else if n >= tree.Size() {
			k.wrong("log: stored hash %d is that of no entry", i)
		}
	}
	var size int64
	if err := k.q.QueryRowContext(k.ctx, "SELECT size FROM log_state WHERE id = 1").Scan(&size); err != nil {
		return err
	}
	if size != tree.Size() {
		k.wrong("log: it has %d entries and says %d", tree.Size(), size)
	}
	return nil
}

// hashes reads the stored hashes of a tree. One that is missing is zero.
func (k *check) hashes(table string) (all []tlog.Hash, err error) {
	rows, err := k.q.QueryContext(k.ctx, "SELECT idx, hash FROM "+table+" ORDER BY idx")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var i int64
		var text string
		if err := rows.Scan(&i, &text); err != nil {
			return nil, err
		}
		for int64(len(all)) < i {
			all = append(all, tlog.Hash{})
		}
		h, err := tlog.ParseHash(text)
		if err != nil {
			k.wrong("log: stored hash %d cannot be read", i)
		}
		all = append(all, h)
	}
	return all, rows.Err()
}

// entry checks one entry of the log and remembers its event.
func (k *check) entry(e logRow) {
	if err := e.Check(); err != nil {
		k.wrong("log: %w", err)
		return
	}
	if e.kind == "" && e.Event != nil {
		k.wrong("log: entry %d is filed as forgotten and has its event", e.Index)
	}
	t := told{kind: relay.EventKind(e.kind), index: e.Index}
	if e.Event != nil {
		var v relay.Event
		if err := json.Unmarshal(e.Event, &v); err != nil {
			k.wrong("log: entry %d: %w", e.Index, err)
			return
		}
		if string(v.Kind) != e.kind || v.Subject != e.subject || relay.Stamp(v.At) != relay.Stamp(e.at) {
			k.wrong("log: entry %d is filed as %s of %s and says %s of %s", e.Index, e.kind, e.subject, v.Kind, v.Subject)
		}
		t.data = v.Data
	}
	k.told[e.subject] = append(k.told[e.subject], t)
}

func (k *check) readReleases() error {
	all, err := list(k.ctx, k.q, scanRelease, "SELECT "+releaseColumns+" FROM releases")
	for _, rel := range all {
		k.releases[rel.ID] = rel
	}
	return err
}

func (k *check) checkRequests() error {
	all, err := list(k.ctx, k.q, scanRequest, "SELECT "+requestColumns+" FROM requests")
	for _, q := range all {
		k.requests[q.ID] = q
		k.mustCount("request", q.ID, relay.RequestReceived, 1)
		k.mustCount("request", q.ID, relay.RequestSeen, bit(!q.SeenAt.IsZero()))
		k.mustCount("request", q.ID, relay.RequestWithdrawn, bit(!q.WithdrawnAt.IsZero()))
		k.mustCount("request", q.ID, relay.RequestDeclined, bit(q.Reason == relay.ClosedDeclined)+k.count(q.ID, relay.RequestReconsidered))
		k.mustCount("request", q.ID, relay.RequestLapsed, bit(q.Reason == relay.ClosedDeadline))
		k.mustCount("request", q.ID, relay.RequestKeyStolen, bit(q.Reason == relay.ClosedKey))
		sum := sha256.Sum256([]byte(q.JWS))
		if q.SHA256 != hex.EncodeToString(sum[:]) {
			k.wrong("request %s: its token was changed", q.ID)
		}
		for _, e := range k.told[q.ID] {
			if e.kind == relay.RequestReceived && e.data != nil && e.data["request_sha256"] != q.SHA256 {
				k.wrong("request %s: the log names another token", q.ID)
			}
		}
		rel, made := k.releases[q.ReleaseID]
		if q.ReleasedAt.IsZero() == made || made && (rel.RequestID != q.ID || rel.GrantID == "") {
			k.wrong("request %s: the agency sees a release that is none", q.ID)
		}
		if made && q.EndedAt.IsZero() == rel.State.Ended() {
			k.wrong("request %s: the agency's view does not follow release %s, which is %s", q.ID, rel.ID, rel.State)
		}
	}
	return err
}

func (k *check) checkReleases() error {
	waiting, err := k.waitingShreds()
	if err != nil {
		return err
	}
	for _, rel := range k.releases {
		var state relay.ReleaseState
		edits := 0
		for _, e := range k.told[rel.ID] {
			next, ok := state.After(e.kind)
			if !ok {
				k.wrong("release %s: event %s when it was %q (log entry %d)", rel.ID, e.kind, state, e.index)
			}
			if e.kind == relay.ReleaseEdited {
				edits++
			}
			state = next
		}
		if state != rel.State || rel.Round != edits+1 || rel.Epoch != bit(rel.State.Ended()) {
			k.wrong("release %s is %s in round %d, epoch %d; its events leave it %s in round %d", rel.ID, rel.State, rel.Round, rel.Epoch, state, edits+1)
		}
		k.mustCount("release", rel.ID, relay.ReleaseShredded, bit(!rel.ShreddedAt.IsZero()))
		if err := k.grant(rel); err != nil {
			return err
		}
		switch {
		case !rel.ShreddedAt.IsZero():
			for _, id := range Remains(rel).Keys {
				if k.keys[id] {
					k.wrong("release %s is called shredded, and key %s is there", rel.ID, id)
				}
			}
		case rel.State.Ended() && !waiting[rel.ID]:
			k.wrong("release %s has ended, and nothing is queued to destroy its keys", rel.ID)
		}
	}
	return nil
}

// grant checks that a release that is or was live has one grant, and another none.
func (k *check) grant(rel relay.Release) error {
	records, err := list(k.ctx, k.q, scanGrant, "SELECT "+grantColumns+" FROM grants WHERE release_id = $1", rel.ID)
	if err != nil {
		return err
	}
	if want := bit(!rel.GrantedAt.IsZero()); len(records) != want || k.count(rel.ID, relay.ReleaseGranted) != want ||
		want == 0 && (rel.State == relay.ReleaseIsLive || rel.State == relay.ReleaseIsRevoked || rel.State == relay.ReleaseIsExpired) {
		k.wrong("release %s is %s with %d grants, and %d in the log", rel.ID, rel.State, len(records), k.count(rel.ID, relay.ReleaseGranted))
		return nil
	}
	earlier, err := list(k.ctx, k.q, scanApproval, approvalsOf, rel.ID)
	if err != nil {
		return err
	}
	if len(records) == 0 && len(earlier) > 0 && rel.State != relay.ReleaseInReview {
		k.wrong("release %s is %s, and signatures wait for others", rel.ID, rel.State)
	}
	for _, a := range earlier {
		if len(records) == 0 && a.Round != rel.Round || len(records) > 0 && string(a.Document) != string(rel.Grant) {
			k.wrong("release %s: a member signed something else", rel.ID)
		}
		if _, err := relay.CheckAssertion(a.Signature.assertion(), relay.GrantChallenge(a.Document)); err != nil {
			k.wrong("release %s: the passkey in place %d did not sign this grant: %w", rel.ID, a.Place, err)
		}
	}
	for _, r := range records {
		var g relay.Grant
		if err := json.Unmarshal(r.Document, &g); err != nil {
			k.wrong("release %s: the grant cannot be read: %w", rel.ID, err)
			continue
		}
		if string(r.Document) != string(rel.Grant) || g.GrantID != r.ID || r.ID != rel.GrantID || relay.Stamp(rel.ExpiresAt) != g.Access.Expires {
			k.wrong("release %s is not the one of its grant", rel.ID)
		}
		if len(earlier)+1 != g.Signatures() || slices.ContainsFunc(earlier, func(a Approval) bool { return a.MemberID == r.MemberID || a.CredentialID == r.CredentialID }) {
			k.wrong("release %s: its grant needs %d members and has %d signatures", rel.ID, g.Signatures(), len(earlier)+1)
		}
		if err := g.Covers(rel, k.requests[rel.RequestID]); err != nil {
			k.wrong("release %s: %w", rel.ID, err)
		}
		if _, err := relay.CheckAssertion(r.Signature.assertion(), relay.GrantChallenge(r.Document)); err != nil {
			k.wrong("release %s: the passkey did not sign this grant: %w", rel.ID, err)
		}
		if !slices.ContainsFunc(k.told[rel.ID], func(e told) bool {
			return e.kind == relay.ReleaseGranted && e.index == r.LogIndex && (e.data == nil || e.data["grant_sha256"] == relay.GrantHash(r.Document))
		}) {
			k.wrong("release %s: the log does not name its grant", rel.ID)
		}
		if err := k.manifests(rel, g, r); err != nil {
			return err
		}
	}
	return nil
}

// waitingShreds returns the releases whose destruction is queued.
func (k *check) waitingShreds() (map[string]bool, error) {
	args := "json(args)" // SQLite keeps it as JSONB
	if k.db.pool != nil {
		args = "args"
	}
	jobs, err := list(k.ctx, k.q, func(r scanner) (j ShredJob, err error) { err = r.Scan(document{&j}); return },
		"SELECT "+args+" FROM river_job WHERE kind = $1 AND finalized_at IS NULL", ShredJob{}.Kind())
	waiting := map[string]bool{}
	for _, j := range jobs {
		waiting[j.ReleaseID] = true
	}
	return waiting, err
}

func (k *check) checkLinks() error {
	links, err := list(k.ctx, k.q, scanLink, "SELECT "+linkColumns+" FROM links l")
	for _, l := range links {
		rel := k.releases[l.ReleaseID]
		var g relay.Grant
		if err := json.Unmarshal(rel.Grant, &g); err != nil {
			k.wrong("link %s: its release has no grant", l.ID)
			continue
		}
		if !slices.ContainsFunc(g.Outputs, func(o relay.GrantOutput) bool { return o.Recipient == l.CopyID }) {
			k.wrong("link %s opens a copy that the grant does not name", l.ID)
		}
		if l.ViewsUsed > l.MaxViews || l.MaxViews > g.Access.MaxViews || l.ExpiresAt.After(rel.ExpiresAt) || l.Epoch != 0 {
			k.wrong("link %s goes further than its grant", l.ID)
		}
		ended := rel.State.Ended() || slices.ContainsFunc(k.told[rel.ID], func(e told) bool {
			return e.kind == relay.LinkRevoked && (e.data == nil || e.data["link"] == l.ID)
		})
		if ended == l.RevokedAt.IsZero() {
			k.wrong("link %s: whether it has ended is not what the log says", l.ID)
		}
	}
	return err
}

func (k *check) checkViews() error {
	type row struct {
		link            string
		used            int
		revoked         bool
		views, stillRun int
	}
	rows, err := list(k.ctx, k.q, func(r scanner) (v row, err error) {
		var revokedAt time.Time
		err = r.Scan(&v.link, &v.used, at{&revokedAt}, &v.views, &v.stillRun)
		v.revoked = !revokedAt.IsZero()
		return v, err
	}, `SELECT l.id, l.views_used, l.revoked_at, (SELECT count(*) FROM view_sessions v WHERE v.link_id = l.id AND v.kind = 'view'),
		(SELECT count(*) FROM view_sessions v WHERE v.link_id = l.id AND v.ended_at = 0) FROM links l`)
	for _, v := range rows {
		if v.views != v.used {
			k.wrong("link %s: %d views were started and %d counted", v.link, v.views, v.used)
		}
		if v.revoked && v.stillRun > 0 {
			k.wrong("link %s has ended, and %d sessions still run", v.link, v.stillRun)
		}
	}
	return err
}

func (k *check) checkClips() error {
	clips, err := list(k.ctx, k.q, scanClip, "SELECT "+clipColumns+" FROM clips")
	for _, c := range clips {
		k.mustCount("clip", c.ID, relay.ClipReceivedEv, 1)
		k.mustCount("clip", c.ID, relay.ClipDisposedEv, bit(c.State == relay.ClipDisposed))
		if c.State != relay.ClipDisposed {
			k.mustCount("clip", c.ID, relay.ClipReadyEv, bit(c.State == relay.ClipReady))
			k.mustCount("clip", c.ID, relay.ClipRefusedEv, bit(c.State == relay.ClipRefused))
		}
	}
	if err != nil {
		return err
	}
	uploads, err := list(k.ctx, k.q, scanUpload, "SELECT "+uploadColumns+" FROM uploads")
	for _, u := range uploads {
		k.mustCount("upload", u.ID, relay.UploadBegun, 1)
		k.mustCount("upload", u.ID, relay.UploadDropped, 0)
	}
	return err
}

func (k *check) checkParties() error {
	agencies, err := list(k.ctx, k.q, scanAgency, "SELECT "+agencyColumns+" FROM agencies")
	if err != nil {
		return err
	}
	for _, a := range agencies {
		k.mustCount("agency", a.ID, relay.AgencyRegistered, 1)
	}
	pinned, err := list(k.ctx, k.q, scanKey, "SELECT "+keyColumns+" FROM agency_keys")
	if err != nil {
		return err
	}
	for _, a := range pinned {
		k.mustCount("agency key", a.KID, relay.KeyAdded, 1)
	}
	members, err := list(k.ctx, k.q, scanMember, "SELECT "+memberColumns+" FROM members")
	for _, m := range members {
		k.mustCount("member", m.ID, relay.MemberJoined, 1)
		k.mustCount("member", m.ID, relay.MemberRemoved, bit(!m.RemovedAt.IsZero()))
	}
	return err
}

func (k *check) checkMail() error {
	mails, err := list(k.ctx, k.q, scanMail, "SELECT "+mailColumns+" FROM outbox")
	for _, m := range mails {
		if m.State != "waiting" && m.Secret != "" {
			k.wrong("mail %s is %s, and its secret is kept", m.ID, m.State)
		}
	}
	return err
}
