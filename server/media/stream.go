package media

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var errCut = errors.New("access ended")

type connKey struct{}

// ConnContext belongs into [http.Server.ConnContext]. It lets a response reach the
// connection that carries it, and keeps the kernel's send buffer small, since what lies in it
// counts as sent.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if b, ok := c.(interface{ SetWriteBuffer(int) error }); ok {
		b.SetWriteBuffer(sendBuffer) //nolint:errcheck // a buffer of another size only makes the cut less sharp
	}
	return context.WithValue(ctx, connKey{}, c)
}

// stream is one response on its way.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	conn    net.Conn // nil when the server does not use ConnContext
	ended   chan struct{}
	once    sync.Once
}

func newStream(w http.ResponseWriter, r *http.Request) *stream {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	return &stream{w: w, control: http.NewResponseController(w), conn: conn, ended: make(chan struct{})}
}

// kill resets the connection: what the kernel has not sent yet is dropped, and a write that
// waits for the client returns. It is safe at any time until done.
func (s *stream) kill() {
	s.once.Do(func() {
		close(s.ended)
		if s.conn == nil {
			s.control.SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // then the next check ends the response
			return
		}
		if l, ok := s.conn.(interface{ SetLinger(int) error }); ok {
			l.SetLinger(0) //nolint:errcheck // then the connection closes without a reset
		}
		s.conn.Close()
	})
}

// send writes body in small parts and looks before each whether the response was ended. A
// client that takes it slowly is kept only while allowed says yes.
func (s *stream) send(ctx context.Context, body []byte, allowed func(context.Context) error) error {
	if allowed != nil {
		stop := s.watch(ctx, allowed)
		defer stop()
	}
	for len(body) > 0 {
		select {
		case <-s.ended:
			return errCut
		default:
		}
		s.control.SetWriteDeadline(time.Now().Add(stall)) //nolint:errcheck // a writer without deadlines cannot stall
		n, err := s.w.Write(body[:min(len(body), writeSize)])
		if err != nil {
			return err
		}
		body = body[n:]
	}
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return s.drain()
}

// drain waits until the client's machine has taken everything. What lies in our send buffer
// could otherwise still trickle out to a slow client when the response is over and nothing
// watches it any more.
func (s *stream) drain() error {
	c, ok := s.conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	end := time.Now().Add(stall)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		unsent := 0
		if err := raw.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			return errCut // closed
		}
		if err != nil || unsent == 0 {
			return err
		}
		if time.Now().After(end) {
			return os.ErrDeadlineExceeded
		}
		select {
		case <-s.ended:
			return errCut
		case <-time.After(pause):
		}
	}
}

// watch ends the response as soon as allowed says no. The caller calls stop.
func (s *stream) watch(ctx context.Context, allowed func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(askAgain)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if allowed(ctx) != nil && ctx.Err() == nil {
					s.kill()
					return
				}
			}
		}
	}()
	return func() { cancel(); <-over }
}

// done gives the connection back to the server. Afterwards kill does nothing: the connection
// may carry another response by then.
func (s *stream) done() {
	s.once.Do(func() {
		close(s.ended)
		s.control.SetWriteDeadline(time.Time{}) //nolint:errcheck // as above
	})
}

// running are the responses on their way, by what may end them.
type running struct {
	mu *sync.Mutex
	by map[string]map[*stream]struct{}
}

func newRunning() running {
	return running{mu: new(sync.Mutex), by: map[string]map[*stream]struct{}{}}
}

// add registers s until the returned function is called.
func (r running) add(s *stream, f File) (remove func()) {
	keys := []string{"release " + f.ReleaseID}
	if f.LinkID != "" {
		keys = append(keys, "link "+f.LinkID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		if r.by[k] == nil {
			r.by[k] = map[*stream]struct{}{}
		}
		r.by[k][s] = struct{}{}
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, k := range keys {
			if delete(r.by[k], s); len(r.by[k]) == 0 {
				delete(r.by, k)
			}
		}
	}
}

func (r running) cut(key string) {
	r.mu.Lock()
	streams := make([]*stream, 0, len(r.by[key]))
	for s := range r.by[key] {
		streams = append(streams, s)
	}
	r.mu.Unlock()
	for _, s := range streams {
		s.kill()
	}
}
