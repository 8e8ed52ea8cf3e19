package home_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/house"

	"github.com/descope/virtualwebauthn"
)

// begin starts the approval of a release.
func (p *person) begin(id string) answer {
	p.t.Helper()
	return p.post("/releases/"+id+"/grant/begin", map[string]any{"looked": true})
}

// finish brings a signature for it.
func (p *person) finish(id string, begun answer, credential json.RawMessage) answer {
	p.t.Helper()
	return p.post("/releases/"+id+"/grant/finish", map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": credential})
}

// TestTwoSign: what the agency may pass to federal agencies takes two members, each with their
// own passkey, over the same grant.
func TestTwoSign(t *testing.T) {
	h, ada, clip, _ := furnished(t)
	q := h.Request(start(h), func(c *relay.Claims) { c.Onward.Federal = true })
	rel := reviewed(t, h, ada, clip, q)
	path := "/releases/" + rel.ID
	ada.page(path).says("This takes the passkeys of 2 members", "Because they say federal agencies may get it.", "Only 1 member of your home may approve.")
	bo, mel := joined(t, h, relay.RoleApprover), joined(t, h, relay.RoleMember)
	waits := func(what string, signed int) {
		t.Helper()
		all, err := h.Store.DB.Approvals(t.Context(), rel.ID)
		ada.ok(err)
		if s := h.Release(rel.ID).State; s != relay.ReleaseInReview || len(all) != signed {
			t.Fatalf("%s: the release is %s with %d signatures", what, s, len(all))
		}
	}
	begun := ada.begin(rel.ID).want(200)
	ada.finish(rel.ID, begun, ada.sign(begun)).want(200)
	waits("after the first signature", 1)
	ada.begin(rel.ID).refused("")
	ada.finish(rel.ID, begun, ada.sign(begun)).refused("")
	waits("after the first member again", 1)
	ada.page(path).says("1 of 2 signed", "Signed by Ada", "You have signed.", begun.text("check_words")).silent("Sign with my passkey")
	if !slices.Contains(bo.page(path).forms(), path+"/grant/begin") {
		t.Error("the second approver has no form to sign")
	}
	mel.begin(rel.ID).want(http.StatusForbidden)

	second := bo.begin(rel.ID).want(200)
	if second.text("grant_sha256") != begun.text("grant_sha256") || second.text("check_words") != begun.text("check_words") {
		t.Fatal("the second member is asked to sign another grant")
	}
	bo.finish(rel.ID, second, ada.sign(second)).refused("") // the first one's passkey in the second one's browser
	waits("with the same passkey", 1)
	lazy := *bo
	lazy.auth.Options.UserNotPresent = true
	bo.finish(rel.ID, second, lazy.sign(second)).refused("")
	waits("with nobody present", 1)
	bo.key.Counter = lazy.key.Counter
	bo.finish(rel.ID, second, bo.sign(second)).want(200)
	live := h.Release(rel.ID)
	if live.State != relay.ReleaseIsLive || relay.GrantHash(live.Grant) != begun.text("grant_sha256") {
		t.Fatalf("the release is %s under grant %s", live.State, relay.GrantHash(live.Grant))
	}
	ada.page(path).says("Signed by Ada and Ada")
	ada.page("/clips").says("in 1 release")
	checkEvidence(t, ada.do("GET", path+"/evidence.zip", nil, nil).want(200).body, live)
}

// TestTwoSignAtOnce lets two approvers sign in the same moment: quorum counts members, and
// there is one grant.
func TestTwoSignAtOnce(t *testing.T) {
	h, ada, clip, _ := furnished(t)
	q := h.Request(start(h), func(c *relay.Claims) { c.Onward.Federal = true })
	bo := joined(t, h, relay.RoleApprover)
	rel := reviewed(t, h, ada, clip, q)
	one, two := ada.begin(rel.ID).want(200), bo.begin(rel.ID).want(200) // each sees nobody's signature
	first, second := ada.sign(one), bo.sign(two)
	codes := make([]int, 2)
	var wg sync.WaitGroup
	wg.Go(func() { p := *ada; codes[0] = p.finish(rel.ID, one, first).code })
	wg.Go(func() { p := *bo; codes[1] = p.finish(rel.ID, two, second).code })
	wg.Wait()
	slices.Sort(codes)
	if !slices.Equal(codes, []int{200, 409}) || h.Release(rel.ID).State != relay.ReleaseInReview {
		t.Fatalf("answers %v, the release is %s", codes, h.Release(rel.ID).State)
	}
	last := ada
	if all, err := h.Store.DB.Approvals(t.Context(), rel.ID); err != nil || all[0].MemberID == string(ada.auth.Options.UserHandle) {
		last = bo
	}
	begun := last.begin(rel.ID).want(200)
	last.finish(rel.ID, begun, last.sign(begun)).want(200)
	if s := h.Release(rel.ID).State; s != relay.ReleaseIsLive {
		t.Fatalf("the release is %s", s)
	}
}

// TestRevokedPasskeySignsNothing: between the two halves of a ceremony the passkey ends.
func TestRevokedPasskeySignsNothing(t *testing.T) {
	h, ada, clip, q := furnished(t)
	rel := reviewed(t, h, ada, clip, q)
	keep := joined(t, h, relay.RoleHomeowner)
	begun := ada.begin(rel.ID).want(200)
	ada.post("/passkeys/"+credentialOf(t, h, ada)+"/revoke", struct{}{}).want(200)
	ada.finish(rel.ID, begun, ada.sign(begun)).refused("")
	ada.begin(rel.ID).refused("") // there is no passkey to ask for
	if s := h.Release(rel.ID).State; s != relay.ReleaseInReview {
		t.Fatalf("the release is %s", s)
	}
	begun = keep.begin(rel.ID).want(200)
	keep.finish(rel.ID, begun, keep.sign(begun)).want(200)
}

// credentialOf is the id of somebody's only passkey.
func credentialOf(t *testing.T, h *house.House, p *person) string {
	t.Helper()
	keys, err := h.Store.DB.Credentials(t.Context(), string(p.auth.Options.UserHandle))
	p.ok(err)
	if len(keys) != 1 {
		t.Fatalf("%d passkeys", len(keys))
	}
	return keys[0].ID
}

// TestRecoveryCode: a code lets its member in once, with a new passkey; nothing can be approved
// for two days, and what is out can be taken back.
func TestRecoveryCode(t *testing.T) {
	h, ada, clip, q := furnished(t)
	rel := reviewed(t, h, ada, clip, q)
	ada.approve(rel.ID)
	waiting := reviewed(t, h, ada, clip, h.Request(start(h), nil))
	ada.page("/household").says("You have no recovery codes.")
	var made struct{ Codes []string }
	ada.ok(json.Unmarshal(ada.post("/recovery-codes", struct{}{}).want(200).body, &made))
	form := regexp.MustCompile(`^([A-Z2-7]{5}-){4}[A-Z2-7]{6}$`)
	if len(made.Codes) != 10 || slices.ContainsFunc(made.Codes, func(c string) bool { return !form.MatchString(c) }) {
		t.Fatalf("codes %v", made.Codes)
	}
	ada.page("/household").says("You have 10 recovery codes left.")
	ada.page("/recovery-codes").says("New codes make those void.").silent(made.Codes[0])
	if log := string(ada.do("GET", "/log.jsonl", nil, nil).want(200).body); strings.Contains(log, made.Codes[0]) {
		t.Error("the log holds a code")
	}

	lost := visitor(t, h)
	lost.page("/sign-in").says("come back with a recovery code")
	lost.page("/recover").says("Every member of your home is told.")
	lost.post("/recover/begin", map[string]any{"code": "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A", "device": ""}).refused("code")
	lost.post("/recover/begin", map[string]any{"code": "", "device": ""}).refused("code")
	begun := lost.post("/recover/begin", map[string]any{"code": strings.ToLower(strings.ReplaceAll(made.Codes[3], "-", " ")), "device": "New phone"}).want(200)
	credential := lost.register(begun)
	finish := func(p *person, code string) answer {
		return p.post("/recover/finish", map[string]any{"code": code, "device": "New phone", "ceremony": begun.text("ceremony"), "credential": credential})
	}
	finish(lost, made.Codes[4]).refused("code")
	// An invitation's or a member's own registration does not take what a code began.
	lost.post("/join/finish", map[string]any{"token": made.Codes[3], "ceremony": begun.text("ceremony"), "credential": credential}).refused("")
	ada.post("/passkeys/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": credential}).refused("")
	finish(lost, made.Codes[3]).want(200)
	fresh := visitor(t, h)
	fresh.post("/recover/begin", map[string]any{"code": made.Codes[3], "device": ""}).refused("code")
	lost.page("/household").says("Nothing can be approved until", "You have 9 recovery codes left.", "New phone")
	lost.page("/activity").says("came back without a passkey, by a recovery code")
	mails, err := h.Store.DB.MailAbout(t.Context(), string(lost.auth.Options.UserHandle))
	lost.ok(err)
	if len(mails) != 1 || mails[0].Kind != "recovered" {
		t.Errorf("mails %+v", mails)
	}

	lost.begin(waiting.ID).refused("")
	lost.page("/releases/" + waiting.ID).says("Nothing can be approved until").silent("Sign with my passkey")
	lost.post("/releases/"+rel.ID+"/revoke", map[string]any{"reason": ""}).want(200)
	h.Pass(47 * time.Hour)
	begunIn := lost.post("/sign-in/begin", struct{}{}).want(200)
	lost.post("/sign-in/finish", map[string]any{"ceremony": begunIn.text("ceremony"), "credential": lost.sign(begunIn)}).want(200)
	lost.begin(waiting.ID).refused("")
}

