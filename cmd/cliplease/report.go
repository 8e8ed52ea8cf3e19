package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"cliplease/relay"

	"github.com/spf13/cobra"
)

func reportCommand() *cobra.Command {
	var flags configFlags
	var half string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Print what agencies asked in half a year, for the public",
		Long: `Prints what agencies asked for in half a year and how often something was released, in numbers that
say no more than their size: 0, 1-4, 5-9, 10+. It can be made from six months after the end of the
half-year on. Whatever was not released is counted alike: declined, stopped by a rule, left alone.

Without --half it is on the newest half-year on which a report can be made. Nothing is published by this
command; transparency.public in the configuration puts the newest two on the recipients' host.`,
		Example: "  cliplease report\n  cliplease report --half 2026H1 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			h := relay.LatestHalf(now)
			if half != "" {
				if h, err = relay.ParseHalf(half); err != nil {
					return exitWith(exitUsage, fmt.Errorf("--half: %s", reason(err)))
				}
			}
			cfg, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			all, err := store.DB.AskedIn(cmd.Context(), h, now)
			if err != nil {
				return err
			}
			t, err := relay.NewTransparency(cfg.Domain, h, all, now)
			if err != nil {
				return errors.New(reason(err))
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), t, false)
			}
			return printTransparency(cmd.OutOrStdout(), t)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&half, "half", "", "the `half-year`, such as 2026H1")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.AddCommand(reportGagCommand())
	return cmd
}

// reason is the sentence of bad input, or the error.
func reason(err error) string {
	if invalid := (*relay.InvalidError)(nil); errors.As(err, &invalid) {
		return invalid.Reason
	}
	return err.Error()
}

func printTransparency(w io.Writer, t relay.Transparency) error {
	fmt.Fprintf(w, "What agencies asked of %s in %s\n\n", t.Relay, t.Half)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "\tASKED\tRELEASED\tNOT RELEASED")
	for _, part := range [][]relay.TransparencyRow{{t.All}, t.Lanes, t.Purposes} {
		for _, r := range part {
			fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", strings.ReplaceAll(r.Name, "_", " "), r.Asked, r.Released, r.NotReleased)
		}
		fmt.Fprintln(tab, "\t\t\t")
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	median := "not said, for there are fewer than five"
	if m := t.Releases.MedianMinutes; m > 0 {
		median = fmt.Sprintf("%d minutes or less", m)
	}
	_, err := fmt.Fprintf(w, `Releases made %s, narrowed %s, revoked %s, ended by time %s; half of them have %s of footage.
Agencies were asked to say that copies are destroyed for %s requests, and did for %s.
Emergencies for which no legal basis came in time: %s.
`, t.Releases.Made, t.Releases.Narrowed, t.Releases.Revoked, t.Releases.Expired, median, t.Destroyed.Asked, t.Destroyed.Received, t.BasisMissed)
	return err
}

func reportGagCommand() *cobra.Command {
	var flags configFlags
	var until string
	cmd := &cobra.Command{
		Use:   "gag REQUEST --until DAY",
		Short: "Note that a court forbade to speak of a request",
		Long: `Notes that a court forbade to speak of a request that compels the home, until a day. Until then no
report counts it; it is counted in the half-year in which that ends. Give another day when the court
changes it. The note is an entry in the log.`,
		Example: "  cliplease report gag 5xqr7k2v --until 2027-01-31",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := required(cmd, "until"); err != nil {
				return err
			}
			day, err := time.Parse(time.DateOnly, until)
			if err != nil {
				return exitWith(exitUsage, fmt.Errorf("--until: %q is no day; write one such as 2027-01-31", until))
			}
			_, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			err = store.DB.NoteGag(cmd.Context(), args[0], day.AddDate(0, 0, 1), "command line", time.Now())
			switch {
			case errors.Is(err, relay.ErrNotFound):
				return fmt.Errorf("there is no request %s", args[0])
			case err != nil:
				return errors.New(reason(err))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "No report counts request %s before it may be spoken of again, after %s.\n", args[0], until)
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&until, "until", "", "last `day` on which it may not be spoken of, such as 2027-01-31")
	return cmd
}
