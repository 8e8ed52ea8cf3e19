package redact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Children that touch footage run without network, without the environment, and without any file but
// the ones they are given. Bubblewrap does this; where it cannot, the child confines itself with
// Landlock and seccomp before it starts the tool. Where neither works, nothing runs.

// Ways to confine a child.
const (
	byBwrap    = "bubblewrap"
	byLandlock = "landlock"
	byNothing  = "none"
)

// sandbox starts confined children.
type sandbox struct {
	kind  string
	bwrap string
	self  string // this program, which confines itself and becomes the tool
}

// limits bound what one child may use.
type limits struct {
	CPU    int64 `json:"cpu"`    // seconds of processor time
	File   int64 `json:"file"`   // bytes of one file
	Memory int64 `json:"memory"` // bytes of address space; 0 for no limit
	Files  int64 `json:"files"`  // open files
}

// child is one tool to run and the files that it may see. Use read and write to learn the names under
// which the tool sees them.
type child struct {
	name   string // for errors
	tool   string // path of the program on this machine
	args   []string
	reads  []string // files and folders to read
	writes []string // folders to write
	limits limits
	stdin  any // *os.File, io.Reader or nil
	stdout any // *os.File, io.Writer or nil
	kind   string
}

func (s *sandbox) child(name, tool string) *child {
	return &child{name: name, tool: tool, kind: s.kind, limits: limits{CPU: 3600, File: 64 << 30, Files: 256}}
}

// read lets the child read a file or folder and returns the name under which it sees it.
func (c *child) read(path string) string {
	if c.kind != byBwrap {
		c.reads = append(c.reads, path)
		return path
	}
	i := slices.Index(c.reads, path)
	if i < 0 {
		i = len(c.reads)
		c.reads = append(c.reads, path)
	}
	return fmt.Sprintf("/in/%d", i)
}

// write lets the child write into a folder and returns the name under which it sees it.
func (c *child) write(dir string) string {
	if c.kind != byBwrap {
		c.writes = append(c.writes, dir)
		return dir
	}
	i := slices.Index(c.writes, dir)
	if i < 0 {
		i = len(c.writes)
		c.writes = append(c.writes, dir)
	}
	return fmt.Sprintf("/out/%d", i)
}

// confinement is what a child is told about its own confinement.
type confinement struct {
	Kind   string   `json:"kind"`
	Limits limits   `json:"limits"`
	Reads  []string `json:"reads,omitempty"`
	Writes []string `json:"writes,omitempty"`
	Argv   []string `json:"argv"` // program and arguments to become
}

// childEnv is all of the environment that a child sees. OpenBLAS, which ffmpeg links, would start threads.
var childEnv = []string{"PATH=/usr/bin:/bin", "LANG=C", "OPENBLAS_NUM_THREADS=1", "GOMEMLIMIT=1500MiB", "HOME=/nonexistent"}

// command builds the process for c. The process it starts is this program, which sets its limits,
// confines itself and becomes bubblewrap or the tool.
func (s *sandbox) command(ctx context.Context, c *child) (*exec.Cmd, func(), error) {
	conf := confinement{Kind: s.kind, Limits: c.limits, Reads: c.reads, Writes: c.writes}
	var filter *os.File
	done := func() {}
	if s.kind == byBwrap {
		var err error
		if filter, err = seccompFile(); err != nil {
			return nil, nil, fmt.Errorf("prepare the sandbox: %w", err)
		}
		done = func() { filter.Close() }
		conf.Argv = s.bwrapArgs(c)
	} else {
		conf.Argv = append([]string{c.tool}, c.args...)
		if c.tool == s.self {
			conf.Reads = append(conf.Reads, s.self)
		}
	}
	spec, err := json.Marshal(conf)
	if err != nil {
		done()
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, s.self, childArg, "confine", string(spec))
	cmd.Env = childEnv
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if filter != nil {
		cmd.ExtraFiles = []*os.File{filter} // descriptor 3
	}
	return cmd, done, nil
}

func (s *sandbox) bwrapArgs(c *child) []string {
	a := []string{s.bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox",
		"--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin",
		"--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try", "/etc/alternatives", "/etc/alternatives",
		"--proc", "/proc", "--dev", "/dev", "--size", "67108864", "--tmpfs", "/tmp", "--chdir", "/", "--seccomp", "3"}
	tool := c.tool
	if !strings.HasPrefix(tool, "/usr/") || c.tool == s.self {
		a = append(a, "--ro-bind", tool, "/app/tool")
		tool = "/app/tool"
	}
	for i, p := range c.reads {
		a = append(a, "--ro-bind", p, fmt.Sprintf("/in/%d", i))
	}
	for i, p := range c.writes {
		a = append(a, "--bind", p, fmt.Sprintf("/out/%d", i))
	}
	return append(append(a, "--", tool), c.args...)
}

