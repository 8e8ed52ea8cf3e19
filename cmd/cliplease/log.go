package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// The files of an exported log.
const (
	exportEntries     = "entries.jsonl"     // one entry a line
	exportCheckpoints = "checkpoints.jsonl" // one signed note a line, as a JSON string
	exportKey         = "audit.key.pub"     // the log's verifier key
)

func logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Check, export and prove the audit log",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(logVerifyCommand(), logExportCommand(), logProveCommand(), logForgetCommand())
	return cmd
}

func logVerifyCommand() *cobra.Command {
	var flags configFlags
	var asJSON bool
	var key string
	cmd := &cobra.Command{
		Use:   "verify [EXPORT|PROOF]",
		Short: "Check that the log is whole, and that everything kept is what the log says",
		Long: `Check the audit log. Without an argument: the log of the relay in the data folder, and with it
that every request, release, link and view is what the log says, that no release was live
without a grant that a passkey signed, and that the keys of what ended are gone or about to be.

With EXPORT, a folder that "cliplease log export" made: that every entry is the one that was
logged, against the signed checkpoints; this needs no relay and no network. Give --key with the
log's key as you know it from elsewhere, or the log is only checked against the key that lies
beside it.

With a file that "cliplease log prove" made: what it proves, just so.

Exits with 1 when something does not hold, and says what.`,
		Example: "  cliplease log verify\n  cliplease log verify ./export --key \"$(cat known-audit.key.pub)\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var v storage.Verified
			if len(args) == 1 {
				if info, err := os.Stat(args[0]); err == nil && info.Mode().IsRegular() {
					said, err := verifyProof(args[0], key)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
					return err
				}
				v, err = verifyExport(args[0], key)
			} else {
				var store *storage.Store
				if _, store, err = flags.openStore(cmd.Context()); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, store.Close()) }()
				if key != "" && key != store.Identity.AuditKey {
					return errors.New("the log's key is not the one given with --key")
				}
				v, err = store.Verify(cmd.Context())
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), v, false)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %d entries, %d of them under %d signed checkpoints\n", v.Entries, v.Signed, v.Checkpoints)
			if err == nil && len(args) == 0 {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %d requests and %d releases are what the log says\n", v.Requests, v.Releases)
			}
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&key, "key", "", "the log's `verifier key` as you know it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the numbers as JSON")
	return cmd
}

// verifyExport checks an exported log offline.
func verifyExport(folder, known string) (v storage.Verified, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, exportKey))
	if err != nil {
		return v, fmt.Errorf("%s is no exported log: %w", folder, err)
	}
	key := strings.TrimSpace(string(raw))
	if known != "" && key != strings.TrimSpace(known) {
		return v, errors.New("the log's key is not the one given with --key")
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return v, fmt.Errorf("%s: %w", exportKey, err)
	}
	notes, err := os.Open(filepath.Join(folder, exportCheckpoints))
	if err != nil {
		return v, err
	}
	defer notes.Close()
	var checkpoints []relay.Checkpoint
	for d := json.NewDecoder(notes); ; {
		var text string
		if err := d.Decode(&text); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return v, fmt.Errorf("%s: %w", exportCheckpoints, err)
		}
		c, err := relay.OpenCheckpoint([]byte(text), verifier)
		if err != nil {
			return v, err
		}
		if c.Origin != verifier.Name() {
			return v, fmt.Errorf("a checkpoint is of another log, %s", c.Origin)
		}
		checkpoints, v.Signed = append(checkpoints, c), max(v.Signed, c.Size)
	}
	entries, err := os.Open(filepath.Join(folder, exportEntries))
	if err != nil {
		return v, err
	}
	defer entries.Close()
	v.Checkpoints = len(checkpoints)
	v.Entries, err = relay.VerifyLog(entries, checkpoints)
	return v, err
}

func logExportCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "export FOLDER",
		Short: "Write the log with its signed checkpoints into a new folder",
		Long: `Write the audit log, under a new checkpoint, into a new folder: entries.jsonl with one entry a
line, checkpoints.jsonl with the signed checkpoints, and audit.key.pub with the key that they
are signed with. The entries hold what happened in your home's relay: give them to nobody who
must not know. "cliplease log verify FOLDER" checks them anywhere.`,
		Example: "  cliplease log export ./export",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			c, store, err := flags.openStore(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			if err := os.Mkdir(args[0], 0o700); errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already: name a folder that is not", args[0])
			} else if err != nil {
				return err
			}
			if _, err := store.DB.Checkpoint(ctx, c.site("").LogOrigin(), store.Identity.Audit, time.Now()); err != nil {
				return err
			}
			// Checkpoints first: what is logged meanwhile lies after the last of them.
			notes, err := store.DB.Checkpoints(ctx)
			if err != nil {
				return err
			}
			write := func(name string, do func(io.Writer) error) error {
				f, err := os.OpenFile(filepath.Join(args[0], name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return err
				}
				w := bufio.NewWriter(f)
				return errors.Join(do(w), w.Flush(), f.Close())
			}
			if err := errors.Join(
				write(exportKey, func(w io.Writer) error { _, err := fmt.Fprintln(w, store.Identity.AuditKey); return err }),
				write(exportCheckpoints, func(w io.Writer) error {
					for _, n := range notes {
						if err := json.NewEncoder(w).Encode(n); err != nil {
							return err
						}
					}
					return nil
				}),
				write(exportEntries, func(w io.Writer) error { return store.DB.ExportLog(ctx, w) }),
			); err != nil {
				return err
			}
			v, err := verifyExport(args[0], store.Identity.AuditKey)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "exported %d entries and %d checkpoints to %s\n", v.Entries, v.Checkpoints, args[0])
			return err
		},
	}
	flags.add(cmd)
	return cmd
}

func bundleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Check the evidence of a release",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(bundleVerifyCommand())
	return cmd
}

func bundleVerifyCommand() *cobra.Command {
	var asJSON bool
	var known relay.BundleReport
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an evidence bundle without the relay and without a network",
		Long: `Check an evidence bundle: that the agency's key signed the request, that a passkey with its
holder verified signed exactly this grant for it, and that the relay's log names the grant.
The bundle brings the keys that it is checked with: compare them with what the parties
published, or give them here.

Exits with 1 when something does not hold, and says what.`,
		Example: "  cliplease bundle verify evidence.zip\n  cliplease bundle verify evidence.zip --agency-key biAOVsmz… --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			r, err := relay.VerifyBundle(f, info.Size())
			if err != nil {
				return fmt.Errorf("%s does not hold: %w", args[0], err)
			}
			for _, k := range []struct{ what, want, got string }{
				{"agency", known.AgencyKID, r.AgencyKID}, {"relay", known.RelayKID, r.RelayKID}, {"log", known.AuditKey, r.AuditKey},
			} {
				if k.want != "" && k.want != k.got {
					return fmt.Errorf("%s does not hold: the %s's key is %s, not the one given", args[0], k.what, k.got)
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r, false)
			}
			return printBundle(cmd.OutOrStdout(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&known.AgencyKID, "agency-key", "", "the agency's key as you know it: its RFC 7638 `thumbprint`")
	f.StringVar(&known.RelayKID, "relay-key", "", "the relay's key as you know it: its RFC 7638 `thumbprint`")
	f.StringVar(&known.AuditKey, "audit-key", "", "the log's `verifier key` as you know it")
	f.BoolVar(&asJSON, "json", false, "print what the bundle says as JSON")
	return cmd
}

func printBundle(w io.Writer, r relay.BundleReport) error {
	words, err := relay.CheckWords(r.AgencyKID, 8)
	if err != nil {
		return err
	}
	views := fmt.Sprintf("%d views each", r.Access.MaxViews)
	if r.Access.Download {
		views += ", to keep"
	}
	manifests := "none: the bundle says nothing about how the files were made"
	if len(r.Manifests) > 0 {
		m := r.Manifests[0]
		manifests = fmt.Sprintf("signed, for every file: %d pictures, %s, %d checks passed, %d parts of what was asked for left out",
			m.Output.Frames, clean(m.Redaction.Profile), len(m.Gates), len(m.Window.Gaps))
	}
	visible := ""
	for _, x := range r.Uncovered {
		visible += fmt.Sprintf("\n  visible    a %s from %.1f to %.1f s, since: %s (member %s)", clean(x.Kind), float64(x.FromMS)/1000, float64(x.ToMS)/1000, clean(x.Reason), clean(x.By))
	}
	_, err = fmt.Fprintf(w, `ok: the bundle holds
  agency     %s, case %s, purpose %s
  granted    %s by member %s of %s
  footage    %s from %s to %s
  until      %s, %s
  files      %s
  manifests  %s%s
  in the log as entry %d of %d, at %s
  grant      %s
It rests on these keys; compare them with what the parties published:
  agency     %s
             %s
  relay      %s
  log        %s
`, clean(r.Agency), clean(r.Case), clean(r.Purpose), r.DecidedAt, clean(strings.Join(r.Signers, " and ")), clean(r.Relay), clean(r.Scope.Camera), r.Scope.From, r.Scope.To,
		clean(r.Access.Expires), views, strings.Join(r.Files, "\n             "), manifests, visible, r.LogIndex, r.LogSize, r.LoggedAt, r.GrantHash, r.AgencyKID, words, r.RelayKID, clean(r.AuditKey))
	return err
}

// clean keeps what strangers wrote from steering a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}
