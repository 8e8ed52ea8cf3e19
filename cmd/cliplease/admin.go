package main

import (
	"errors"
	"fmt"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

func adminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Put right what only a person at the machine can judge",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	clock := &cobra.Command{
		Use:   "clock",
		Short: "Say that the machine's clock is right, after it went back",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	clock.AddCommand(clockAckCommand())
	cmd.AddCommand(clock, adminRecoverCommand())
	return cmd
}

func clockAckCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "ack",
		Short: "Say that the machine's clock is right, so that people are let in again",
		Long: `When the machine's clock goes back by more than a minute, the relay lets nobody in from outside: a
lease could last longer than was signed. Members can still revoke. See that the clock is right
("timedatectl"), then say so here or on the Activity page. Leases that were over stay over.`,
		Example: "  cliplease admin clock ack --data /srv/cliplease",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx := cmd.Context()
			_, store, err := flags.openStore(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			clock, err := storage.OpenClock(ctx, store.DB, time.Now, storage.SinceBoot)
			if err != nil {
				return err
			}
			err = clock.Acknowledge(ctx, "command line")
			if errors.Is(err, relay.ErrState) {
				return errors.New("the relay is not frozen: there is nothing to acknowledge")
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The relay goes by the machine's clock, which shows %s. People are let in again.\n", relay.Stamp(time.Now()))
			return err
		},
	}
	flags.add(cmd)
	return cmd
}