// running is a child that was started.
type running struct {
	name string
	cmd  *exec.Cmd
	ctx  context.Context
	done func()
	errs *capped
}

// start starts the child; its end of stdin and stdout is closed here when it is a pipe's end.
func (s *sandbox) start(ctx context.Context, c *child) (*running, error) {
	cmd, done, err := s.command(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &running{name: c.name, cmd: cmd, ctx: ctx, done: done, errs: &capped{limit: 64 << 10}}
	cmd.Stderr = r.errs
	if v, ok := c.stdin.(io.Reader); ok {
		cmd.Stdin = v
	}
	if v, ok := c.stdout.(io.Writer); ok {
		cmd.Stdout = v
	}
	err = cmd.Start()
	if f, ok := c.stdin.(*os.File); ok {
		f.Close()
	}
	if f, ok := c.stdout.(*os.File); ok {
		f.Close()
	}
	if err != nil {
		done()
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return r, nil
}

// wait waits for the child and returns a [*childError] when it failed.
func (r *running) wait() error {
	err := r.cmd.Wait()
	r.done()
	if cause := context.Cause(r.ctx); cause != nil && err != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return fmt.Errorf("%s took too long and was stopped: %w", r.name, cause)
		}
		return cause
	}
	if err != nil {
		return &childError{name: r.name, err: err, text: r.errs.String()}
	}
	return nil
}

// run starts the child and waits for it.
func (s *sandbox) run(ctx context.Context, c *child) error {
	r, err := s.start(ctx, c)
	if err != nil {
		return err
	}
	return r.wait()
}

// childError says how a child failed. Its text may hold words that the footage chose: show it to the
// homeowner's log at most.
type childError struct {
	name string
	err  error
	text string
}

func (e *childError) Error() string {
	line := strings.TrimSpace(e.text)
	if i := strings.LastIndexByte(line, '\n'); i >= 0 {
		line = line[i+1:]
	}
	if len(line) > 300 {
		line = line[:300]
	}
	return fmt.Sprintf("%s failed (%v): %q", e.name, e.err, line)
}

func (e *childError) Unwrap() error { return e.err }

// capped keeps the last bytes that were written to it.
type capped struct {
	mu    sync.Mutex
	b     bytes.Buffer
	limit int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Write(p)
	if over := c.b.Len() - c.limit; over > 0 {
		c.b.Next(over)
	}
	return len(p), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}

// openSandbox finds the strongest way to confine children that works on this machine.
func openSandbox(cfg Config) (*sandbox, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	var reasons []string
	for _, kind := range []string{byBwrap, byLandlock} {
		s := &sandbox{kind: kind, bwrap: cfg.Bwrap, self: self}
		if kind == byBwrap && cfg.Bwrap == "none" {
			continue
		}
		if kind == byBwrap {
			if s.bwrap, err = lookTool(cfg.Bwrap, "bwrap"); err != nil {
				reasons = append(reasons, err.Error())
				continue
			}
		}
		if err := s.try(); err != nil {
			reasons = append(reasons, fmt.Sprintf("%s: %v", kind, err))
			continue
		}
		return s, nil
	}
	if cfg.Unsafe {
		return &sandbox{kind: byNothing, self: self}, nil
	}
	return nil, fmt.Errorf("no sandbox works here (%s): install bubblewrap and allow user namespaces, or use a kernel with Landlock: %w",
		strings.Join(reasons, "; "), ErrNotReady)
}

// try proves that a confined child starts and that it cannot read what it was not given.
func (s *sandbox) try() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := s.child("sandbox test", s.self)
	c.args = []string{childArg, "selftest"}
	return s.run(ctx, c)
}

// lookTool returns the path of a program: the configured one, or the one in PATH.
func lookTool(configured, name string) (string, error) {
	if configured == "" {
		configured = name
	}
	p, err := exec.LookPath(configured)
	if err != nil {
		return "", fmt.Errorf("%s was not found: install it or set its path", configured)
	}
	if p, err = filepath.Abs(p); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(p)
}
