// Package footage makes clips for the demo, the tests and the benchmarks: what a camera at a
// front door sees, put together from real photographs of people and drawn cars with licence
// plates. Where every face and every plate is in every frame is known, so that what should be
// hidden can be measured; and every frame carries its own number, so that a copy can be proved to
// hold exactly the frames that it should.
package footage

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // the photographs
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// Canary stands in every piece of metadata of a clip that [Make] makes. It must be in nothing
// that leaves the relay.
const Canary = "CANARY-DB4471-SERIAL"

// Place is where the metadata says the clip was taken. It must be in nothing that leaves.
const Place = "+44.9778-093.2650/"

// Spec says what clip to make.
type Spec struct {
	Seconds float64 // up to 200
	Width   int     // pixels, even
	Height  int     // pixels, even
	FPS     int     // frames a second
	Empty   bool    // nobody is there: a drawn street with the two cars, and no photograph
}

// Short is a clip that is small enough for tests that are not about the picture.
var Short = Spec{Seconds: 6, Width: 640, Height: 360, FPS: 10}

// Demo is the clip of the demo.
var Demo = Spec{Seconds: 15, Width: 1280, Height: 720, FPS: 15}

// Street is a clip that may be shown to anybody, since there is no real person in it.
var Street = Spec{Seconds: 6, Width: 1280, Height: 720, FPS: 10, Empty: true}

// Frames is how many frames the clip has.
func (s Spec) Frames() int { return int(math.Round(s.Seconds * float64(s.FPS))) }

// Target is a face or plate in one frame.
type Target struct {
	Kind string // "face" or "plate"
	image.Rectangle
}

// Stills returns the folder of the photographs: CLIPLEASE_FOOTAGE, or the folder "footage"
// beside the running program.
func Stills() (string, error) {
	dir := os.Getenv("CLIPLEASE_FOOTAGE")
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(filepath.Dir(self), "footage")
	}
	for _, p := range panes {
		if _, err := os.Stat(filepath.Join(dir, p.still)); err != nil {
			return "", fmt.Errorf("the demo's photographs are not in %s: run make footage, or name their folder in CLIPLEASE_FOOTAGE", dir)
		}
	}
	return dir, nil
}

// Make makes the clip, an MP4 of H.264 video and AAC sound with a place and a serial number in
// its metadata, from the photographs in the folder stills, which an empty street does not need.
// progress is called with the share that is done; it may be nil.
func Make(ctx context.Context, stills string, s Spec, out string, progress func(done float64)) (err error) {
	if s.Width%2 != 0 || s.Height%2 != 0 || s.FPS < 1 || s.Seconds > 200 {
		return fmt.Errorf("footage of %d×%d, %d frames a second, %g s: use even numbers of pixels and at most 200 s", s.Width, s.Height, s.FPS, s.Seconds)
	}
	r, err := newRenderer(stills, s)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", encodeArgs(s, out)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("footage: %w", err)
	}
	n := s.Frames()
	for i := 0; i < n && err == nil; i++ {
		err = r.write(in, i)
		if progress != nil {
			progress(float64(i+1) / float64(n))
		}
	}
	err = errors.Join(err, in.Close())
	if wait := cmd.Wait(); wait != nil {
		return fmt.Errorf("footage: ffmpeg: %w: %s", wait, strings.TrimSpace(complaint.String()))
	}
	return err
}

func encodeArgs(s Spec, out string) []string {
	size := fmt.Sprintf("%dx%d", s.Width, s.Height)
	seconds := strconv.FormatFloat(float64(s.Frames())/float64(s.FPS), 'f', 6, 64)
	return []string{"-nostdin", "-loglevel", "error", "-y",
		"-f", "rawvideo", "-pix_fmt", "rgba", "-s", size, "-r", strconv.Itoa(s.FPS), "-i", "pipe:0",
		"-f", "lavfi", "-t", seconds, "-i", "sine=frequency=440:beep_factor=4",
		"-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-g", strconv.Itoa(2 * s.FPS),
		"-c:a", "aac", "-b:a", "48k",
		"-metadata", "location=" + Place, "-metadata", "com.apple.quicktime.location.ISO6709=" + Place,
		"-metadata", "comment=" + Canary, "-metadata", "title=Front door " + Canary, "-metadata", "serial_number=" + Canary,
		"-metadata:s:v", "handler_name=" + Canary, "-metadata:s:a", "handler_name=" + Canary,
		"-movflags", "+faststart+use_metadata_tags", out}
}

// pane is a part of the picture in which one photograph is seen, while the camera moves a little.
// All lengths are shares: of the picture for the pane, of the photograph for what is in it.
type pane struct {
	still       string
	size        image.Point // of the photograph
	left, width float64     // of the pane; its height is [roadside]
	from, to    view
	faces       []f64.Vec4 // x, y, w, h
}

// view is the part of a photograph that fills its pane: its left and top edge and its width.
type view struct{ x, y, w float64 }

// ride is how a car moves: where its middle is in the first and last frame, and how wide it is.
type ride struct {
	car    car
	x0, x1 float64
	w0, w1 float64
}

// roadside is where the road begins, as a share of the picture's height; road is where cars stand.
const roadside, road = 0.695, 0.905

var panes = []pane{
	{
		still: "sample6.jpg", size: image.Pt(1920, 1537), left: 0, width: 0.5,
		from: view{0.005, 0.01, 0.985}, to: view{0.02, 0.018, 0.965},
		faces: []f64.Vec4{{0.131, 0.316, 0.114, 0.179}, {0.349, 0.219, 0.090, 0.194}, {0.611, 0.204, 0.102, 0.165}, {0.771, 0.179, 0.115, 0.178}},
	},
	{
		still: "sample5.jpg", size: image.Pt(1920, 1398), left: 0.5, width: 0.5,
		from: view{0.055, 0.006, 0.915}, to: view{0.045, 0.004, 0.92},
		faces: []f64.Vec4{{0.404, 0.096, 0.090, 0.135}, {0.580, 0.150, 0.085, 0.140}, {0.314, 0.305, 0.086, 0.180}, {0.731, 0.283, 0.093, 0.195}, {0.205, 0.630, 0.090, 0.190}},
	},
}

var rides = []ride{
	{car: grey, x0: 0.12, x1: 0.55, w0: 0.215, w1: 0.205},
	{car: red, x0: 0.92, x1: 0.82, w0: 0.19, w1: 0.215},
}

func between(a, b, t float64) float64 { return a + (b-a)*t }

// moment is how far the clip is at a frame, 0 to 1.
func (s Spec) moment(frame int) float64 { return float64(frame) / float64(max(1, s.Frames()-1)) }

// panes are the photographs in the picture.
func (s Spec) panes() []pane {
	if s.Empty {
		return nil
	}
	return panes
}

// in is where a pane is in the picture.
func (s Spec) in(p pane) image.Rectangle {
	w := float64(s.Width)
	return image.Rect(int(p.left*w), 0, int((p.left+p.width)*w), int(roadside*float64(s.Height)))
}

// toPicture maps points of a photograph to the picture.
func (s Spec) toPicture(p pane, t float64) f64.Aff3 {
	w := float64(p.size.X)
	scale := p.width * float64(s.Width) / (between(p.from.w, p.to.w, t) * w)
	return f64.Aff3{
		scale, 0, p.left*float64(s.Width) - between(p.from.x, p.to.x, t)*w*scale,
		0, scale, -between(p.from.y, p.to.y, t) * w * scale,
	}
}

// place is where a car's drawing goes in the picture.
func (s Spec) place(r ride, t float64) f64.Aff3 {
	width := between(r.w0, r.w1, t) * float64(s.Width)
	scale := width / float64(carSize.X)
	x := between(r.x0, r.x1, t)*float64(s.Width) - width/2
	return f64.Aff3{scale, 0, x, 0, scale, road*float64(s.Height) - scale*float64(carSize.Y)}
}

// Targets returns every face and plate that can be seen in a frame.
func (s Spec) Targets(frame int) []Target {
	t := s.moment(frame)
	var out []Target
	add := func(kind string, in image.Rectangle, m f64.Aff3, x, y, w, h float64) {
		r := image.Rect(int(math.Floor(m[0]*x+m[2])), int(math.Floor(m[4]*y+m[5])), int(math.Ceil(m[0]*(x+w)+m[2])), int(math.Ceil(m[4]*(y+h)+m[5])))
		if seen := r.Intersect(in); !seen.Empty() {
			out = append(out, Target{kind, seen})
		}
	}
	for _, p := range s.panes() {
		m, w, h := s.toPicture(p, t), float64(p.size.X), float64(p.size.Y)
		for _, f := range p.faces {
			add("face", s.in(p), m, f[0]*w, f[1]*h, f[2]*w, f[3]*h)
		}
	}
	for _, r := range rides {
		p := r.car.plate()
		add("plate", image.Rect(0, 0, s.Width, s.Height), s.place(r, t), float64(p.Min.X), float64(p.Min.Y), float64(p.Dx()), float64(p.Dy()))
	}
	return out
}

// renderer draws the frames of one clip.
type renderer struct {
	spec   Spec
	photos []*image.RGBA
	cars   []*image.RGBA
	street *image.RGBA // what does not move
	frame  *image.RGBA
	noise  uint32
}

func newRenderer(stills string, s Spec) (*renderer, error) {
	bounds := image.Rect(0, 0, s.Width, s.Height)
	r := &renderer{spec: s, frame: image.NewRGBA(bounds), street: image.NewRGBA(bounds), noise: 1}
	for _, p := range s.panes() {
		photo, err := readPhoto(filepath.Join(stills, p.still), p.size)
		if err != nil {
			return nil, err
		}
		r.photos = append(r.photos, photo)
	}
	for _, ride := range rides {
		drawing, err := ride.car.draw()
		if err != nil {
			return nil, err
		}
		r.cars = append(r.cars, drawing)
	}
	if s.Empty {
		drawHouses(r.street)
	}
	drawStreet(r.street)
	return r, nil
}

func readPhoto(path string, size image.Point) (*image.RGBA, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("footage: %w", err)
	}
	defer f.Close()
	im, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("footage: %s: %w", path, err)
	}
	if im.Bounds().Size() != size {
		return nil, fmt.Errorf("footage: %s is %v, not %v: run make footage", path, im.Bounds().Size(), size)
	}
	out := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(out, out.Bounds(), im, im.Bounds().Min, draw.Src)
	return out, nil
}

// write draws a frame and writes its pixels.
func (r *renderer) write(w io.Writer, i int) error {
	t := r.spec.moment(i)
	copy(r.frame.Pix, r.street.Pix)
	for n, p := range r.spec.panes() {
		in := r.frame.SubImage(r.spec.in(p)).(*image.RGBA)
		xdraw.ApproxBiLinear.Transform(in, r.spec.toPicture(p, t), r.photos[n], r.photos[n].Bounds(), draw.Src, nil)
	}
	for n, ride := range rides {
		xdraw.ApproxBiLinear.Transform(r.frame, r.spec.place(ride, t), r.cars[n], r.cars[n].Bounds(), draw.Over, nil)
	}
	r.grain()
	drawNumber(r.frame, i)
	_, err := w.Write(r.frame.Pix)
	return err
}

// grain adds a sensor's noise, so that no two frames are alike.
func (r *renderer) grain() {
	x := r.noise
	for i := 0; i < len(r.frame.Pix); i += 4 {
		x = x*1664525 + 1013904223
		d := int(x>>29) - 4
		for c := i; c < i+3; c++ {
			r.frame.Pix[c] = uint8(min(255, max(0, int(r.frame.Pix[c])+d)))
		}
	}
	r.noise = x
}
