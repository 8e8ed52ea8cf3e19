package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"cliplease/relay"
	"cliplease/server/custody"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

func releaseReportCommand() *cobra.Command {
	var flags configFlags
	var out, recipient string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report RELEASE",
		Short: "Write the chain of custody of a release, to file or print",
		Long: `Writes who did what with the footage of a release and when, with the digests of what went in and
came out, as a PDF or as JSON. It is made from the audit log: the same log makes the same bytes.

It is the home's own copy, with the names of members and of every recipient. With --recipient it is
the one that a recipient gets, with what concerns that recipient's file alone.`,
		Example: "  cliplease release report 5xqr7k2v --out custody.pdf\n  cliplease release report 5xqr7k2v --recipient r…@pd.example --out for-the-agency.pdf\n  cliplease release report 5xqr7k2v --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			rel, err := store.DB.Release(cmd.Context(), args[0])
			if errors.Is(err, relay.ErrNotFound) {
				return fmt.Errorf("there is no release %s; see \"cliplease release list --all\"", args[0])
			}
			if err != nil {
				return err
			}
			copyID := ""
			if recipient != "" {
				if copyID, err = copyOf(rel, recipient); err != nil {
					return err
				}
			}
			_, port, _ := net.SplitHostPort(cfg.Listen)
			r, err := custody.For(cmd.Context(), store, cfg.site(port), rel.ID, copyID)
			if errors.Is(err, relay.ErrNotFound) {
				return fmt.Errorf("release %s was never signed, so no recipient has a file", rel.ID)
			}
			if err != nil {
				return err
			}
			return writeReport(cmd, r, asJSON, out)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write to this `file`; without it to standard output")
	cmd.Flags().StringVar(&recipient, "recipient", "", "the report for one recipient: their `address`, or its masked form")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON instead of a PDF")
	return cmd
}

// copyOf returns the id of the copy that was made for a recipient.
func copyOf(rel relay.Release, recipient string) (string, error) {
	var names []string
	for _, c := range rel.Copies {
		if recipient == c.ID || recipient == c.Recipient.Addr || recipient == c.Recipient.Display() || recipient == c.Recipient.KID {
			return c.ID, nil
		}
		names = append(names, c.Recipient.Display())
	}
	return "", fmt.Errorf("release %s has no recipient %s; it has %s", rel.ID, recipient, strings.Join(names, ", "))
}

// writeReport writes to a file, or to standard output unless that is a terminal that would get
// a PDF.
func writeReport(cmd *cobra.Command, r custody.Report, asJSON bool, path string) (err error) {
	var body bytes.Buffer
	if asJSON {
		raw, err := r.JSON()
		if err != nil {
			return err
		}
		body.Write(raw)
	} else if err := r.PDF(&body); err != nil {
		return err
	}
	if path != "" {
		return os.WriteFile(filepath.Clean(path), body.Bytes(), 0o600)
	}
	if f, ok := cmd.OutOrStdout().(*os.File); ok && !asJSON && isatty.IsTerminal(f.Fd()) {
		return exitWith(exitUsage, errors.New("a PDF is not for the terminal: say where to with --out, or ask for --json"))
	}
	_, err = body.WriteTo(cmd.OutOrStdout())
	return err
}
