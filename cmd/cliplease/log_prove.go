package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// logProof is the file that "log prove" writes and "log verify" checks: one of the two proofs,
// and the key that it was signed with.
type logProof struct {
	Key    string             `json:"key"`
	Entry  *relay.EntryProof  `json:"entry,omitempty"`
	Growth *relay.GrowthProof `json:"growth,omitempty"`
}

func logProveCommand() *cobra.Command {
	var flags configFlags
	var since int64
	cmd := &cobra.Command{
		Use:   "prove [ENTRY]",
		Short: "Print the proof that an entry is in the public log, or that the public log only grew",
		Long: `Print a proof that anybody can check with "cliplease log verify FILE" and the log's key.

With ENTRY, the index of an entry: that it stands in the public log, whose checkpoints witnesses
keep. The proof opens the entry, so that whoever gets it reads it. Requests, decisions and ends have
a place of their own; all else is proved by the root of the whole log, which is published every hour.

With --since SIZE, the number of leaves that an older checkpoint states: that the public log of then
is the beginning of the one of now.`,
		Example: "  cliplease log prove 17 > proof.json\n  cliplease log prove --since 288 > growth.json\n  cliplease log verify proof.json --key \"$(cat known-audit.key.pub)\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if (len(args) == 1) == cmd.Flags().Changed("since") {
				return exitWith(exitUsage, errors.New("give the index of an entry, or --since"))
			}
			var entry int64
			if len(args) == 1 {
				if entry, err = strconv.ParseInt(args[0], 10, 64); err != nil || entry < 0 {
					return exitWith(exitUsage, fmt.Errorf("%q is no index of an entry: write a number such as 17", args[0]))
				}
			}
			ctx := cmd.Context()
			_, store, err := flags.openStore(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			proof := logProof{Key: store.Identity.AuditKey}
			if len(args) == 1 {
				p, err := store.DB.PublicProof(ctx, entry)
				if errors.Is(err, relay.ErrNotFound) {
					return fmt.Errorf("entry %d is not in the public log: there is no such entry, or its hour is not over yet", entry)
				}
				if err != nil {
					return err
				}
				proof.Entry = &p
			} else {
				p, err := store.DB.PublicGrowth(ctx, since)
				if errors.Is(err, relay.ErrNotFound) {
					return fmt.Errorf("the public log has no checkpoint of %d leaves", since)
				}
				if err != nil {
					return err
				}
				proof.Growth = &p
			}
			return printJSON(cmd.OutOrStdout(), proof, true)
		},
	}
	flags.add(cmd)
	cmd.Flags().Int64Var(&since, "since", 0, "leaves of an older checkpoint of the public log")
	return cmd
}

// verifyProof checks a file that "log prove" wrote, and says in a line what it proves.
func verifyProof(file, known string) (string, error) {
	raw, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", err
	}
	var p logProof
	if err := json.Unmarshal(raw, &p); err != nil || (p.Entry == nil) == (p.Growth == nil) {
		return "", fmt.Errorf("%s is neither an exported log nor a proof from \"cliplease log prove\"", file)
	}
	if known != "" && strings.TrimSpace(known) != p.Key {
		return "", errors.New("the log's key is not the one given with --key")
	}
	key, err := note.NewVerifier(p.Key)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if p.Growth != nil {
		if err := p.Growth.Verify(key); err != nil {
			return "", err
		}
		c, err := relay.OpenCheckpoint([]byte(p.Growth.Checkpoint), key)
		return fmt.Sprintf("ok: the public log of %s, now of %d leaves, only grew", c.Origin, c.Size), err
	}
	if err := p.Entry.Verify(key); err != nil {
		return "", err
	}
	return fmt.Sprintf("ok: entry %d is in the log of %s: %s", p.Entry.Entry.Index, key.Name(), clean(compact(p.Entry.Entry.Event))), nil
}

// compact is JSON in one line.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil || b.Len() == 0 {
		return "what it said was forgotten"
	}
	return b.String()
}

func logForgetCommand() *cobra.Command {
	var flags configFlags
	var before, kind string
	cmd := &cobra.Command{
		Use:   "forget --before DAY",
		Short: "Delete what the log says of everyday events, without breaking it",
		Long: `Delete what the log says of everyday events before a day: who signed in, which mail was sent, which
link was opened, which codes were entered, when the relay started. What is left of such an entry is its
place and its hour; the log verifies as before. That entries were forgotten is an entry itself.

What was asked, decided, given, watched and ended cannot be forgotten: proofs rest on it.`,
		Example: "  cliplease log forget --before 2026-01-01\n  cliplease log forget --before 2026-01-01 --kind member.signed_in",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := required(cmd, "before"); err != nil {
				return err
			}
			day, err := time.ParseInLocation(time.DateOnly, before, time.Local)
			if err != nil {
				return exitWith(exitUsage, fmt.Errorf("--before: %q is no day; write one such as 2026-01-01", before))
			}
			ctx := cmd.Context()
			_, store, err := flags.openStore(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			n, err := store.DB.Forget(ctx, relay.EventKind(kind), day, "command line", time.Now())
			if invalid := (*relay.InvalidError)(nil); errors.As(err, &invalid) {
				return exitWith(exitUsage, fmt.Errorf("--kind: %s", invalid.Reason))
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d entries are forgotten\n", n)
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&before, "before", "", "forget what was before this `day`, such as 2026-01-01")
	var kinds []string
	for _, k := range storage.Forgettable() {
		kinds = append(kinds, string(k))
	}
	cmd.Flags().StringVar(&kind, "kind", "", "only events of one `kind`: "+strings.Join(kinds, ", "))
	return cmd
}
