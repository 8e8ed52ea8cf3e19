package driver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Playback is a clip that a recipient watches over and over, as fast as a player fills its
// buffer, until the relay ends it.
type Playback struct {
	ended chan struct{}

	mu     sync.Mutex
	cut    Cut
	marked time.Time
	grew   chan struct{} // closed and replaced with every piece
}

// Cut is how a playback ended.
type Cut struct {
	Before int64         // bytes until the mark
	After  int64         // bytes after it
	Last   time.Duration // from the mark to the last byte; 0 when none came
	End    time.Duration // from the mark to the moment at which the player knew
	Err    error         // what the player got instead of the next range
}

// pace is how many bytes a second a player takes: some twenty times what a clip needs.
const pace = 8 << 20

// StartPlayback starts a playback of the clip that v may watch.
func (v *Recipient) StartPlayback(ctx context.Context) *Playback {
	p := &Playback{ended: make(chan struct{}), grew: make(chan struct{})}
	go func() {
		defer close(p.ended)
		err := p.run(ctx, v)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cut.Err = err
		if !p.marked.IsZero() {
			p.cut.End = time.Since(p.marked)
		}
	}()
	return p
}

func (p *Playback) run(ctx context.Context, v *Recipient) error {
	buf := make([]byte, 32<<10)
	tick := time.NewTicker(time.Second * time.Duration(len(buf)) / pace)
	defer tick.Stop()
	for at := int64(0); ; {
		resp, err := v.Range(ctx, v.Media, at, at+1<<20)
		if err != nil {
			return err
		}
		size, err := sizeOf(resp)
		for err == nil {
			var n int
			n, err = resp.Body.Read(buf)
			at += int64(n)
			p.got(n)
			<-tick.C
		}
		resp.Body.Close()
		if at >= size {
			at = 0 // again from the start
		} else if !isEOF(err) {
			return err
		}
	}
}

func (p *Playback) got(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marked.IsZero() {
		p.cut.Before += int64(n)
	} else if n > 0 {
		p.cut.After += int64(n)
		p.cut.Last = time.Since(p.marked)
	}
	close(p.grew)
	p.grew = make(chan struct{})
}

// Await waits until the player has n bytes, and fails when the playback ends before.
func (p *Playback) Await(ctx context.Context, n int64) error {
	for {
		p.mu.Lock()
		have, grew := p.cut.Before, p.grew
		p.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-grew:
		case <-p.ended:
			return errors.Join(errors.New("the playback ended by itself"), p.cut.Err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Mark says that from now on bytes are counted as after.
func (p *Playback) Mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marked = time.Now()
}

// Wait waits for the end of the playback.
func (p *Playback) Wait(ctx context.Context) (Cut, error) {
	select {
	case <-p.ended:
		return p.cut, nil
	case <-ctx.Done():
		return Cut{}, errors.Join(errors.New("the playback goes on"), ctx.Err())
	}
}
