// Package driver plays everyone around a relay: it starts the built program, and is the
// homeowner with a passkey in software, the agency on its command line, and the recipient in a
// browser. The demo and the end-to-end tests are written with it. It speaks to the relay only as
// people and programs outside do.
package driver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"cliplease/relay"
	"cliplease/test/servers"
)

// Config says how to start a relay.
type Config struct {
	Bin      string            // the built program; default: CLIPLEASE_BIN
	Data     string            // data folder
	Mail     *servers.MailSink // nil: no mail server is set
	MinIO    *servers.MinIO    // nil: objects are kept in the data folder
	Bucket   string            // in MinIO
	Database string            // PostgreSQL address; empty: SQLite
	Env      []string          // more settings, as "CLIPLEASE_…=…"
	Spy      io.Writer         // gets every answer to a browser, head and body; nil: nobody does
}

// Relay is a running relay.
type Relay struct {
	Config
	Site      relay.Site
	SetUpLink string // printed by the last start; empty once the home is set up

	addr  string
	env   []string
	cmd   *exec.Cmd
	ended chan struct{}
	fault error // how the process ended
	log   tail
}

// Start starts a relay on a free port of this machine and returns it as soon as it answers.
func Start(ctx context.Context, c Config) (*Relay, error) {
	if c.Bin == "" {
		c.Bin = os.Getenv("CLIPLEASE_BIN")
	}
	if _, err := os.Stat(c.Bin); err != nil {
		return nil, fmt.Errorf("the program to drive is not at %q: run make build, or name it in CLIPLEASE_BIN", c.Bin)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	r := &Relay{Config: c, Site: relay.NewSite("localhost", port, false), addr: addr}
	if err := r.settings(); err != nil {
		return nil, err
	}
	if err := r.Start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Reach is a relay that somebody else started, by the address of its home. It can be spoken to,
// and no more.
func Reach(home string) (*Relay, error) {
	u, err := url.Parse(home)
	if err != nil || u.Hostname() != "localhost" || u.Port() == "" {
		return nil, fmt.Errorf("%q is no home of a relay on this machine", home)
	}
	return &Relay{Site: relay.NewSite("localhost", u.Port(), false), addr: net.JoinHostPort("127.0.0.1", u.Port())}, nil
}

// settings gathers the environment in which the relay and its commands run.
func (r *Relay) settings() error {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "CLIPLEASE_") || strings.HasPrefix(kv, "CLIPLEASE_MODELS=") {
			r.env = append(r.env, kv)
		}
	}
	add := func(name, value string) { r.env = append(r.env, "CLIPLEASE_"+name+"="+value) }
	if err := os.MkdirAll(r.Data, 0o700); err != nil {
		return err
	}
	add("DATA", r.Data)
	add("LISTEN", r.addr)
	if r.Database != "" {
		add("DATABASE", r.Database)
	}
	if m := r.MinIO; m != nil {
		add("S3_ENDPOINT", m.Endpoint)
		add("S3_BUCKET", r.Bucket)
		add("S3_ACCESS_KEY", m.AccessKey)
		add("S3_SECRET_KEY", m.SecretKey)
		add("S3_INSECURE", "true")
	}
	if m := r.Mail; m != nil {
		ca := filepath.Join(r.Data, "mail-ca.pem")
		if err := os.WriteFile(ca, m.CA, 0o600); err != nil {
			return err
		}
		host, port, err := net.SplitHostPort(m.Addr)
		if err != nil {
			return err
		}
		add("SMTP_HOST", host)
		add("SMTP_PORT", port)
		add("SMTP_SECURITY", "starttls")
		add("SMTP_CA", ca)
		add("SMTP_USERNAME", m.User)
		add("SMTP_PASSWORD", m.Password)
		add("SMTP_FROM", "cliplease@home.example")
	}
	r.env = append(r.env, r.Env...)
	return nil
}

// startWithin is how long a relay may take until it answers.
const startWithin = 30 * time.Second