// TestInvitedBack: a link that the relay's own machine printed gives a member a new passkey.
func TestInvitedBack(t *testing.T) {
	h, ada, _, _ := furnished(t)
	id, token := string(ada.auth.Options.UserHandle), relay.NewID()
	ada.ok(h.Store.DB.InviteBack(t.Context(), storage.Invitation{TokenHash: hash(token), Role: relay.RoleHomeowner, Name: "Ada", InvitedBy: "command line", ExpiresAt: h.Now().Add(time.Hour), MemberID: id}, h.Now()))
	back := visitor(t, h)
	begun := back.post("/join/begin", map[string]any{"token": token, "name": "Mallory", "email": "mallory@evil.example"}).want(200)
	finish := map[string]any{"token": token, "ceremony": begun.text("ceremony"), "credential": back.register(begun)}
	back.post("/join/finish", finish).want(200)
	back.post("/join/finish", finish).refused("")
	members, err := h.Store.DB.Members(t.Context())
	ada.ok(err)
	keys, err := h.Store.DB.Credentials(t.Context(), id)
	ada.ok(err)
	if len(members) != 1 || members[0].Name != "Ada" || members[0].Email != "ada@home.example" || len(keys) != 2 {
		t.Errorf("members %+v with %d passkeys", members, len(keys))
	}
	back.page("/household").says("Nothing can be approved until")
}

