package home_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"cliplease/relay"
)

// TestEdits: what is drawn on a copy under review goes into the next round, stays in the rounds
// after it, is taken away only when the page says so, and is named by the grant.
func TestEdits(t *testing.T) {
	h, p, clip, q := furnished(t)
	rel := reviewed(t, h, p, clip, q)
	const box = `[{"kind":"box","keys":[{"at_ns":2000000000,"x":0.1,"y":0.1,"w":0.2,"h":0.2}],"follow":true}]`
	edit := func(raw string) map[string]any {
		return draftOf(clip, func(d map[string]any) {
			if raw != "" {
				d["edits"] = json.RawMessage(raw)
			}
		})
	}
	p.post("/releases/"+rel.ID+"/edit", edit(`[{"kind":"exception","track":"face-1","reason":"a friend"}]`)).refused("edits")
	p.post("/releases/"+rel.ID+"/edit", edit(`[{"kind":"exception"}]`)).refused("edits")
	p.post("/releases/"+rel.ID+"/edit", edit(`[{"kind":"box","keys":[{"at_ns":3600000000000,"x":0,"y":0,"w":1,"h":1}]}]`)).refused("edits")
	if rel := h.Release(rel.ID); rel.State != relay.ReleaseInReview || rel.Round != 1 {
		t.Fatalf("what was refused left the release %s in round %d", rel.State, rel.Round)
	}
	hash, err := relay.CanonicalHash(json.RawMessage(box))
	p.ok(err)
	for i, tt := range []struct{ send, want string }{{box, box}, {"", box}, {"[]", ""}, {box, box}} {
		p.post("/releases/"+rel.ID+"/edit", edit(tt.send)).want(200)
		if got := string(h.Release(rel.ID).Draft.Edits); got != tt.want {
			t.Errorf("round %d has %q, want %q", i+2, got, tt.want)
		}
		h.Work(rel.ID, nil)
	}
	p.page("/releases/"+rel.ID).says("Does something still show?", "seen faintly, 1 doubt")
	p.get("/releases/" + rel.ID + "/receipt").want(404)
	p.approve(rel.ID)
	rel = h.Release(rel.ID)
	var g relay.Grant
	p.ok(json.Unmarshal(rel.Grant, &g))
	if g.Redaction.ManualBoxes != hash {
		t.Errorf("the grant names the edits %s, want %s", g.Redaction.ManualBoxes, hash)
	}
	record, err := h.Store.DB.GrantOf(t.Context(), rel.ID)
	p.ok(err)
	words, err := relay.CheckWords(relay.GrantHash(rel.Grant), 4)
	p.ok(err)
	p.page("/releases/"+rel.ID+"/receipt").says("What you allowed", "1 region that you drew", words, rel.GrantID, relay.GrantHash(rel.Grant),
		fmt.Sprintf("entry %d of", record.LogIndex), "/releases/"+rel.ID+"/evidence.zip", "view only")
	p.get("/releases/nothing/receipt").want(404)
}
