package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cliplease/redact"
	"cliplease/relay"
	"cliplease/server"
	"cliplease/source"
	"cliplease/storage"
	"cliplease/worker"

	"github.com/spf13/cobra"
)

// setupLife is how long the link that sets up the home works.
const setupLife = 24 * time.Hour

// configFlags are the flags of every command that reads the configuration.
type configFlags struct {
	file, data string
}

func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "config", os.Getenv("CLIPLEASE_CONFIG"), "configuration `file` (YAML); settings can also be environment variables")
	cmd.Flags().StringVar(&f.data, "data", "", "data `folder` (default "+defaultData()+")")
}

func (f *configFlags) load() (Config, error) {
	environ := os.Environ()
	if f.data != "" {
		environ = append(environ, envName("data")+"="+f.data)
	}
	c, err := loadConfig(f.file, environ)
	if err != nil {
		return c, exitWith(exitUsage, err)
	}
	c.Data, err = filepath.Abs(c.Data)
	return c, err
}

// openStore opens the data that a running relay may be using at the same time.
func (f *configFlags) openStore(ctx context.Context) (Config, *storage.Store, error) {
	c, err := f.load()
	if err != nil {
		return c, nil, err
	}
	if _, err := os.Stat(filepath.Join(c.Data, "keys")); err != nil {
		return c, nil, fmt.Errorf("there is no relay in %s: start one with \"cliplease serve\", or name its folder with --data", c.Data)
	}
	_, port, _ := net.SplitHostPort(c.Listen)
	s, err := storage.Open(ctx, c.storage(c.site(port)))
	return c, s, err
}

func (c Config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

func serveCommand() *cobra.Command {
	var flags configFlags
	var addr string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the relay: web app, agency API, recipients' pages and worker in one process",
		Long: `Run the relay. It needs no configuration: the first start makes a data folder with keys,
database and object store, and prints a link with which you set up your home.

The relay answers on three host names of one address: localhost (your web app), api.localhost
(agencies) and view.localhost (recipients); with a domain of your own, home., api. and view.`,
		Example: "  cliplease serve\n  cliplease serve --data /srv/cliplease --addr localhost:8080\n  cliplease serve --config /etc/cliplease.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if addr != "" {
				os.Setenv(envName("listen"), addr)
			}
			c, err := flags.load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&addr, "addr", "", "`host:port` to listen on (default localhost:8080; port 0 takes a free one)")
	return cmd
}

// serve runs the relay until ctx ends.
func serve(ctx context.Context, c Config, out, errOut io.Writer) (err error) {
	log := c.logger(errOut)
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	unlock, err := lockFolder(c.Data, "relay.pid")
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port taken: another program listens on %s; end it, or choose another with --addr", c.Listen)
		}
		return fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	defer listener.Close()
	site := c.site(strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	store, err := storage.Open(ctx, c.storage(site))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	engine, err := redact.Open(c.redaction())
	if err != nil {
		return err
	}
	clock, err := storage.OpenClock(ctx, store.DB, time.Now, storage.SinceBoot)
	if err != nil {
		return err
	}
	srv, err := server.New(server.Config{Store: store, Site: site, Version: version, MaxUpload: int64(c.Upload.MaxMB) << 20, Transparency: c.Transparency.Public, Watch: c.watched(), NoticeHosts: c.noticeHosts(),
		Ready: readiness(store, engine, clock), Now: clock.Now, Clock: clock, Log: log})
	if err != nil {
		return err
	}
	work, err := worker.New(worker.Config{Store: store, Site: site, Engine: engine, SMTP: c.smtp(), Witness: c.witness(), NoticeHosts: c.noticeHosts(),
		Watch: source.Folder{Base: c.watched(), Quiet: time.Duration(c.Watch.Quiet) * time.Second, MaxBytes: int64(c.Upload.MaxMB) << 20}, TempDir: filepath.Join(c.Data, "tmp"),
		Now: clock.Now, Clock: clock, Log: log, OnEnded: srv.Cut, Version: version})
	if err != nil {
		return err
	}
	if err := work.Start(ctx); err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, work.Stop(end))
	}()
	if err := store.DB.Record(ctx, relay.Event{Kind: relay.Started, Subject: "relay", Actor: "relay", At: time.Now(), Data: relay.Data{"version": version}}); err != nil {
		return err
	}
	if err := announce(ctx, store, site, out); err != nil {
		return err
	}
	for _, check := range readiness(store, engine, clock)(ctx) {
		if !check.OK {
			log.Warn("not ready", "check", check.Name, "detail", check.Detail)
		}
	}
	if c.SMTP.Host == "" {
		log.Warn("no mail server is set: links and codes wait until you set smtp.host")
	}
	return listen(ctx, srv.HTTP(), listener, c)
}

