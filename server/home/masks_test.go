package home_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/house"
)

// masks is what the page of a camera's masks sends.
func masks(version int, all ...relay.Mask) map[string]any {
	if all == nil {
		all = []relay.Mask{}
	}
	return map[string]any{"version": version, "masks": all}
}

// TestMasks: what is drawn is kept with who drew it and when, and what is wrong is refused.
func TestMasks(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	path := "/cameras/" + h.Camera.ID
	window := relay.Mask{Name: "the neighbours' window", X: 0.1, Y: 0.2, W: 0.3, H: 0.2}
	p.page(path).says("There is no clip of this camera yet", "The masks were never changed.")
	h.Clip(start(h))
	p.page(path).says("Masks apply to copies that are prepared from now on.").silent("There is no clip")

	p.post(path+"/masks", masks(0, relay.Mask{X: 0, Y: 0, W: 1, H: 1})).refused("masks")
	p.post(path+"/masks", masks(0, relay.Mask{Name: "x", X: 0.9, Y: 0, W: 0.2, H: 1})).refused("masks")
	p.post(path+"/masks", masks(1, window)).refused("masks")
	p.post(path+"/masks", map[string]any{"version": 0, "masks": []any{map[string]any{"name": "x", "angle": 3}}}).want(422)
	p.post("/cameras/nothing/masks", masks(0, window)).want(404)
	p.do("GET", "/cameras/nothing", nil, nil).want(404)
	p.post(path+"/masks", masks(0, window)).want(200)
	p.page(path).says("Set 1, by Ada: the neighbours' window; 6.0 % of the picture")
	p.page("/cameras").says("1 mask: 6.0 % of the picture")
	p.page("/activity").says("Ada changed the masks of the camera Front door.")
	p.post("/cameras", map[string]any{"id": h.Camera.ID, "name": "Porch", "handle": "front-door", "zone": "UTC", "offset": 0, "interior": false}).want(200)
	p.post(path+"/masks", masks(1)).want(200)
	p.page(path).says("Set 1, by Ada: the neighbours' window", "Set 2, by Ada: no masks")

	guest := joined(t, h, relay.RoleMember)
	guest.page(path).says("Masks now", "A homeowner of your home can change them.").silent("Draw a mask")
	guest.post(path+"/masks", masks(2, window)).want(403)
}

// TestMasksAfterPreparing: a copy that shows what has been masked since is not signed until it is prepared
// again, and the grant and the manifest name the masks that are in the copy.
func TestMasksAfterPreparing(t *testing.T) {
	h, p, clip, q := furnished(t)
	path := "/cameras/" + h.Camera.ID
	window := relay.Mask{Name: "the neighbours' window", X: 0.1, Y: 0.2, W: 0.3, H: 0.2}
	garden := relay.Mask{Name: "the garden", X: 0.5, Y: 0.5, W: 0.3, H: 0.2}
	p.post(path+"/masks", masks(0, window)).want(200)
	rel := reviewed(t, h, p, clip, q)
	p.page("/releases/"+rel.ID).says("Mask: the neighbours' window", "of the camera, in every picture").silent("This copy shows what a mask hides now.")
	p.page(path).says("It hides all that the masks hide now.")
	begun := p.post("/releases/"+rel.ID+"/grant/begin", map[string]any{"looked": true}).want(200)

	p.post(path+"/masks", masks(1, window, garden)).want(200)
	review := p.page("/releases/"+rel.ID).says("This copy shows what a mask hides now.", "Prepare again with the masks of now")
	for _, form := range review.forms() {
		if strings.HasSuffix(form, "/grant/begin") {
			t.Error("the page offers to approve it")
		}
	}
	p.page(path).says("It cannot be approved: open it and prepare it again.")
	p.post("/releases/"+rel.ID+"/grant/begin", map[string]any{"looked": true}).refused("")
	p.post("/releases/"+rel.ID+"/grant/finish", map[string]any{"looked": true, "ceremony": begun.text("ceremony"), "credential": p.sign(begun)}).refused("")
	if got := h.Release(rel.ID).State; got != relay.ReleaseInReview {
		t.Fatalf("the release is %s", got)
	}

	p.post("/releases/"+rel.ID+"/edit", draftOf(clip, nil)).want(200)
	p.page(path).says("It is being prepared with the masks of when that began.")
	h.Work(rel.ID, nil)
	p.post(path+"/masks", masks(2, garden)).want(200) // less than the copy hides: no reason to stop
	p.approve(rel.ID)
	rel = h.Release(rel.ID)
	var g relay.Grant
	p.ok(json.Unmarshal(rel.Grant, &g))
	made, err := relay.HashMasks([]relay.Mask{window, garden})
	p.ok(err)
	if g.Redaction.StaticMasks != made {
		t.Errorf("the grant names the masks %s, want those of the copy, %s", g.Redaction.StaticMasks, made)
	}
	checkEvidence(t, p.do("GET", "/releases/"+rel.ID+"/evidence.zip", nil, nil).want(200).body, rel)
	p.post(path+"/masks", masks(3, relay.Mask{Name: "all", X: 0, Y: 0, W: 1, H: 1})).want(200)
	p.page(path).says("Whoever holds it still sees that: revoke it if it matters.", "100.0 %")
	body := p.do("GET", "/releases/"+rel.ID+"/evidence.zip", nil, nil).want(200).body
	files, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	p.ok(err)
	for _, file := range files.File {
		r, err := file.Open()
		p.ok(err)
		text, err := io.ReadAll(r)
		p.ok(err)
		if bytes.Contains(text, []byte("garden")) {
			t.Errorf("%s tells the name of a mask", file.Name)
		}
	}
	if len(files.File) == 0 {
		t.Error("the evidence is empty")
	}
}
