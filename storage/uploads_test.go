package storage

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"cliplease/relay"
)

// TestUploads walks an upload through the store on both databases: pieces, the clip that it becomes,
// and what time, a crash and giving up leave.
func TestUploads(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, later := h.ctx(), h.now.Add(relay.UploadLife)
		whole := bytes.Repeat([]byte("not the same all over "), 10_000)
		begin := func(name string) relay.Upload {
			t.Helper()
			u, err := h.BeginUpload(ctx, relay.Upload{MemberID: h.member.ID, CameraID: h.camera.ID, Name: name, Start: h.now.Add(-time.Hour), Size: int64(len(whole))}, 1<<20, h.now)
			h.ok(err)
			return u
		}
		keys := func() (n int) {
			for _, err := range h.Keys.IDs(ctx) {
				h.ok(err)
				n++
			}
			return n
		}
		before := keys()
		u := begin("a.mp4")
		if again := begin("a.mp4"); again.ID != u.ID {
			t.Error("the same file is another upload")
		}
		n, err := h.AppendUpload(ctx, u, 0, bytes.NewReader(whole[:100_000]))
		h.ok(err)
		if n != pieceSize {
			t.Fatalf("%d bytes are kept of 100000", n)
		}
		_, err = h.AppendUpload(ctx, u, 0, bytes.NewReader(whole))
		h.fails(err, relay.ErrConflict)
		_, err = h.AppendUpload(ctx, u, n, bytes.NewReader(whole[n:]))
		h.ok(err)
		body, err := h.OpenUpload(ctx, u)
		h.ok(err)
		got, err := io.ReadAll(body)
		h.ok(err)
		h.ok(body.Close())
		if !bytes.Equal(got, whole) {
			t.Error("other bytes come out than went in")
		}

		clip, err := Uploaded{h.Store, u}.KeepClip(ctx, relay.Clip{CameraID: h.camera.ID, Name: "a.mp4", Start: u.Start}, bytes.NewReader(got), h.member.ID, h.now)
		h.ok(err)
		u, err = h.DB.Upload(ctx, u.ID, h.member.ID, h.now)
		h.ok(err)
		if have, err := h.UploadedBytes(u); err != nil || have != u.Size || u.ClipID != clip.ID {
			t.Errorf("the upload is %+v with %d bytes, %v", u, have, err)
		}
		_, err = Uploaded{h.Store, u}.KeepClip(ctx, relay.Clip{CameraID: h.camera.ID, Name: "a.mp4", Start: u.Start.Add(time.Hour)}, bytes.NewReader(got), h.member.ID, h.now)
		h.fails(err, relay.ErrState)
		h.fails(h.DropUpload(ctx, u, h.member.ID, "given up", h.now), relay.ErrState)

		given, over := begin("b.mp4"), begin("c.mp4")
		for _, v := range []relay.Upload{given, over} {
			_, err = h.AppendUpload(ctx, v, 0, bytes.NewReader(whole))
			h.ok(err)
		}
		h.ok(h.DropUpload(ctx, given, h.member.ID, "given up", h.now))
		h.ok(h.SweepUploads(ctx, h.now))
		if have, err := h.UploadedBytes(over); err != nil || have != over.Size {
			t.Errorf("a sweep before its time left %d bytes, %v", have, err)
		}
		_, err = h.DB.Upload(ctx, over.ID, h.member.ID, later)
		h.fails(err, relay.ErrNotFound)
		h.ok(h.SweepUploads(ctx, later))
		if left, err := h.spool.ids(); err != nil || len(left) > 0 || keys() != before {
			t.Errorf("%q and %d keys are left, %v", left, keys()-before, err)
		}
		if got := h.events(over.ID); !slices.Equal(got, []relay.EventKind{relay.UploadBegun, relay.UploadDropped}) {
			t.Errorf("the log says %v", got)
		}
	})
}

// TestNoticeService seals the address of a member's service on both databases.
func TestNoticeService(t *testing.T) {
	forEachDB(t, func(t *testing.T, h *home) {
		ctx, db := h.ctx(), h.DB
		for _, address := range []string{"ntfy://ntfy.sh/first", "ntfy://ntfy.sh/second"} {
			h.ok(db.SetNoticeService(ctx, h.member.ID, address, "ntfy", "ntfy.sh", h.now))
			got, err := db.NoticeAddress(ctx, h.member.ID)
			h.ok(err)
			if got != address {
				t.Errorf("got %q", got)
			}
		}
		sealed, err := get(ctx, db.read, func(r scanner) (s string, err error) { err = r.Scan(&s); return }, "SELECT sealed FROM notices WHERE member_id = $1", h.member.ID)
		h.ok(err)
		if sealed == "" || bytes.Contains([]byte(sealed), []byte("second")) {
			t.Errorf("the row holds %q", sealed)
		}
		h.ok(db.ChooseNotices(ctx, h.member.ID, nil, []string{relay.NoticeWatched}, h.now))
		h.ok(db.TellMembers(ctx, relay.NoticeRequest, "q", h.now))
		if n := h.jobs(NoticeJob{}.Kind()); n != 0 {
			t.Errorf("%d notices that nobody chose wait", n)
		}
		h.ok(db.TellMembers(ctx, relay.NoticeWatched, "q", h.now))
		h.ok(db.TryNotice(ctx, h.member.ID, h.now))
		if n := h.jobs(NoticeJob{}.Kind()); n != 2 {
			t.Errorf("%d notices wait, want that and a test", n)
		}
	})
}
