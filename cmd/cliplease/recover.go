package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

// recoverLife is how long a link for a member who comes back works. It is much shorter than the
// freeze of approvals that begins with it.
const recoverLife = time.Hour

func adminRecoverCommand() *cobra.Command {
	var flags configFlags
	var who, addr string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "recover --member NAME",
		Short: "Let a member who lost every passkey and every recovery code in again",
		Long: `Prints a link with which a member who belongs to your home makes a new passkey. It works once, for
one hour. From now on nothing can be approved for 48 hours, and every member is told by mail, so that
nobody can use this to give footage away unseen. Taking back and declining work as always. Revoke the
lost passkeys on the page Household afterwards.

Name the member as the household page does, or by mail address or id.`,
		Example: "  cliplease admin recover --member Ada",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := required(cmd, "member"); err != nil {
				return err
			}
			if addr != "" {
				if err := os.Setenv(envName("listen"), addr); err != nil {
					return err
				}
			}
			ctx := cmd.Context()
			c, store, err := flags.openStore(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			m, err := findMember(ctx, store.DB, who)
			if err != nil {
				return err
			}
			now, token := time.Now(), rand.Text()+rand.Text()
			v := storage.Invitation{TokenHash: hashToken(token), Role: m.Role, Name: m.Name, Email: m.Email, InvitedBy: "command line", ExpiresAt: now.Add(recoverLife), MemberID: m.ID}
			if err := store.DB.InviteBack(ctx, v, now); err != nil {
				return err
			}
			link, until := c.site(portOf(c.Listen)).Home+"/join#"+token, relay.Stamp(now.Add(relay.RecoveryFreeze))
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"link": link, "expires": relay.Stamp(v.ExpiresAt), "member": m.ID, "frozen_until": until}, false)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s comes back with this link until %s:\n%s\nNothing can be approved until %s. All members are told.\n", m.Name, relay.Stamp(v.ExpiresAt), link, until)
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&who, "member", "", "the member's `name`, mail address or id")
	cmd.Flags().StringVar(&addr, "addr", "", "`host:port` on which the relay listens, if you gave it to \"serve\"")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the link as JSON")
	return cmd
}

// findMember returns the one member whom a person means.
func findMember(ctx context.Context, db *storage.DB, who string) (found relay.Member, err error) {
	members, err := db.Members(ctx)
	if err != nil {
		return found, err
	}
	var names []string
	n := 0
	for _, m := range members {
		names = append(names, m.Name+" ("+m.ID+")")
		if m.ID == who || strings.EqualFold(m.Name, who) || m.Email != "" && strings.EqualFold(m.Email, who) {
			found, n = m, n+1
		}
	}
	if n != 1 {
		return found, exitWith(exitUsage, fmt.Errorf("--member: %q is not one member of this home; there are: %s", who, strings.Join(names, ", ")))
	}
	return found, nil
}