// TestHousehold: passkeys are renamed and end, and every browser is signed out at once.
func TestHousehold(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	own := "/passkeys/" + credentialOf(t, h, p)
	p.post(own+"/revoke", struct{}{}).refused("")
	p.post(own+"/rename", map[string]any{"name": " "}).refused("name")
	p.post(own+"/rename", map[string]any{"name": "Blue phone"}).want(200)
	p.page("/household").says("Blue phone", "This is your only passkey")
	grace := joined(t, h, relay.RoleMember)
	grace.post(own+"/rename", map[string]any{"name": "Mine"}).want(404)
	grace.post(own+"/revoke", struct{}{}).want(404)

	begun := p.post("/passkeys/begin", map[string]any{"device": "Tablet"}).want(200)
	more := *p
	more.key, more.auth = visitor(t, h).key, virtualwebauthn.NewAuthenticator()
	p.post("/passkeys/finish", map[string]any{"device": "Tablet", "ceremony": begun.text("ceremony"), "credential": more.register(begun)}).want(200)
	more.cookie = ""
	in := more.post("/sign-in/begin", struct{}{}).want(200)
	more.post("/sign-in/finish", map[string]any{"ceremony": in.text("ceremony"), "credential": more.sign(in)}).want(200)
	more.post(own+"/revoke", struct{}{}).want(200)
	more.page("/household").silent("Blue phone")
	p.get("/").want(http.StatusSeeOther) // it may have begun with that passkey
	p.cookie = ""
	in = p.post("/sign-in/begin", struct{}{}).want(200)
	p.post("/sign-in/finish", map[string]any{"ceremony": in.text("ceremony"), "credential": p.sign(in)}).refused("")

	two := more
	two.cookie = ""
	in = two.post("/sign-in/begin", struct{}{}).want(200)
	two.post("/sign-in/finish", map[string]any{"ceremony": in.text("ceremony"), "credential": two.sign(in)}).want(200)
	out := more.post("/sign-out-everywhere", struct{}{}).want(200)
	if out.header.Get("Clear-Site-Data") == "" {
		t.Error("the browser keeps what it has")
	}
	two.get("/").want(http.StatusSeeOther)
	grace.get("/").want(200)
}

