package home_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/house"
)

// tus is sent with every request of an upload.
func tus(more ...string) map[string]string {
	h := map[string]string{"Tus-Resumable": "1.0.0", "Accept": "application/json"}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// beginUpload asks for an upload of size bytes.
func (p *person) beginUpload(size int, told ...string) answer {
	p.t.Helper()
	var meta []string
	for i := 0; i < len(told); i += 2 {
		meta = append(meta, told[i]+" "+base64.StdEncoding.EncodeToString([]byte(told[i+1])))
	}
	return p.do("POST", "/uploads", nil, tus("Upload-Length", strconv.Itoa(size), "Upload-Metadata", strings.Join(meta, ",")))
}

func (a answer) uploadPath() string {
	a.t.Helper()
	u, err := url.Parse(a.want(201).header.Get("Location"))
	if err != nil || !strings.HasPrefix(u.Path, "/uploads/") {
		a.t.Fatalf("%s: goes to %q: %v", a.what, u, err)
	}
	return u.Path
}

func (p *person) patch(path string, offset int, body []byte) answer {
	p.t.Helper()
	return p.do("PATCH", path, bytes.NewReader(body), tus("Upload-Offset", strconv.Itoa(offset)))
}

// have asks how much of an upload is there.
func (p *person) have(path string) int {
	p.t.Helper()
	a := p.do("HEAD", path, nil, tus()).want(200)
	n, err := strconv.Atoi(a.header.Get("Upload-Offset"))
	p.ok(err)
	return n
}

// whole is a video of many pieces.
func whole(t testing.TB) []byte {
	return append(slices.Clone(house.Video(t)), bytes.Repeat([]byte("filling of a file "), 20000)...)
}

// piecesIn returns the files that hold pieces of uploads.
func piecesIn(p *person) []string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(p.h.Watch), "data", "uploads", "*"))
	p.ok(err)
	return found
}

