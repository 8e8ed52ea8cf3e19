package relay

import "time"

// Limits of uploads under way.
const (
	UploadLife = 24 * time.Hour // from the first piece to the last; then what has come is destroyed
	MaxUploads = 10             // unfinished ones of one member
)

// Upload is a file that a member brings piece by piece, so that a connection that breaks costs
// one piece. It is no clip before its last piece has come and its original is sealed.
type Upload struct {
	ID        string
	MemberID  string    // who brings it; to everybody else it does not exist
	CameraID  string    //
	Name      string    // file name, for the home's eyes only
	Start     time.Time // what the camera's clock showed at the first frame
	Size      int64     // bytes of the whole file
	Modified  int64     // when the member's machine last changed the file, in milliseconds since 1970: with name and size it tells the file again
	ClipID    string    // empty until it was taken in
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Begin returns u as an upload that begins now beside the unfinished ones of the same member,
// and the event to store with it. A file of more than most bytes, an empty one, and one upload too
// many are an [InvalidError].
func (u Upload) Begin(unfinished []Upload, most int64, now time.Time) (Upload, Event, error) {
	switch {
	case u.Size <= 0:
		return u, Event{}, Invalid("file", "The file is empty.")
	case u.Size > most:
		return u, Event{}, Invalid("file", "The file is larger than %d MB; cut a shorter piece out of it.", most>>20)
	case len(unfinished) >= MaxUploads:
		return u, Event{}, Invalid("file", "You have %d unfinished uploads. Go on with one of them or give one up, then upload this file.", len(unfinished))
	}
	u.CreatedAt, u.ExpiresAt = now, now.Add(UploadLife)
	return u, Event{Kind: UploadBegun, Subject: u.ID, Actor: u.MemberID, At: now, Data: Data{"camera": u.CameraID, "bytes": u.Size}}, nil
}

// Same reports whether o is the same file for the same camera and moment, of the same member.
func (u Upload) Same(o Upload) bool {
	return u.MemberID == o.MemberID && u.CameraID == o.CameraID && u.Name == o.Name && u.Size == o.Size && u.Modified == o.Modified && u.Start.Equal(o.Start)
}

// Unfinished reports whether pieces may still come. One that is over is as good as gone, also
// before anybody has destroyed what came of it.
func (u Upload) Unfinished(now time.Time) bool { return u.ClipID == "" && now.Before(u.ExpiresAt) }

// Take makes an upload whose last piece has come the clip of an id. It fails with [ErrState] when
// it was taken in before or is over. The event is that of the clip.
func (u Upload) Take(clipID string, now time.Time) (Upload, error) {
	if !u.Unfinished(now) {
		return u, ErrState
	}
	u.ClipID = clipID
	return u, nil
}

// Drop gives an upload up and returns the event to store when it is deleted. why is "given up" by
// its member, "refused" by the relay or "expired", which it must be. One that was taken in fails
// with [ErrState], since its bytes are a clip's by now.
func (u Upload) Drop(actor, why string, now time.Time) (Event, error) {
	if u.ClipID != "" || why == "expired" && u.Unfinished(now) {
		return Event{}, ErrState
	}
	return Event{Kind: UploadDropped, Subject: u.ID, Actor: actor, At: now, Data: Data{"why": why}}, nil
}
