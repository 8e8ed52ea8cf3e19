// Package source is where clips come from: a person brings them, through the web app or on the
// command line, or a camera drops them into a watched [Folder]. All of them call [Receive].
package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cliplease/relay"
)

// Limits of what is taken in.
const (
	MaxBytes  = 500 << 20      // of an original, unless the caller allows less
	HeadBytes = 1 << 10        // that tell what a file is; no video of five seconds is smaller
	maxName   = 200            // bytes of a file name
	ahead     = 24 * time.Hour // that a camera's clock may be
)

// whatWorks is said with every refusal of a kind of file.
const whatWorks = "Use an MP4, MOV, MKV, WebM or AVI file with H.264, H.265, MPEG-4 or MJPEG video."

// Incoming is a clip that arrives.
type Incoming struct {
	CameraID string    // id or handle of the camera that took it
	Name     string    // file name, for the home's eyes only; a path is cut to its last part
	Start    time.Time // what the camera's clock showed at the first frame
	Body     io.Reader // the file; it is read once, as a stream
	MaxBytes int64     // at most [MaxBytes], which is also the default
	Actor    string    // who brings it: a member's id, "command line", or [FolderActor]
}

// Keeper seals originals and keeps their clips; *storage.Store is one.
type Keeper interface {
	KeepClip(ctx context.Context, c relay.Clip, original io.Reader, actor string, now time.Time) (relay.Clip, error)
}

// Receive takes in a clip and returns it as it was kept, in state received: a job looks at it
// next. What is no video by its first bytes, too large, or without a sensible start is refused
// with a [relay.InvalidError] for the field "file", "name", "start" or "camera". Footage that
// is there already, of the same camera and moment, is [relay.ErrConflict].
//
// The file goes straight into the vault. A body that breaks off or grows too large keeps
// nothing.
func Receive(ctx context.Context, keeper Keeper, in Incoming, now time.Time) (relay.Clip, error) {
	limit := in.MaxBytes
	if limit <= 0 || limit > MaxBytes {
		limit = MaxBytes
	}
	name, err := in.Check(now)
	if err != nil {
		return relay.Clip{}, err
	}
	body := bufio.NewReaderSize(in.Body, 64<<10)
	head, err := body.Peek(HeadBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return relay.Clip{}, fmt.Errorf("read the clip: %w", err)
	}
	if err := Sniff(head); err != nil {
		return relay.Clip{}, err
	}
	original := &limited{r: body, left: limit, limit: limit}
	clip, err := keeper.KeepClip(ctx, relay.Clip{CameraID: in.CameraID, Name: name, Start: in.Start}, original, in.Actor, now)
	switch {
	case err != nil && original.left < 0:
		return relay.Clip{}, original.tooLarge() // an object store may have said it in other words
	case errors.Is(err, relay.ErrConflict):
		return relay.Clip{}, fmt.Errorf("this footage of this camera and moment is there already: %w", err)
	case err != nil:
		return relay.Clip{}, err
	}
	return clip, nil
}

// Check refuses a name that cannot be shown and a start without sense, before any byte has come,
// and returns the name as it is kept.
func (in Incoming) Check(now time.Time) (name string, err error) {
	switch {
	case in.Start.IsZero():
		return "", relay.Invalid("start", "Say when the clip starts, with its time zone, such as 2026-11-19T21:00:00+01:00.")
	case in.Start.Year() < 2000:
		return "", relay.Invalid("start", "The clip cannot be from before the year 2000.")
	case in.Start.After(now.Add(ahead)):
		return "", relay.Invalid("start", "The clip starts in the future: %s. Check the date and the time zone.", relay.Stamp(in.Start))
	}
	return cleanName(in.Name)
}

// Sniff refuses what is no video by its first [HeadBytes] bytes, or all of them. What a file
// really holds is found out in the sandbox, later.
func Sniff(head []byte) error {
	box := func(names ...string) bool { return len(head) >= 8 && slices.Contains(names, string(head[4:8])) }
	switch {
	case len(head) == 0:
		return relay.Invalid("file", "The file is empty.")
	case bytes.HasPrefix(head, []byte{0x1a, 0x45, 0xdf, 0xa3}): // Matroska and WebM
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "AVI ":
	case box("ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"): // MP4 and MOV
	default:
		return relay.Invalid("file", "This is %s. %s", looksLike(head), whatWorks)
	}
	if len(head) < HeadBytes {
		return relay.Invalid("file", "The file has only %d bytes, too few for a video.", len(head))
	}
	return nil
}

// looksLike says what a file that is no video probably is.
func looksLike(head []byte) string {
	for _, known := range []struct{ start, what string }{
		{"#EXTM3U", "a playlist, which only points to video elsewhere"},
		{"ffconcat", "a playlist, which only points to video elsewhere"},
		{"PK\x03\x04", "a ZIP archive; take the video out of it first"},
		{"Rar!", "an archive; take the video out of it first"},
		{"7z\xbc\xaf", "an archive; take the video out of it first"},
		{"\x1f\x8b", "a compressed file; unpack it first"},
		{"\xff\xd8\xff", "a picture"},
		{"\x89PNG", "a picture"},
		{"GIF8", "an animated picture"},
		{"%PDF", "a PDF document"},
		{"ID3", "a sound recording"},
		{"OggS", "an Ogg file, which is not supported"},
		{"FLV", "a Flash video, which is not supported"},
		{"\x00\x00\x01\xba", "an MPEG programme stream, which is not supported; convert it to MP4 first"},
		{"\x30\x26\xb2\x75", "a Windows Media file, which is not supported; convert it to MP4 first"},
		{"\x00\x00\x00\x01", "video without a container; put it into an MP4 file first"},
		{"G", "probably an MPEG transport stream, which is not supported; convert it to MP4 first"},
	} {
		if bytes.HasPrefix(head, []byte(known.start)) && (known.start != "G" || len(head) > 188 && head[188] == 'G') {
			return known.what
		}
	}
	if utf8.Valid(head) && !bytes.ContainsRune(head, 0) {
		return "text, not a video"
	}
	return "no kind of video that is known here"
}

// cleanName cuts a file name to its last part and refuses what cannot be shown.
func cleanName(name string) (string, error) {
	name = filepath.Base(filepath.ToSlash(strings.ReplaceAll(name, `\`, "/")))
	switch {
	case name == "." || name == "/":
		return "clip", nil
	case len(name) > maxName:
		return "", relay.Invalid("name", "The file name is longer than %d bytes; make it shorter.", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }):
		return "", relay.Invalid("name", "The file name has characters that cannot be shown; give the file another name.")
	}
	return name, nil
}

// limited yields r and fails once it is longer than limit, so that nothing is kept of it.
type limited struct {
	r           io.Reader
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, l.tooLarge()
	}
	return n, err
}

func (l *limited) tooLarge() error {
	return relay.Invalid("file", "The file is larger than %d MB; cut a shorter piece out of it.", l.limit>>20)
}
