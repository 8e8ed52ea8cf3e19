// Command cliplease is the relay, its worker, and the tools around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is built.
var version = "development"

// Exit codes that mean the same for every command.
const (
	exitRefused     = 1 // the thing asked for was refused, or failed
	exitUsage       = 2 // the command line is wrong
	exitLook        = 3 // done, but a person must look
	exitUnreachable = 4 // the relay cannot be reached
)

// exitError carries the code that the program ends with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exitWith gives err the code that the program ends with.
func exitWith(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "cliplease:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		os.Exit(exit.code)
	}
	os.Exit(exitRefused)
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cliplease",
		Short: "Lease camera footage to agencies: redacted, signed, and taken back whenever you want",
		Long: `cliplease turns the hand-over of home camera footage into a lease. An agency files a signed
request; the homeowner narrows it, looks at the redacted result and signs it with a passkey;
named recipients watch it through time-limited links; one tap ends it.

Start with "cliplease serve" and open the set-up link that it prints.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	cmd.SetVersionTemplate("cliplease {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exitWith(exitUsage, fmt.Errorf("%w; see %q", err, c.CommandPath()+" --help"))
	})
	cmd.AddGroup(
		&cobra.Group{ID: "run", Title: "Run the relay:"},
		&cobra.Group{ID: "home", Title: "For the home:"},
		&cobra.Group{ID: "agency", Title: "For an agency:"},
		&cobra.Group{ID: "check", Title: "Check and verify:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			cmd.AddCommand(c)
		}
	}
	add("run", serveCommand(), workerCommand(), demoCommand(), backupCommand(), restoreCommand(), adminCommand())
	add("home", clipCommand(), releaseCommand(), memberCommand(), reportCommand(), redactCommand())
	add("agency", agencyCommand())
	add("check", logCommand(), bundleCommand(), doctorCommand(), configCommand(), versionCommand())
	cmd.AddCommand(sandboxChildCommand())
	return cmd
}