// TestUpload: a file comes in pieces and becomes a clip with the last of them; what lies on the
// disk meanwhile is sealed, and then gone.
func TestUpload(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	video := whole(t)
	told := []string{"camera", h.Camera.ID, "name", "door.mp4", "start", "2026-01-05T14:05:00", "modified", "1767625500123"}
	path := p.beginUpload(len(video), told...).uploadPath()
	if again := p.beginUpload(len(video), told...).uploadPath(); again != path {
		t.Errorf("the same file again is another upload: %s, %s", path, again)
	}
	if n := p.have(path); n != 0 {
		t.Errorf("%d bytes are there", n)
	}

	// The first request breaks off: whole pieces are kept.
	p.patch(path, 0, video[:200_000]).want(204)
	at := p.have(path)
	if at != 3*64<<10 {
		t.Fatalf("%d bytes of 200000 are there, want three whole pieces", at)
	}
	p.patch(path, 0, video[:100]).want(409)
	p.patch(path, at+1, video[at+1:]).want(409)
	p.patch(path, at, append(slices.Clone(video[at:]), 1)).want(413)
	p.page("/clips").says("Unfinished uploads", "door.mp4", "9 % of 2.2 MB is here, sealed", "Give up")
	files := piecesIn(p)
	if len(files) != 1 {
		t.Fatalf("%q hold pieces", files)
	}
	raw, err := os.ReadFile(files[0])
	p.ok(err)
	info, err := os.Stat(files[0])
	p.ok(err)
	if bytes.Contains(raw, []byte("ftypisom")) || bytes.Contains(raw, video[1000:1032]) || info.Mode().Perm() != 0o600 {
		t.Errorf("pieces lie unsealed, or with mode %s", info.Mode())
	}

	// A crash cut off the last piece in the middle: it comes again.
	p.ok(os.WriteFile(files[0], append(raw, "half a piece"...), 0o600))
	if n := p.have(path); n != at {
		t.Errorf("%d bytes are there after the crash, want %d", n, at)
	}
	p.patch(path, at, video[at:]).want(204)
	if n := p.have(path); n != len(video) {
		t.Errorf("%d bytes are there at the end", n)
	}
	p.patch(path, len(video), nil).want(204) // the answer was lost: the browser asks again
	clips, err := h.Store.DB.Clips(t.Context(), storage.ClipFilter{})
	p.ok(err)
	if len(clips) != 1 {
		t.Fatalf("%d clips", len(clips))
	}
	clip := clips[0]
	if want := time.Date(2026, 1, 5, 20, 5, 0, 0, time.UTC); !clip.Start.Equal(want) || clip.Bytes != int64(len(video)) || clip.State != relay.ClipReceived {
		t.Errorf("the clip is %+v, want it to start at %s", clip, want)
	}
	original, err := h.Store.Vault.Open(t.Context(), h.Store.Objects, clip.Object)
	p.ok(err)
	kept, err := io.ReadAll(original)
	p.ok(err)
	p.ok(original.Close())
	if !bytes.Equal(kept, video) {
		t.Error("the original is not the file that was sent")
	}
	if files := piecesIn(p); len(files) != 0 {
		t.Errorf("%q are left", files)
	}
	if _, err := h.Store.Keys.Get(t.Context(), strings.TrimPrefix(path, "/uploads/"), "upload"); err == nil {
		t.Error("the key of the pieces is left")
	}
	p.page("/clips").says("door.mp4", "being looked at", "Front door").silent("Unfinished")
	p.page("/clips?camera=nothing").says("No clips of this camera and day.")
	p.page("/clips?day=2026-01-05").says("door.mp4")
	p.page("/clips?day=2026-01-06").says("No clips of this camera and day.")
	p.do("GET", "/clips?day=yesterday", nil, nil).want(422)

	// The same footage of the same moment, by the name of its file.
	told = []string{"camera", h.Camera.ID, "name", "20260105_140500.mp4", "start", ""}
	again := p.beginUpload(len(video), told...).uploadPath()
	p.patch(again, 0, video).refused("file")
	p.do("HEAD", again, nil, tus()).want(404)
	if files := piecesIn(p); len(files) != 0 {
		t.Errorf("%q are left of what was refused", files)
	}
}

