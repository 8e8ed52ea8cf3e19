package home_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"cliplease/relay"
)

// TestExceptions: a member uncovers something, with a reason; the copies say that it was found again;
// two members sign; and the page, the receipt, the custody report, the log and the evidence all say so.
func TestExceptions(t *testing.T) {
	h, ada, clip, q := furnished(t)
	rel := reviewed(t, h, ada, clip, q)
	path := "/releases/" + rel.ID
	edits := func(raw string) map[string]any {
		return draftOf(clip, func(d map[string]any) { d["edits"] = json.RawMessage(raw) })
	}
	const reason = "A poster in the window, no person"
	const one = `[{"kind":"exception","track":"face-1","reason":" A poster  in the window, no person "}]`

	// A home of one is told why it cannot.
	ada.page(path).says("Only one member of your home may approve, so nothing can be uncovered", "invite another approver").silent("Uncover… Face 1")
	ada.post(path+"/edit", edits(one)).refused("edits")
	bo := joined(t, h, relay.RoleApprover)
	ada.page(path).says("It then takes the passkeys of two members")

	for what, raw := range map[string]string{
		"no reason":             `[{"kind":"exception","track":"face-1","reason":""}]`,
		"a reason of spaces":    `[{"kind":"exception","track":"face-1","reason":"                              "}]`,
		"a short reason":        `[{"kind":"exception","track":"face-1","reason":"a poster"}]`,
		"a long reason":         `[{"kind":"exception","track":"face-1","reason":"` + strings.Repeat("a poster ", 30) + `"}]`,
		"no such track":         `[{"kind":"exception","track":"face-9","reason":"` + reason + `"}]`,
		"what a person drew":    `[{"kind":"exception","track":"edit-1","reason":"` + reason + `"}]`,
		"places that it claims": `[{"kind":"exception","of":"face","keys":[{"at_ns":1000000000,"x":0,"y":0,"w":1,"h":1}],"reason":"` + reason + `","by":"somebody else"}]`,
	} {
		if a := ada.post(path+"/edit", edits(raw)); a.code != 422 && a.code != 400 {
			t.Errorf("%s: answer %d %s", what, a.code, a.body)
		}
	}
	if rel := h.Release(rel.ID); rel.State != relay.ReleaseInReview || rel.Round != 1 {
		t.Fatalf("what was refused left the release %s in round %d", rel.State, rel.Round)
	}

	// The engine does not find it again: nothing is uncovered, one signature is enough, and a person has to look.
	ada.post(path+"/edit", edits(one)).want(200)
	var drawn []relay.Edit
	ada.ok(json.Unmarshal(h.Release(rel.ID).Draft.Edits, &drawn))
	if len(drawn) != 1 || drawn[0].Track != "" || drawn[0].Of != "face" || len(drawn[0].Keys) != 2 || drawn[0].Reason != reason || drawn[0].By != string(ada.auth.Options.UserHandle) {
		t.Fatalf("the draft has %+v", drawn)
	}
	h.Work(rel.ID, func(s *relay.Summary) {
		s.Findings = append(s.Findings, relay.Doubt{At: 0.4, Kind: "face", Why: "unmatched"})
	})
	ada.page(path).says("what was to be left visible was not found again, so it is hidden").silent("1 thing uncovered", "This takes the passkeys")

	// It does.
	kept := string(h.Release(rel.ID).Draft.Edits)
	ada.post(path+"/edit", edits(strings.Replace(kept, reason, reason+" at all", 1))).refused("edits") // the reason of another
	bo.post(path+"/edit", edits(kept)).want(200)
	if got := string(h.Release(rel.ID).Draft.Edits); got != kept {
		t.Fatalf("the exception became %s, was %s", got, kept)
	}
	h.Work(rel.ID, func(s *relay.Summary) {
		s.Exceptions = []relay.Exception{{Kind: "face", FromMS: 400, ToMS: 3200, Reason: reason, By: drawn[0].By}}
		s.Spans[0].Open, s.Tracks = true, map[string]int{"face": 1, "plate": 1, "uncovered": 1}
		s.Findings = append(s.Findings, relay.Doubt{At: 0.4, Until: 3.2, Kind: "face", Why: "uncovered"})
	})
	for _, p := range []*person{ada, bo} {
		p.page(path).says("1 thing uncovered", reason, "by Ada", "left visible", "This takes the passkeys of 2 members", "Because something is left unhidden.")
	}
	begun := ada.begin(rel.ID).want(200)
	ada.finish(rel.ID, begun, ada.sign(begun)).want(200)
	ada.begin(rel.ID).refused("")
	if s := h.Release(rel.ID).State; s != relay.ReleaseInReview {
		t.Fatalf("after the first signature it is %s", s)
	}
	second := bo.begin(rel.ID).want(200)
	bo.finish(rel.ID, second, bo.sign(second)).want(200)
	live := h.Release(rel.ID)
	var g relay.Grant
	ada.ok(json.Unmarshal(live.Grant, &g))
	if live.State != relay.ReleaseIsLive || len(g.Redaction.Exceptions) != 1 || g.Redaction.Exceptions[0].Reason != reason || g.Signatures() != 2 {
		t.Fatalf("the release is %s under %s", live.State, live.Grant)
	}
	ada.page(path+"/receipt").says("1 thing uncovered", reason, "by Ada")
	ada.page(path).says("approved a release with 1 thing uncovered", "changed a release to uncover 1 thing")
	ada.page("/activity").says("signed a release with 1 thing uncovered")
	custody := string(ada.do("GET", path+"/custody.json", nil, nil).want(200).body)
	for _, part := range []string{reason, "left visible on purpose: 1"} {
		if !strings.Contains(custody, part) {
			t.Errorf("the custody report lacks %q", part)
		}
	}
	if a := ada.do("GET", path+"/custody.pdf", nil, nil).want(200); len(a.body) == 0 {
		t.Error("no PDF")
	}
	evidence := ada.do("GET", path+"/evidence.zip", nil, nil).want(200).body
	checkEvidence(t, evidence, live)
	if !bytes.Contains(evidence, []byte(reason)) {
		t.Error("the evidence does not say why something is visible")
	}
}
