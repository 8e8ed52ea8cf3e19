// Package servers starts real servers for tests and the demo: MinIO, PostgreSQL and a mail
// sink. All listen on free loopback ports, keep what they have in a temporary folder, and
// are gone after Stop. A program that is missing is an error that says how to get it; no test
// is skipped for it.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a running child that ends with us.
type process struct {
	cmd    *exec.Cmd
	output buffer
	ended  chan struct{} // closed after the child has ended
}

// start runs cmd in the background.
func start(cmd *exec.Cmd, attr syscall.SysProcAttr) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	attr.Pdeathsig = syscall.SIGKILL // also when a test is killed
	attr.Setpgid = true              // a Ctrl-C is ours to handle
	cmd.SysProcAttr = &attr
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end by sig and kills it when it does not.
func (p *process) stop(sig syscall.Signal) {
	p.cmd.Process.Signal(sig)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// await asks ready until it says yes, the process ends, or 30 seconds pass.
func (p *process) await(ctx context.Context, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx) {
		select {
		case <-p.ended:
			return fmt.Errorf("%s: %w: %s", p.cmd.Path, errEnded, p.output.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.cmd.Path, ctx.Err(), p.output.tail())
		case <-tick.C:
			// Another program took the port meanwhile; MinIO waits for it without end.
			if said := p.output.tail(); strings.Contains(said, "address already in use") {
				return fmt.Errorf("%s: %w: %s", p.cmd.Path, errEnded, said)
			}
		}
	}
	return nil
}

// buffer collects a child's output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// tail returns the last lines.
func (b *buffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := strings.TrimSpace(b.b.String())
	return s[max(0, len(s)-2000):]
}

// freePort returns a loopback address that nobody listens on at this moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// errEnded means that a server ended by itself.
var errEnded = errors.New("the server ended")

// retry runs start again where the server ended at once: between finding a free port and
// using it, another process may take it.
func retry[T any](start func() (T, error)) (server T, err error) {
	for range 3 {
		if server, err = start(); !errors.Is(err, errEnded) {
			break
		}
	}
	return server, err
}

// executable reports whether path can be run.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
