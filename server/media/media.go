// Package media gives out sealed video in small pieces and can end that at once.
//
// A player asks for ranges; each gets at most [relay.RangeMax] bytes. Before every piece the
// caller's File.Allowed is asked again, and while a slow client takes a piece it is asked
// twice a second, so that access ends even when another process took it away. [Server.Cut]
// does not wait for that: it resets the connections that carry the release, and what still
// lay in the send buffer never leaves.
//
// The HTTP server must be made with ConnContext: [ConnContext], and speak HTTP/1.1: a cut ends
// everything on its connection, which in HTTP/2 would be all that a browser does at the time.
package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/storage/fault"

	"golang.org/x/sync/singleflight"
)

// Limits of one response.
const (
	writeSize  = 64 << 10               // bytes handed to the connection at once
	sendBuffer = 128 << 10              // bytes that the kernel keeps for a client that is slow
	stall      = 30 * time.Second       // a client that takes nothing for so long is dropped
	askAgain   = 500 * time.Millisecond // how often a running response is allowed anew
)

// ErrUnavailable means that the stored bytes cannot be read now: nothing was sent, and the
// same may work later.
var ErrUnavailable = errors.New("the footage cannot be read now")

// Config is what a [Server] needs.
type Config struct {
	Store *storage.Store
	Now   func() time.Time
	Log   *slog.Logger
}

// Server gives out sealed files.
type Server struct {
	store   *storage.Store
	log     *slog.Logger
	running running
	checks  singleflight.Group
}

// New returns a server of the files in cfg.Store.
func New(cfg Config) *Server {
	return &Server{store: cfg.Store, log: cfg.Log, running: newRunning()}
}

// File is one sealed file and the conditions of giving it out.
type File struct {
	Object  string // name in the object store
	KeyID   string // name of its key in the key store
	Context string // what the key was made for
	Size    int64  // of the plaintext, in bytes
	SHA256  string // hex, of the plaintext; only [Server.Verify] reads it

	ReleaseID string // [Server.Cut] ends what carries this release
	LinkID    string // [Server.CutLink] ends what carries this link; empty for the home's own pages

	Type     string // media type; empty means "video/mp4"
	Name     string // file name; empty means "clip.mp4"
	Download bool   // offer it as a file to keep

	// Allowed is asked before every piece and while one is on its way. Its error is what
	// [Server.Serve] returns when no byte was sent, and ends the response otherwise. Nil
	// allows everything.
	Allowed func(ctx context.Context) error
	// Count records that n bytes are given out, before they are. Its error denies them.
	Count func(ctx context.Context, n int64) error
	// Damaged is told when the stored bytes are not what was sealed.
	Damaged func(ctx context.Context)
}

// Cut ends every response that carries the release, at once. It is called after the change
// that ends access has committed: whatever starts later is refused by File.Allowed.
func (s *Server) Cut(releaseID string) { s.running.cut("release " + releaseID) }

// CutLink is [Server.Cut] for one link.
func (s *Server) CutLink(linkID string) { s.running.cut("link " + linkID) }

// Verify reads the whole of f and compares it with its digest: [storage.ErrTampered] when
// the stored bytes are not the ones that were released, [relay.ErrNotFound] when the file or
// its key is gone, [ErrUnavailable] when the store does not answer. Who asks at the same time
// shares one reading.
func (s *Server) Verify(ctx context.Context, f File) error {
	result := s.checks.DoChan(f.Object, func() (any, error) {
		return nil, s.verify(context.WithoutCancel(ctx), f) // others may wait for it, too
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-result:
		if errors.Is(r.Err, storage.ErrTampered) && f.Damaged != nil {
			f.Damaged(ctx)
		}
		return r.Err
	}
}

func (s *Server) verify(ctx context.Context, f File) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	plain, err := s.open(ctx, f, span{0, f.Size})
	if err != nil {
		return err
	}
	defer plain.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, plain); err != nil {
		return unavailable(err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("object %s has another digest than the release names: %w", f.Object, storage.ErrTampered)
	}
	return nil
}