// Start starts the relay again after [Relay.Kill] or [Relay.Stop], at the same address.
func (r *Relay) Start(ctx context.Context) error {
	cmd := exec.Command(r.Bin, "serve")
	cmd.Env = r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = &r.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd, r.ended, r.fault, r.SetUpLink = cmd, make(chan struct{}), nil, ""
	announced := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		lines.Scan()
		announced <- lines.Text()
		for lines.Scan() { // so that the relay never waits for us
		}
		r.fault = cmd.Wait()
		close(r.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	select {
	case line := <-announced:
		if _, link, ok := strings.Cut(line, "Set up your home: "); ok {
			r.SetUpLink = link
		}
	case <-ctx.Done():
		r.Kill()
		return fmt.Errorf("the relay did not start: %w: %s", ctx.Err(), r.log.String())
	}
	err = Until(ctx, func() (bool, error) {
		select {
		case <-r.ended:
			return false, r.died()
		default:
			return r.healthy(ctx), nil
		}
	})
	if err != nil {
		r.Kill()
	}
	return err
}

func (r *Relay) healthy(ctx context.Context) bool {
	resp, err := r.get(ctx, "/healthz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (r *Relay) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+path, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// Ready asks the relay whether everything that it depends on is there.
func (r *Relay) Ready(ctx context.Context) error {
	resp, err := r.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the relay is not ready: %s", bytes.TrimSpace(body))
	}
	return nil
}

// Kill ends the relay at once, as a power cut does.
func (r *Relay) Kill() {
	if r.cmd != nil {
		syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		<-r.ended
	}
}

// Stop asks the relay to end and waits for it.
func (r *Relay) Stop() error {
	select {
	case <-r.ended:
		return r.fault
	default:
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.ended:
		return r.fault
	case <-time.After(startWithin):
		r.Kill()
		return fmt.Errorf("the relay did not end when asked to: %s", r.log.String())
	}
}

// Ended reports whether the relay has ended, with the reason as an error.
func (r *Relay) Ended() (bool, error) {
	select {
	case <-r.ended:
		return true, r.died()
	default:
		return false, nil
	}
}

// died is the error of a relay that ended when nobody asked it to.
func (r *Relay) died() error {
	return errors.Join(fmt.Errorf("the relay ended by itself: %s", r.log.String()), r.fault)
}

// PID is the process that runs the relay.
func (r *Relay) PID() int { return r.cmd.Process.Pid }

// Addr is the address that the relay listens on.
func (r *Relay) Addr() string { return r.addr }

// Log is the end of what the relay wrote to its log.
func (r *Relay) Log() string { return r.log.String() }

// Result is how a command ended.
type Result struct {
	Out, Err string
	Code     int
}

// Command runs another command of the program with the relay's settings. A command that says
// no is a Result with its code, and no error.
func (r *Relay) Command(ctx context.Context, args ...string) (Result, error) {
	return run(ctx, r.Bin, r.env, args...)
}

// Must is Command for what has to succeed.
func (r *Relay) Must(ctx context.Context, args ...string) (string, error) {
	res, err := r.Command(ctx, args...)
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("cliplease %s: exit code %d: %s", strings.Join(args[:min(2, len(args))], " "), res.Code, strings.TrimSpace(res.Err))
	}
	return res.Out, err
}

// Run runs the program by itself, with the given environment.
func Run(ctx context.Context, bin string, env []string, args ...string) (Result, error) {
	return run(ctx, bin, env, args...)
}

func run(ctx context.Context, bin string, env []string, args ...string) (Result, error) {
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = env
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	res := Result{out.String(), complaint.String(), cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	return res, err
}

// Memory is the relay's resident memory in bytes.
func (r *Relay) Memory() (int64, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(r.PID()) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the system does not tell how much memory the relay uses")
}

// Until asks try again and again until it says yes, fails, or ctx ends.
func Until(ctx context.Context, try func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := try()
		if err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tail keeps the last part of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