// TestEndEverything: one tap ends all that is live, also for a member who may not approve.
func TestEndEverything(t *testing.T) {
	h, ada, clip, q := furnished(t)
	a := reviewed(t, h, ada, clip, q)
	ada.approve(a.ID)
	b := reviewed(t, h, ada, clip, h.Request(start(h), nil), "0", "1")
	ada.approve(b.ID)
	links, err := h.Store.DB.LinksOf(t.Context(), b.ID)
	ada.ok(err)
	mel := joined(t, h, relay.RoleMember)

	// One recipient, everywhere.
	i := slices.IndexFunc(links, func(l relay.Link) bool { return l.CopyID == b.Copies[0].ID })
	mel.post("/links/"+links[i].ID+"/revoke-recipient", struct{}{}).want(200)
	first, err := h.Store.DB.LinksOf(t.Context(), a.ID)
	ada.ok(err)
	again, err := h.Store.DB.LinksOf(t.Context(), b.ID)
	ada.ok(err)
	ended := 0
	for _, l := range append(first, again...) {
		if !l.RevokedAt.IsZero() {
			ended++
		}
	}
	if ended != 2 || h.Release(b.ID).State != relay.ReleaseIsLive {
		t.Errorf("%d links ended, want 2; the release is %s", ended, h.Release(b.ID).State)
	}

	mel.post("/end-everything", map[string]any{"hours": 0, "reason": ""}).refused("hours")
	mel.post("/end-everything", map[string]any{"hours": 337, "reason": ""}).refused("hours")
	mel.post("/end-everything", map[string]any{"hours": 2, "reason": strings.Repeat("x", 301)}).refused("reason")
	c := reviewed(t, h, ada, clip, h.Request(start(h), nil))
	begun := ada.begin(c.ID).want(200)
	mel.post("/end-everything", map[string]any{"hours": 2, "reason": "The car is ours."}).want(200)
	for _, id := range []string{a.ID, b.ID} {
		if rel := h.Release(id); rel.State != relay.ReleaseIsRevoked || rel.EndReason != "The car is ours." {
			t.Errorf("release %s is %s", id, rel.State)
		}
	}
	ada.finish(c.ID, begun, ada.sign(begun)).refused("")
	ada.page("/releases").says("Nothing can be approved until", "because a member ended everything", "Nothing is shared.")
	h.Pass(2 * time.Hour)
	in := ada.post("/sign-in/begin", struct{}{}).want(200)
	ada.post("/sign-in/finish", map[string]any{"ceremony": in.text("ceremony"), "credential": ada.sign(in)}).want(200)
	ada.approve(c.ID)
}

// hash is how a token is stored.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
