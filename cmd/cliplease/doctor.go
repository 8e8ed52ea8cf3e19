package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"cliplease/redact"
	"cliplease/server"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

// minFree is how many bytes the data folder's disk should have left: a clip, its mezzanine
// and its copies.
const minFree = 4 << 30

func doctorCommand() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything the relay needs, and say what to do where something is missing",
		Long: `Look at the configuration, the data folder, the database, the object store, ffmpeg, the models
and the sandbox. Exits with 1 when something is missing.`,
		Example: "  cliplease doctor\n  cliplease doctor --json | jq '.[] | select(.ok | not)'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			c, err := flags.load()
			if err != nil {
				return err
			}
			checks := []server.Check{{Name: "configuration", OK: true}, dataFolder(c.Data), freeSpace(c.Data), clock(time.Now())}
			if _, err := os.Stat(filepath.Join(c.Data, "keys")); err == nil {
				_, port, _ := net.SplitHostPort(c.Listen)
				store, err := storage.Open(ctx, c.storage(c.site(port)))
				if err != nil {
					checks = append(checks, server.Check{Name: "store", Detail: err.Error()})
				} else {
					defer store.Close()
					checks = append(checks, result("database", store.DB.Check(ctx)), result("objects", store.Objects.Check(ctx)), records(ctx, store))
				}
			}
			engine, err := redact.Open(c.redaction())
			if err != nil {
				checks = append(checks, server.Check{Name: "redaction", Detail: err.Error()})
			} else {
				for _, x := range engine.Check(ctx) {
					checks = append(checks, server.Check(x))
				}
			}
			return report(cmd, checks, asJSON)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the checks as JSON")
	return cmd
}

// records checks that what is stored keeps every promise that can be checked from inside.
func records(ctx context.Context, store *storage.Store) server.Check {
	_, err := store.Verify(ctx)
	return result("records", err)
}

func result(name string, err error) server.Check {
	if err != nil {
		return server.Check{Name: name, Detail: err.Error()}
	}
	return server.Check{Name: name, OK: true}
}

func report(cmd *cobra.Command, checks []server.Check, asJSON bool) error {
	bad := 0
	for _, c := range checks {
		if !c.OK {
			bad++
		}
	}
	out := cmd.OutOrStdout()
	if asJSON {
		if err := json.NewEncoder(out).Encode(checks); err != nil {
			return err
		}
	} else {
		for _, c := range checks {
			mark := "ok     "
			if !c.OK {
				mark = "MISSING"
			}
			fmt.Fprintf(out, "%s  %-14s %s\n", mark, c.Name, c.Detail)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks failed", bad, len(checks))
	}
	return nil
}

func dataFolder(path string) server.Check {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return server.Check{Name: "data folder", OK: true, Detail: path + " will be made by the first start"}
	case err != nil:
		return server.Check{Name: "data folder", Detail: err.Error()}
	case info.Mode().Perm()&0o077 != 0:
		return server.Check{Name: "data folder", Detail: "others can read it: run chmod 700 " + path}
	}
	return server.Check{Name: "data folder", OK: true, Detail: path}
}

func freeSpace(path string) server.Check {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return server.Check{Name: "disk", Detail: err.Error()}
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	detail := fmt.Sprintf("%.1f GB free", float64(free)/1e9)
	if free < minFree {
		return server.Check{Name: "disk", Detail: detail + "; a release needs about 4 GB while it is made: free some space"}
	}
	return server.Check{Name: "disk", OK: true, Detail: detail}
}

// clock checks that the machine's time can be true: signed requests are refused by a clock
// that is off by more than half a minute.
func clock(now time.Time) server.Check {
	if info, err := os.Stat("/proc/self"); now.Year() < 2026 || err == nil && now.Before(info.ModTime().Add(-time.Minute)) {
		return server.Check{Name: "clock", Detail: "the clock says " + now.UTC().Format(time.RFC3339) + "; set it, for example with timedatectl set-ntp true"}
	}
	return server.Check{Name: "clock", OK: true, Detail: now.UTC().Format(time.RFC3339)}
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Work with the configuration", Example: "  cliplease config check --config /etc/cliplease.yaml"}
	var flags configFlags
	check := &cobra.Command{
		Use:     "check",
		Short:   "Check the configuration and the environment, and name every wrong setting with its line",
		Example: "  cliplease config check --config /etc/cliplease.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := flags.load(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The configuration is right.")
			return nil
		},
	}
	flags.add(check)
	cmd.AddCommand(check)
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  cliplease version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "cliplease", version)
			return err
		},
	}
}
