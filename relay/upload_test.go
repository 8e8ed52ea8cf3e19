package relay

import (
	"errors"
	"testing"
	"time"
)

func TestBeginUpload(t *testing.T) {
	full := make([]Upload, MaxUploads)
	for _, tt := range []struct {
		name   string
		size   int64
		beside []Upload
		ok     bool
	}{
		{"one byte", 1, nil, true},
		{"as large as may be", 500, full[1:], true},
		{"too large", 501, nil, false},
		{"empty", 0, nil, false},
		{"less than nothing", -1, nil, false},
		{"one too many", 500, full, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, e, err := Upload{ID: "u1", MemberID: "ada", Size: tt.size}.Begin(tt.beside, 500, start)
			var invalid *InvalidError
			if (err == nil) != tt.ok || err != nil && !errors.As(err, &invalid) {
				t.Fatalf("error %v", err)
			}
			if (e.Kind == UploadBegun && e.Subject == "u1" && e.Actor == "ada") != tt.ok || u.Unfinished(start) != tt.ok {
				t.Errorf("got %+v with event %+v", u, e)
			}
		})
	}
}

func TestUploadMoves(t *testing.T) {
	over := start.Add(UploadLife)
	taken := func(u Upload) Upload { u.ClipID = "c0"; return u }
	begun := Upload{ID: "u1", MemberID: "ada", Size: 9, CreatedAt: start, ExpiresAt: over}
	for _, tt := range []struct {
		name                         string
		upload                       Upload
		now                          time.Time
		unfinished, take, drop, ends bool
	}{
		{"just begun", begun, start, true, true, true, false},
		{"at the last moment", begun, over.Add(-time.Millisecond), true, true, true, false},
		{"over", begun, over, false, false, true, true},
		{"taken in", taken(begun), start, false, false, false, false},
		{"taken in long ago", taken(begun), over, false, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.upload.Unfinished(tt.now); got != tt.unfinished {
				t.Errorf("unfinished: %t", got)
			}
			u, err := tt.upload.Take("c1", tt.now)
			if (err == nil) != tt.take || err != nil && !errors.Is(err, ErrState) || (u.ClipID == "c1") != tt.take {
				t.Errorf("take: %+v, %v", u, err)
			}
			for why, may := range map[string]bool{"given up": tt.drop, "refused": tt.drop, "expired": tt.ends} {
				e, err := tt.upload.Drop("ada", why, tt.now)
				if (err == nil) != may || err != nil && !errors.Is(err, ErrState) || (e.Kind == UploadDropped && e.Data["why"] == why) != may {
					t.Errorf("%s: event %+v, %v", why, e, err)
				}
			}
		})
	}
}

func TestSameUpload(t *testing.T) {
	u := Upload{ID: "u1", MemberID: "ada", CameraID: "c", Name: "a.mp4", Start: start, Size: 9, Modified: 7}
	again := u
	again.ID, again.Start = "u2", start.In(time.FixedZone("", 3600))
	if !u.Same(again) {
		t.Error("the same file is not the same")
	}
	for name, change := range map[string]func(*Upload){
		"member": func(u *Upload) { u.MemberID = "grace" }, "camera": func(u *Upload) { u.CameraID = "d" }, "name": func(u *Upload) { u.Name = "b.mp4" },
		"start": func(u *Upload) { u.Start = start.Add(time.Second) }, "size": func(u *Upload) { u.Size++ }, "modified": func(u *Upload) { u.Modified++ },
	} {
		other := u
		if change(&other); u.Same(other) {
			t.Errorf("another %s is the same", name)
		}
	}
}