// TestUploadRefused: what can never become a clip is refused as early as it is known.
func TestUploadRefused(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	video := house.Video(t)
	good := map[string]string{"camera": h.Camera.ID, "name": "door.mp4", "start": "2026-01-05T14:05:00"}
	begin := func(size int, change ...string) answer {
		told := []string{}
		for k, v := range good {
			if i := slices.Index(change, k); i >= 0 {
				v = change[i+1]
			}
			told = append(told, k, v)
		}
		return p.beginUpload(size, told...)
	}
	begin(5000, "camera", "nothing").refused("camera")
	begin(5000, "start", "today").refused("start")
	begin(5000, "start", "").refused("start")
	begin(5000, "start", "2126-01-05T14:05:00").refused("start")
	begin(5000, "name", "line\nbreak.mp4").refused("name")
	begin(50<<20 + 1).refused("file")
	begin(0).refused("file")
	p.do("POST", "/uploads", nil, tus("Upload-Length", "many")).want(400)
	p.do("POST", "/uploads", nil, map[string]string{"Upload-Length": "5000"}).want(412)

	zip := begin(400_000, "name", "clips.mp4").uploadPath()
	if said := p.patch(zip, 0, []byte("PK\x03\x04"+strings.Repeat("x", 2000))).refused("file").text("error"); !strings.Contains(said, "ZIP") {
		t.Errorf("says %q", said)
	}
	p.patch(zip, 0, video).want(404)
	short := begin(20, "name", "short.mp4").uploadPath()
	p.patch(short, 0, []byte("\x00\x00\x00\x20ftypisomxxxxxxxx")).refused("file")

	// An upload has no method but these, and belongs to one member.
	path := begin(len(video)).uploadPath()
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		p.do(method, path, nil, tus("Content-Type", "application/json")).want(405)
	}
	p.do("POST", path, nil, tus("X-HTTP-Method-Override", "PATCH")).want(405)
	other := joined(t, h, relay.RoleHomeowner)
	other.do("HEAD", path, nil, tus()).want(404)
	other.patch(path, 0, video).want(404)
	other.post(path+"/drop", struct{}{}).want(404)
	other.page("/clips").silent("Unfinished")
	p.page("/clips").says("Unfinished uploads", "0 % of")
	for _, header := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": ""}, {"Content-Type": "text/plain"}} {
		if a := p.do("PATCH", path, bytes.NewReader(video), header); a.code != 403 {
			t.Errorf("%v: %d", header, a.code)
		}
	}

	// What was given up or is over is gone.
	p.patch(path, 0, video[:100_000]).want(204)
	p.post(path+"/drop", struct{}{}).want(200)
	p.patch(path, 64<<10, video[64<<10:]).want(404)
	if files := piecesIn(p); len(files) != 0 {
		t.Errorf("%q are left of what was given up", files)
	}
	late := begin(len(video)).uploadPath()
	p.patch(late, 0, video[:100_000]).want(204)
	h.Pass(relay.UploadLife)
	p.cookie = ""
	begun := p.post("/sign-in/begin", struct{}{}).want(200)
	p.post("/sign-in/finish", map[string]any{"ceremony": begun.text("ceremony"), "credential": p.sign(begun)}).want(200)
	p.patch(late, 64<<10, video[64<<10:]).want(404)
	p.page("/clips").silent("Unfinished")
	p.ok(h.Store.SweepUploads(t.Context(), h.Now()))
	if files := piecesIn(p); len(files) != 0 {
		t.Errorf("%q are left of what has expired", files)
	}
	p.page("/activity").says("An upload was not finished within a day.", "Ada gave an upload up.", "An uploaded file could not be taken in.", "Ada began to upload a clip.")

	// As many as are allowed, and not one more.
	for i := range relay.MaxUploads {
		begin(5000, "name", strconv.Itoa(i)+".mp4").uploadPath()
	}
	if said := begin(5000).refused("file").text("error"); !strings.Contains(said, "10 unfinished uploads") {
		t.Errorf("says %q", said)
	}
	begin(5000, "name", "3.mp4").uploadPath() // one of them
}

// TestUploadGoesOn: an upload whose last piece came just before the relay was stopped is taken in
// when the browser asks again.
func TestUploadGoesOn(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	h.Furnish()
	video := whole(t)
	told := []string{"camera", h.Camera.ID, "name", "door.mp4", "start", "2026-01-05T14:05:00"}
	path := p.beginUpload(len(video), told...).uploadPath()
	members, err := h.Store.DB.Members(t.Context())
	p.ok(err)
	u, err := h.Store.DB.Upload(t.Context(), strings.TrimPrefix(path, "/uploads/"), members[0].ID, h.Now())
	p.ok(err)
	n, err := h.Store.AppendUpload(t.Context(), u, 0, bytes.NewReader(video))
	p.ok(err)
	if n != int64(len(video)) || p.have(path) != len(video) {
		t.Fatalf("%d bytes are there", n)
	}
	p.page("/clips").says("Unfinished uploads", "100 % of", "No clips yet.")
	p.patch(path, len(video), nil).want(204)
	p.page("/clips").says("being looked at").silent("Unfinished")

	// Bytes that were changed on the disk are no clip.
	told[5] = "2026-01-05T15:05:00"
	path = p.beginUpload(len(video), told...).uploadPath()
	p.patch(path, 0, video[:100_000]).want(204)
	file := piecesIn(p)[0]
	raw, err := os.ReadFile(file)
	p.ok(err)
	raw[5000] ^= 1
	p.ok(os.WriteFile(file, raw, 0o600))
	if said := p.patch(path, 64<<10, video[64<<10:]).refused("file").text("error"); !strings.Contains(said, "damaged") {
		t.Errorf("says %q", said)
	}
}