// open opens a part of f, with the key as it is now: a key that was destroyed opens nothing.
func (s *Server) open(ctx context.Context, f File, p span) (io.ReadCloser, error) {
	key, err := s.store.Keys.Get(ctx, f.KeyID, f.Context)
	if err != nil {
		return nil, unavailable(err)
	}
	plain, err := storage.OpenRange(ctx, s.store.Objects, f.Object, key, f.Size, p.from, p.size())
	if err != nil {
		return nil, unavailable(err)
	}
	return plain, nil
}

// unavailable marks errors of a store that does not answer.
func unavailable(err error) error {
	if errors.Is(err, relay.ErrNotFound) || errors.Is(err, storage.ErrTampered) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

var buffers = sync.Pool{New: func() any { return new([relay.RangeMax]byte) }}

// Serve answers r with f, or with the part of it that r asks for:
//
//   - one range: 206 with at most [relay.RangeMax] bytes of it;
//   - several ranges: as if the whole from its first byte had been asked for;
//   - no range, or one that is no range: 200 with the whole, in pieces;
//   - a range outside the file: 416.
//
// An error means that nothing was sent. Later failures end the connection.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, f File) error {
	out := newStream(w, r)
	// Registered before Allowed is asked, so that no revocation falls between the two: it
	// either ends this response or is seen by Allowed.
	defer s.running.add(out, f)()
	defer out.done()

	part, partial, err := parseRange(r.Header, f.Size)
	if err != nil {
		if f.Allowed != nil {
			if err := f.Allowed(r.Context()); err != nil {
				return err
			}
		}
		header(w.Header(), f)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return nil
	}
	buffer := buffers.Get().(*[relay.RangeMax]byte)
	defer buffers.Put(buffer)
	sent := false
	for at := part.from; at < part.to || !sent; {
		piece := span{at, min(at+relay.RangeMax, part.to)}
		body := buffer[:piece.size()]
		if err := s.piece(r, f, piece, body); err != nil {
			if !sent && r.Context().Err() != nil {
				return nil // the client went away, as players do when they seek
			}
			if !sent {
				return err
			}
			out.kill()
			s.log.Info("a response ended early", "release", f.ReleaseID, "at", at, "error", err)
			return nil
		}
		if !sent {
			header(w.Header(), f)
			w.Header().Set("Content-Length", strconv.FormatInt(part.size(), 10))
			status := http.StatusOK
			if partial {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.from, part.to-1, f.Size))
				status = http.StatusPartialContent
			}
			w.WriteHeader(status)
			sent = true
		}
		if r.Method == http.MethodHead {
			return nil
		}
		if err := out.send(r.Context(), body, f.Allowed); err != nil {
			out.kill()
			s.log.Info("a response ended early", "release", f.ReleaseID, "at", at, "error", err)
			return nil
		}
		at = piece.to
		fault.Point("piece sent")
	}
	return nil
}

// piece asks whether the bytes of p may leave, counts them, and reads them all, so that
// nothing is sent of a piece that is damaged.
func (s *Server) piece(r *http.Request, f File, p span, into []byte) error {
	ctx := r.Context()
	if f.Allowed != nil {
		if err := f.Allowed(ctx); err != nil {
			return err
		}
	}
	if r.Method == http.MethodHead || p.size() == 0 {
		return nil
	}
	plain, err := s.open(ctx, f, p)
	if err == nil {
		defer plain.Close()
		if _, err = io.ReadFull(plain, into); err == nil {
			_, err = io.ReadFull(plain, make([]byte, 1)) // the end, where the last bytes are vouched for
			if errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if err != nil {
			err = unavailable(err)
		}
	}
	if err != nil {
		if errors.Is(err, storage.ErrTampered) && f.Damaged != nil {
			f.Damaged(ctx)
		}
		return err
	}
	if f.Count != nil {
		return f.Count(ctx, p.size())
	}
	return nil
}

// header sets what every answer with footage says: keep nothing, guess nothing, and be part
// of no other site.
func header(h http.Header, f File) {
	kind, name, disposition := f.Type, f.Name, "inline"
	if kind == "" {
		kind = "video/mp4"
	}
	if name == "" {
		name = "clip.mp4"
	}
	if f.Download {
		disposition = "attachment"
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Cache-Control", "no-store, private")
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("ETag")
	h.Del("Last-Modified")
}
