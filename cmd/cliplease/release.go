package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

func releaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "List releases, end one, and report on one",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(releaseListCommand(), releaseRevokeCommand(), releaseReportCommand())
	return cmd
}

// releaseRow is a release as the commands print it.
type releaseRow struct {
	ID        string   `json:"id"`
	RequestID string   `json:"request_id"`
	Agency    string   `json:"agency"`
	Case      string   `json:"case"`
	State     string   `json:"state"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Expires   string   `json:"expires"`
	Views     int      `json:"views"` // by all recipients so far
	Copies    []string `json:"recipients"`
	Destroyed bool     `json:"destroyed"` // keys and copies are gone
	Failure   string   `json:"failure,omitempty"`
}

func rowOfRelease(cmd *cobra.Command, store *storage.Store, rel relay.Release) (releaseRow, error) {
	q, err := store.DB.Request(cmd.Context(), rel.RequestID)
	if err != nil {
		return releaseRow{}, err
	}
	links, err := store.DB.LinksOf(cmd.Context(), rel.ID)
	if err != nil {
		return releaseRow{}, err
	}
	state := rel.State
	if state == relay.ReleaseIsLive && rel.Accessible(time.Now()) != nil {
		state = relay.ReleaseIsExpired // by time; the worker destroys it next
	}
	r := releaseRow{ID: rel.ID, RequestID: rel.RequestID, Agency: q.AgencyID, Case: q.Claims.Case.Ref, State: string(state), From: relay.Stamp(rel.Draft.From),
		To: relay.Stamp(rel.Draft.To), Expires: relay.Stamp(rel.Draft.Expires), Copies: []string{}, Destroyed: !rel.ShreddedAt.IsZero(), Failure: rel.Failure}
	for _, l := range links {
		r.Views += l.ViewsUsed
	}
	for _, x := range rel.Draft.Recipients {
		r.Copies = append(r.Copies, x.Display())
	}
	return r, nil
}

func releaseListCommand() *cobra.Command {
	var flags configFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List live releases, or all",
		Example: "  cliplease release list\n  cliplease release list --all --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			_, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			states := []relay.ReleaseState{relay.ReleaseIsLive}
			if all {
				states = nil
			}
			releases, err := store.DB.Releases(cmd.Context(), 1000, states...)
			if err != nil {
				return err
			}
			rows := make([]releaseRow, len(releases))
			for i, rel := range releases {
				if rows[i], err = rowOfRelease(cmd, store, rel); err != nil {
					return err
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rows, false)
			}
			if len(rows) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing is released at this moment.")
				return nil
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "RELEASE\tSTATE\tAGENCY\tCASE\tUNTIL\tVIEWS")
			for _, r := range rows {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", r.ID, r.State, r.Agency, r.Case, r.Expires, r.Views)
			}
			return t.Flush()
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that are not signed, and those that ended")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the releases as one JSON list")
	return cmd
}

func releaseRevokeCommand() *cobra.Command {
	var flags configFlags
	var reason string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke RELEASE",
		Short: "End a release now",
		Long: `Ends access to a release at once, for every recipient, whether or not the relay runs. The
running relay, or the next start, then destroys its keys and copies. Revoking stops future
access through the relay. It does not delete copies that a recipient has made.`,
		Example: "  cliplease release revoke 5xqr7k2v --reason \"agreed period is over\"\n  cliplease release revoke --all",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if all == (len(args) == 1) {
				return exitWith(exitUsage, fmt.Errorf("name one release, or say --all; see %q", cmd.CommandPath()+" --help"))
			}
			_, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			ids := args
			if all {
				live, err := store.DB.Releases(cmd.Context(), 1000, relay.ReleaseIsLive)
				if err != nil {
					return err
				}
				for _, rel := range live {
					ids = append(ids, rel.ID)
				}
			}
			revoked := []string{}
			var failed []error
			for _, id := range ids { // one that fails keeps no other live
				switch err := store.DB.RevokeRelease(cmd.Context(), id, "command line", reason, time.Now()); {
				case err == nil:
					revoked = append(revoked, id)
				case errors.Is(err, relay.ErrNotFound):
					failed = append(failed, fmt.Errorf("there is no release %s; see \"cliplease release list\"", id))
				case errors.Is(err, relay.ErrState):
					failed = append(failed, fmt.Errorf("release %s is not live; see \"cliplease release list --all\"", id))
				default:
					failed = append(failed, err)
				}
			}
			if asJSON {
				return errors.Join(append(failed, printJSON(cmd.OutOrStdout(), map[string]any{"revoked": revoked}, false))...)
			}
			for _, id := range revoked {
				fmt.Fprintf(cmd.OutOrStdout(), "Release %s is revoked. No more access through this relay; copies already made are not deleted.\n", id)
			}
			if all && len(ids) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Nothing is released at this moment.")
			}
			return errors.Join(failed...)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for your own record")
	cmd.Flags().BoolVar(&all, "all", false, "end every live release")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the ids of the revoked releases as JSON")
	return cmd
}
