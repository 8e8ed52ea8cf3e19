package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/storage"
	"cliplease/test/driver"
	"cliplease/test/servers"
)

// serve runs a relay with a sample home until ctx ends. The first passkey is the visitor's own:
// everything is made beforehand but the member.
func (d *demo) serve(ctx context.Context, store string) error {
	for _, s := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"Footage of faces and plates is made", d.makeFootage},
		{"The relay runs", func(ctx context.Context) (string, error) { return d.startRelay(ctx, store) }},
		{"A camera with two clips, an agency and its request are there", d.sample},
	} {
		bounded, cancel := context.WithTimeout(ctx, stepTime)
		err := d.step(bounded, s.name, s.do)
		cancel()
		if err != nil {
			return err
		}
	}
	link := d.relay.SetUpLink
	fmt.Fprintf(d.out, `
You are the homeowner. Set up the home with a passkey of yours (fingerprint, face or PIN of this
machine), then answer the request that waits. Any mail address will do: mails appear here, those
to the recipient too. Open the recipient's link in another browser window to be the recipient.

    %s

Ctrl-C ends the relay and removes everything.
`, link)
	if open, err := exec.LookPath("xdg-open"); err == nil {
		if cmd := exec.Command(open, link); cmd.Start() == nil {
			go func() { _ = cmd.Wait() }() // whether a browser came up is seen on the screen
		}
	}
	return d.showMails(ctx)
}

// sample makes what a home has before anything happens.
func (d *demo) sample(ctx context.Context) (string, error) {
	err := d.relay.With(ctx, func(s *storage.Store) error {
		now := time.Now()
		return s.DB.SaveCamera(ctx, relay.Camera{ID: "c" + relay.NewID(), Handle: demoCamera, Name: "Front door", Zone: localZone(), CreatedAt: now}, "command line", now)
	})
	if err != nil {
		return "", err
	}
	for _, start := range []time.Time{d.start, d.start.Add(-20 * time.Hour)} {
		if _, err := d.relay.Must(ctx, "clip", "add", d.clip, "--camera", demoCamera, "--start", relay.Stamp(start)); err != nil {
			return "", err
		}
	}
	agency, err := d.relay.NewAgency(ctx, d.folder, demoAgency, demoAgencyName, demoDomain)
	if err != nil {
		return "", err
	}
	if err := agency.Register(ctx); err != nil {
		return "", err
	}
	if _, err := agency.File(ctx, d.ask()); err != nil {
		return "", err
	}
	return demoAgencyName + " asks about a hit-and-run", nil
}

// localZone is the time zone of this machine by its name, as far as that can be told.
func localZone() string {
	if name := time.Local.String(); name != "Local" {
		return name // the environment variable TZ
	}
	file, err := os.Readlink("/etc/localtime")
	if _, name, ok := strings.Cut(file, "zoneinfo/"); err == nil && ok {
		return name
	}
	return "UTC"
}

// showMails prints every mail that comes until ctx ends, or the relay does.
func (d *demo) showMails(ctx context.Context) error {
	shown := 0
	err := driver.Until(ctx, func() (bool, error) {
		mails := d.mail.Mails()
		for _, m := range mails[shown:] {
			d.showMail(m)
		}
		shown = len(mails)
		return d.relay.Ended()
	})
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(d.out, "\nThe relay ends.")
		return nil
	}
	return err
}

func (d *demo) showMail(m servers.Mail) {
	l, err := driver.ReadMail(m)
	if err != nil {
		fmt.Fprintln(d.log, err)
		return
	}
	fmt.Fprintf(d.out, "\n── mail to %s: %s\n", l.To, l.Subject)
	for line := range strings.Lines(strings.TrimSpace(l.Text)) {
		fmt.Fprintf(d.out, "   %s", line)
	}
	fmt.Fprintln(d.out)
}