func listen(ctx context.Context, h *http.Server, listener net.Listener, c Config) error {
	if c.TLS.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
		listener = tls.NewListener(listener, h.TLSConfig)
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.Shutdown(end); err != nil {
		return h.Close() // someone is still watching
	}
	return nil
}

// announce says where the relay is, and prints the set-up link while nobody belongs to the
// home. Every start makes a new link: the token of the one before is not kept anywhere.
func announce(ctx context.Context, store *storage.Store, site relay.Site, out io.Writer) error {
	members, err := store.DB.CountMembers(ctx)
	if err != nil {
		return err
	}
	if members > 0 {
		fmt.Fprintf(out, "cliplease is at %s\n", site.Home)
		return nil
	}
	token := rand.Text() + rand.Text()
	now := time.Now()
	if err := store.DB.Invite(ctx, storage.Invitation{TokenHash: hashToken(token), Role: relay.RoleHomeowner, InvitedBy: storage.SetUp, ExpiresAt: now.Add(setupLife)}, now); err != nil {
		return err
	}
	fmt.Fprintf(out, "Set up your home: %s/join#%s\n", site.Home, token)
	return nil
}

// hashToken is how the token of an invitation is stored.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// readiness looks at everything that the relay depends on.
func readiness(store *storage.Store, engine *redact.Engine, clock *storage.Clock) func(context.Context) []server.Check {
	return func(ctx context.Context) []server.Check {
		check := func(name string, err error) server.Check {
			if err != nil {
				return server.Check{Name: name, Detail: err.Error()}
			}
			return server.Check{Name: name, OK: true}
		}
		out := []server.Check{check("database", store.DB.Check(ctx)), check("objects", store.Objects.Check(ctx)), check("clock", clock.Frozen(ctx))}
		for _, c := range engine.Check(ctx) {
			out = append(out, server.Check(c))
		}
		return out
	}
}

// lockFolder makes sure that one process of a kind uses the data folder. The lock goes with
// the process, however it ends.
func lockFolder(folder, name string) (unlock func(), err error) {
	path := filepath.Join(folder, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		raw, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		return nil, fmt.Errorf("the data folder %s is in use by process %s; end that one, or name another folder with --data", folder, strings.TrimSpace(string(raw)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return func() { f.Close() }, nil
}

func workerCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run redaction only, beside a relay that serves the same data",
		Long: `Run a worker that only redacts, so that the relay itself stays free. It works on the same data
folder, database and object store as the relay, on the same machine.`,
		Example: "  cliplease worker --config /etc/cliplease.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx := cmd.Context()
			c, store, err := flags.openStore(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			unlock, err := lockFolder(c.Data, "worker.pid")
			if err != nil {
				return err
			}
			defer unlock()
			engine, err := redact.Open(c.redaction())
			if err != nil {
				return err
			}
			_, port, _ := net.SplitHostPort(c.Listen)
			work, err := worker.New(worker.Config{Store: store, Site: c.site(port), Engine: engine, TempDir: filepath.Join(c.Data, "tmp-worker"),
				Now: time.Now, Log: c.logger(cmd.ErrOrStderr()), MediaOnly: true, Version: version})
			if err != nil {
				return err
			}
			if err := work.Start(ctx); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "cliplease worker is ready")
			<-ctx.Done()
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return work.Stop(end)
		},
	}
	flags.add(cmd)
	return cmd
}
