package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Postgres is a running PostgreSQL server. It does not sync to disk: it is for tests.
type Postgres struct {
	addr    string
	bin     string
	dir     string
	attr    syscall.SysProcAttr
	process *process
}

// StartPostgres makes a new cluster in a temporary folder and starts it, with the programs
// of the folder bin, or of the newest version installed when bin is empty. PostgreSQL does
// not run as root: root runs it as the user postgres or nobody.
func StartPostgres(ctx context.Context, bin string) (*Postgres, error) {
	if bin == "" {
		var err error
		if bin, err = findPostgres(); err != nil {
			return nil, err
		}
	}
	return retry(func() (*Postgres, error) { return startPostgres(ctx, bin) })
}

// findPostgres returns the folder of the newest PostgreSQL programs. Debian leaves them out
// of the PATH.
func findPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range append(found, filepath.SplitList(os.Getenv("PATH"))...) {
		complete := true
		for _, name := range []string{"initdb", "postgres", "pg_isready", "createdb"} {
			complete = complete && executable(filepath.Join(dir, name))
		}
		if complete {
			return dir, nil
		}
	}
	return "", errors.New("no PostgreSQL server: install one (apt-get install postgresql)")
}

func startPostgres(ctx context.Context, bin string) (_ *Postgres, err error) {
	p := &Postgres{bin: bin}
	if p.addr, err = freePort(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "cliplease-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Stop()
		}
	}()
	if os.Geteuid() == 0 {
		uid, gid, err := unprivileged()
		if err != nil {
			return nil, err
		}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return nil, err
		}
		p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if err := p.run(ctx, "initdb", "--pgdata", p.dir+"/data", "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync"); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return nil, err
	}
	// Without the context: Stop ends it.
	cmd := p.command(context.WithoutCancel(ctx), "postgres", "-D", p.dir+"/data", "-k", p.dir, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
	if p.process, err = start(cmd, p.attr); err != nil {
		return nil, err
	}
	return p, p.process.await(ctx, func(ctx context.Context) bool {
		return p.run(ctx, "pg_isready", "--quiet", "--host", p.dir, "--port", port) == nil
	})
}

// Database makes a new empty database and returns its address for a driver, over loopback.
func (p *Postgres) Database(ctx context.Context) (string, error) {
	name := "t_" + strings.ToLower(rand.Text()[:12])
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return "", err
	}
	if err := p.run(ctx, "createdb", "--host", p.dir, "--port", port, "--username", "postgres", name); err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort(host, port), Path: name, RawQuery: "sslmode=disable"}).String(), nil
}

// Stop ends the server, its connections too, and removes what it kept.
func (p *Postgres) Stop() {
	if p.process != nil {
		p.process.stop(syscall.SIGQUIT) // at once: what it has is thrown away
	}
	os.RemoveAll(p.dir)
}

// command returns one of the programs with an environment of its own.
func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"HOME=" + p.dir, "LC_ALL=C", "PATH=" + p.bin + ":/usr/bin:/bin"}
	return cmd
}

// run runs one of the programs to its end.
func (p *Postgres) run(ctx context.Context, name string, args ...string) error {
	cmd := p.command(ctx, name, args...)
	attr := p.attr
	cmd.SysProcAttr = &attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// unprivileged returns the user that PostgreSQL runs as when we are root.
func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, lookup := user.Lookup(name)
		if lookup != nil {
			continue
		}
		uid, err = strconv.Atoi(u.Uid)
		if err == nil {
			gid, err = strconv.Atoi(u.Gid)
		}
		return uid, gid, err
	}
	return 0, 0, errors.New("PostgreSQL cannot run as root, and there is neither a user postgres nor nobody; run as another user")
}
