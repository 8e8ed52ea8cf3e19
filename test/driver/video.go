package driver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Range asks for bytes of a video, from the first to the last, as a player does. Less may come.
// The caller closes the answer's body.
func (b *Browser) Range(ctx context.Context, path string, first, last int64) (*http.Response, error) {
	resp, err := b.Do(ctx, http.MethodGet, path, nil, http.Header{
		"Range": {fmt.Sprintf("bytes=%d-%d", first, last)}, "Sec-Fetch-Dest": {"video"}, "Sec-Fetch-Mode": {"no-cors"},
	})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusPartialContent {
		_, err := read(resp)
		if err == nil {
			err = &StatusError{Code: resp.StatusCode, Text: "the answer is no range"}
		}
		return nil, err
	}
	return resp, nil
}

// Played is what came of a video.
type Played struct {
	Bytes  int64
	Size   int64  // of the whole, as the relay says
	SHA256 string // hex, of what was got
	Ranges int
}

// Play fetches a whole video range by range into w. On failure it returns what it got so far.
func (b *Browser) Play(ctx context.Context, path string, w io.Writer) (p Played, err error) {
	sum := sha256.New()
	w = io.MultiWriter(w, sum)
	for p.Size = 1; p.Bytes < p.Size; p.Ranges++ {
		resp, err := b.Range(ctx, path, p.Bytes, p.Bytes+1<<20)
		if err != nil {
			return p, err
		}
		if p.Size, err = sizeOf(resp); err != nil {
			resp.Body.Close()
			return p, err
		}
		n, err := io.Copy(w, resp.Body)
		resp.Body.Close()
		p.Bytes += n
		if err != nil {
			return p, err
		}
		if n == 0 {
			return p, fmt.Errorf("the relay gave an empty range at byte %d of %d", p.Bytes, p.Size)
		}
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

func sizeOf(resp *http.Response) (int64, error) {
	_, size, ok := strings.Cut(resp.Header.Get("Content-Range"), "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("Content-Range %q does not say how large the video is", resp.Header.Get("Content-Range"))
	}
	return n, nil
}

// isEOF reports whether a body was read to its end. One that was cut is io.ErrUnexpectedEOF or a
// broken connection.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }
