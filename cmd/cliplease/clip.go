package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"cliplease/relay"
	"cliplease/source"
	"cliplease/storage"

	"github.com/spf13/cobra"
)

func clipCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clip",
		Short: "Bring clips in and list them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(clipAddCommand(), clipListCommand())
	return cmd
}

// clipRow is a clip as the commands print it.
type clipRow struct {
	ID      string  `json:"id"`
	Camera  string  `json:"camera"`
	Name    string  `json:"name"`
	Start   string  `json:"start"`
	Seconds float64 `json:"seconds"` // 0 until it was looked at
	State   string  `json:"state"`
	Reason  string  `json:"reason,omitempty"` // why it was refused
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
}

func rowOfClip(c relay.Clip, camera string) clipRow {
	return clipRow{c.ID, camera, c.Name, relay.Stamp(c.Start), c.Duration.Seconds(), string(c.State), c.Reason, c.Bytes, c.SHA256}
}

func clipAddCommand() *cobra.Command {
	var flags configFlags
	var camera, start string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "add FILE --camera NAME --start TIME",
		Short: "Bring a clip in from a file",
		Long: `Brings a clip in: MP4, MOV, MKV, WebM or AVI with H.264, H.265, MPEG-4 or MJPEG video, 5 seconds
to 30 minutes, up to 500 MB. The original is sealed at once. The running relay then looks at
it; "clip list" says when it is ready, or why it was refused. The file itself stays where it is.

--start is what the camera's clock showed at the first frame, with its time zone.`,
		Example: "  cliplease clip add door.mp4 --camera front-door --start 2026-11-19T21:00:00+01:00",
		Args:    oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := required(cmd, "camera", "start"); err != nil {
				return err
			}
			at, err := time.Parse(time.RFC3339, start)
			if err != nil {
				return exitWith(exitUsage, fmt.Errorf("--start: %q is no time; write it with its time zone, such as 2026-11-19T21:00:00+01:00", start))
			}
			f, err := os.Open(args[0])
			if err != nil {
				return exitWith(exitUsage, clipFileError(args[0], err))
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return exitWith(exitUsage, clipFileError(args[0], err))
			}
			if !info.Mode().IsRegular() {
				return exitWith(exitUsage, fmt.Errorf("%s is not a file", args[0]))
			}
			c, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			found, err := findCamera(cmd, store, camera)
			if err != nil {
				return err
			}
			show, done := bytesProgress(cmd.ErrOrStderr(), info.Size())
			clip, err := source.Receive(cmd.Context(), store, source.Incoming{CameraID: found.ID, Name: filepath.Base(args[0]), Start: at, Body: &counted{r: f, show: show},
				MaxBytes: int64(c.Upload.MaxMB) << 20, Actor: "command line"}, time.Now())
			done()
			if err != nil {
				return clipRefusal(args[0], err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rowOfClip(clip, found.Handle), false)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Clip %s is sealed. The relay looks at it next; see \"cliplease clip list\".\n", clip.ID)
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&camera, "camera", "", "`name` of the camera: its handle, such as front-door, or what you call it")
	cmd.Flags().StringVar(&start, "start", "", "`time` of the first frame (RFC 3339)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the clip as JSON")
	return cmd
}

// clipFileError says what is wrong with the file that was named.
func clipFileError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s", path)
	}
	return err
}

// clipRefusal says why the clip of a file was not taken.
func clipRefusal(path string, err error) error {
	var invalid *relay.InvalidError
	if errors.As(err, &invalid) {
		return fmt.Errorf("%s: %s", path, invalid.Reason)
	}
	if errors.Is(err, relay.ErrConflict) {
		return fmt.Errorf("%s: this footage of this camera and moment is there already", path)
	}
	return err
}

// findCamera returns the camera with a handle, id or name.
func findCamera(cmd *cobra.Command, store *storage.Store, name string) (relay.Camera, error) {
	cameras, err := store.DB.Cameras(cmd.Context())
	if err != nil {
		return relay.Camera{}, err
	}
	var handles []string
	for _, c := range cameras {
		if c.Handle == name || c.ID == name || strings.EqualFold(c.Name, name) {
			return c, nil
		}
		handles = append(handles, c.Handle)
	}
	if len(handles) == 0 {
		return relay.Camera{}, errors.New("there is no camera yet: add yours on your pages, under Cameras")
	}
	return relay.Camera{}, fmt.Errorf("there is no camera %q; there is %s. Add others on your pages, under Cameras", name, strings.Join(handles, ", "))
}

// counted tells show how much was read of r.
type counted struct {
	r    io.Reader
	n    int64
	show func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.show(c.n)
	return n, err
}

func clipListCommand() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the newest clips",
		Example: "  cliplease clip list\n  cliplease clip list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			_, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			clips, err := store.DB.Clips(cmd.Context(), storage.ClipFilter{})
			if err != nil {
				return err
			}
			cameras, err := store.DB.Cameras(cmd.Context())
			if err != nil {
				return err
			}
			handles := map[string]string{}
			for _, c := range cameras {
				handles[c.ID] = c.Handle
			}
			rows := make([]clipRow, len(clips))
			for i, c := range clips {
				rows[i] = rowOfClip(c, handles[c.CameraID])
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rows, false)
			}
			if len(rows) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "There are no clips. Bring one in with \"cliplease clip add\".")
				return nil
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "CLIP\tCAMERA\tSTART\tSECONDS\tSTATE\tFILE")
			for _, r := range rows {
				state := r.State
				if r.Reason != "" {
					state += ": " + r.Reason
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%s\t%s\n", r.ID, r.Camera, r.Start, r.Seconds, state, r.Name)
			}
			return t.Flush()
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the clips as one JSON list")
	return cmd
}
