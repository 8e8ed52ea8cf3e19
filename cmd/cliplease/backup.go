package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	var flags configFlags
	var keys string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy state and sealed originals into a new folder, while the relay runs",
		Long: `Copy the state and the sealed originals into a new folder. The relay may run meanwhile; SQLite and
PostgreSQL give the same kind of backup, and each can be restored into the other.

Not in it, on purpose: the keys of release copies and the copies themselves. What you revoke after a
backup stays revoked, whoever has the backup.

With --keys the keys that a restore needs go into a second new folder: the vault key, which opens all
originals, and the keys that the relay signs with. They never change, so do it once. Keep them apart
from the backups: whoever has both sees all your footage.`,
		Example: "  cliplease backup /media/disk/cliplease-2026-11-22\n  cliplease backup ./first --keys /media/usb-stick/cliplease-keys",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			dest, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if keys != "" {
				if keys, err = filepath.Abs(keys); err != nil {
					return err
				}
				if strings.HasPrefix(keys+string(filepath.Separator), dest+string(filepath.Separator)) {
					return exitWith(exitUsage, errors.New("--keys: name a folder that does not lie in the backup"))
				}
			}
			c, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			b, err := store.Backup(cmd.Context(), dest, time.Now())
			if err != nil {
				return err
			}
			if keys != "" {
				if err := storage.BackupKeys(c.Data, keys); err != nil {
					return err
				}
			}
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), b, false); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "backed up %d log entries and %d sealed originals and stills (%.1f MB) to %s\n", b.Entries, b.Objects, float64(b.Bytes)/1e6, dest)
				if keys != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "The keys are in %s. Take them away from here, and keep them apart from the backups: whoever has both sees all your footage.\n", keys)
				}
			}
			if len(b.Missing) > 0 {
				return exitWith(exitLook, fmt.Errorf("the object store has lost %d objects that clips need; all else is in the backup", len(b.Missing)))
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&keys, "keys", "", "also copy the long-lived keys into this new `folder`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was backed up as JSON")
	return cmd
}

func restoreCommand() *cobra.Command {
	var flags configFlags
	var keys string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore FOLDER --keys FOLDER",
		Short: "Make a relay from a backup, in an empty data folder",
		Long: `Make a relay from a backup and your copy of its keys, in an empty data folder (and, with PostgreSQL,
an empty database).

Every lease of the backup is over: it may have been revoked since, and its keys are in no backup.
Releases that nobody had signed are discarded, members sign in anew, waiting mail and invitations are
void, and agencies are refused for ten minutes, since the relay no longer knows which of their tokens
it took last. Members, passkeys, agencies and rules are as they were: look through them for what you
removed since.`,
		Example: "  cliplease restore /media/disk/cliplease-2026-11-22 --keys /media/usb-stick/cliplease-keys --data /srv/cliplease",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "keys"); err != nil {
				return err
			}
			c, err := flags.load()
			if err != nil {
				return err
			}
			r, err := storage.Restore(cmd.Context(), c.storage(c.site(portOf(c.Listen))), args[0], keys, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"made_at": relay.Stamp(r.Backup.MadeAt), "entries": r.Backup.Entries, "objects": r.Backup.Objects,
					"ended": r.Ended, "discarded": r.Given}, false)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored the backup of %s: %d log entries, %d sealed originals and stills\n%d leases are over and %d releases are discarded. Look through members, passkeys and agencies for what you removed since.\n",
				relay.Stamp(r.Backup.MadeAt), r.Backup.Entries, r.Backup.Objects, r.Ended, r.Given)
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&keys, "keys", "", "`folder` with your copy of the keys (from \"cliplease backup --keys\")")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was restored as JSON")
	return cmd
}
