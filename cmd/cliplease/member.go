package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

// inviteLife is how long a link to join works.
const inviteLife = 48 * time.Hour

func memberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "Invite people of your home",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(memberInviteCommand())
	return cmd
}

func memberInviteCommand() *cobra.Command {
	var flags configFlags
	var name, email, role, addr string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "invite --name NAME",
		Short: "Print a link with which one person joins your home",
		Long: `Prints a link with which one person joins your home and makes a passkey. It works once, for 48
hours. Whoever has it can use it: hand it over yourself.

Roles: homeowner (everything), approver (prepares, reviews and signs), member (sees, declines
and revokes), operator (keeps the machine running and sees no footage).`,
		Example: "  cliplease member invite --name Ada --email ada@example.org --role approver",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := required(cmd, "name"); err != nil {
				return err
			}
			if name = strings.TrimSpace(name); name == "" || len(name) > 100 {
				return exitWith(exitUsage, errors.New("--name: give the person's name (up to 100 characters)"))
			}
			if email != "" {
				if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
					return exitWith(exitUsage, fmt.Errorf("--email: %q is no mail address; write one such as ada@example.org", email))
				}
			}
			if !slices.Contains(relay.Roles(), relay.Role(role)) {
				return exitWith(exitUsage, fmt.Errorf("--role: %q is none; use homeowner, approver, member or operator", role))
			}
			if addr != "" {
				if err := os.Setenv(envName("listen"), addr); err != nil {
					return err
				}
			}
			c, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			now, token := time.Now(), rand.Text()+rand.Text()
			invitation := storage.Invitation{TokenHash: hashToken(token), Role: relay.Role(role), Name: name, Email: email, InvitedBy: "command line", ExpiresAt: now.Add(inviteLife)}
			if err := store.DB.Invite(cmd.Context(), invitation, now); err != nil {
				return err
			}
			link := c.site(portOf(c.Listen)).Home + "/join#" + token
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"link": link, "expires": relay.Stamp(invitation.ExpiresAt), "role": role}, false)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s joins with this link until %s:\n%s\n", name, relay.Stamp(invitation.ExpiresAt), link)
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "the person's `name`")
	cmd.Flags().StringVar(&email, "email", "", "mail `address` for notices; not a way to sign in")
	cmd.Flags().StringVar(&role, "role", string(relay.RoleMember), "what the person may do: homeowner, approver, member or operator")
	cmd.Flags().StringVar(&addr, "addr", "", "`host:port` on which the relay listens, if you gave it to \"serve\"")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the link as JSON")
	return cmd
}

// portOf is the port of a host:port.
func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
