package redact

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The gates measure each copy as it will be given away. An error in a gate fails it.

// check runs every gate on every copy, and the second look on the first one.
func (w *workState) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout())
	defer cancel()
	type look struct {
		found []lookFound
		end   *lookEnd
		err   error
	}
	second := make(chan look, 1)
	go func() {
		var l look
		l.found, l.end, l.err = w.secondLook(ctx, filepath.Join(w.dir, "copy0.mp4"))
		second <- l
	}()
	for i := range w.job.Copies {
		path := filepath.Join(w.dir, fmt.Sprintf("copy%d.mp4", i))
		label := ""
		if len(w.job.Copies) > 1 {
			label = fmt.Sprintf(" %d", i+1)
		}
		w.gate("streams"+label, w.streams(ctx, path))
		w.gate("metadata"+label, metadata(path))
		w.gate("messages"+label, w.messages(ctx, path))
		w.gate("hidden"+label, w.covered(ctx, path, i))
	}
	if w.job.Proxy != "" {
		path := filepath.Join(w.dir, "proxy.mp4")
		w.gate("streams of the proxy", w.streams(ctx, path))
		w.gate("metadata of the proxy", metadata(path))
	}
	l := <-second
	if l.end != nil {
		w.noteDetectors(l.end.Looks)
	}
	w.gate("second look", l.err)
	w.findings(l.found)
	return ctx.Err()
}

// gate notes the result of a check; a failed one is also a finding.
func (w *workState) gate(name string, err error) {
	g := Gate{Name: name, OK: err == nil}
	if err != nil {
		g.Detail = err.Error()
		w.report.Findings = append(w.report.Findings, Finding{Until: round1(float64(w.frames) / w.fps), Kind: "picture", Why: WhyGate, Detail: name + ": " + g.Detail})
	}
	w.report.Gates = append(w.report.Gates, g)
}

// streams checks that the copy holds one H.264 stream of the right size, and sound only if granted.
func (w *workState) streams(ctx context.Context, path string) error {
	var out bytes.Buffer
	c := w.e.box.child("ffprobe", w.e.cfg.FFprobe)
	c.args = probeArgs(c.read(path), "mp4")
	c.stdout = &limitedBuffer{&out, 1 << 20}
	if err := w.e.box.run(ctx, c); err != nil {
		return err
	}
	var p struct {
		Raw []map[string]any `json:"streams"`
		F   struct {
			Tags map[string]string `json:"tags"`
		} `json:"format"`
	}
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		return err
	}
	want := 1
	sound := w.sound != "" && !strings.HasSuffix(path, "proxy.mp4")
	if sound {
		want = 2
	}
	if len(p.Raw) != want {
		return fmt.Errorf("%d streams instead of %d", len(p.Raw), want)
	}
	v := p.Raw[0]
	if v["codec_name"] != "h264" || v["pix_fmt"] != "yuv420p" || v["profile"] != "High" {
		return fmt.Errorf("video is %v %v %v, not h264 High yuv420p", v["codec_name"], v["profile"], v["pix_fmt"])
	}
	if v["width"] != float64(w.n.w) || v["height"] != float64(w.n.h) {
		return fmt.Errorf("pictures of %v by %v instead of %d by %d", v["width"], v["height"], w.n.w, w.n.h)
	}
	if sound && p.Raw[1]["codec_name"] != "aac" {
		return fmt.Errorf("sound is %v, not aac", p.Raw[1]["codec_name"])
	}
	allowed := []string{"major_brand", "minor_version", "compatible_brands", "language", "handler_name", "vendor_id", "encoder"}
	tags := []map[string]string{p.F.Tags}
	for _, s := range p.Raw {
		t := map[string]string{}
		if m, ok := s["tags"].(map[string]any); ok {
			for k, v := range m {
				t[k] = fmt.Sprint(v)
			}
		}
		tags = append(tags, t)
	}
	for _, m := range tags {
		for k, v := range m {
			if !slices.Contains(allowed, k) || (k == "encoder" && !strings.HasPrefix(v, "Lavc")) {
				return fmt.Errorf("a tag %q is left", k)
			}
		}
	}
	return nil
}

// metadata walks the boxes of an MP4 file: only known ones, nothing after the last, the index first.
func metadata(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var order []string
	if err := boxes(f, 0, info.Size(), 0, func(name string, depth int, payload []byte) error {
		if depth == 0 {
			order = append(order, name)
		}
		if name == "udta" && string(payload) == emptyList {
			return nil // ffmpeg writes an empty list of tags in any case
		}
		if slices.Contains([]string{"udta", "meta", "uuid", "ilst", "keys", "tref", "chap"}, name) {
			return fmt.Errorf("a box %q is left", name)
		}
		return nil
	}); err != nil {
		return err
	}
	if got := strings.Join(order, " "); got != "ftyp moov free mdat" && got != "ftyp moov mdat" {
		return fmt.Errorf("the file is laid out as %s", got)
	}
	return nil
}

// emptyList is the inside of a box of user data that holds an empty list of tags and nothing else.
const emptyList = "\x00\x00\x005meta\x00\x00\x00\x00" +
	"\x00\x00\x00!hdlr\x00\x00\x00\x00\x00\x00\x00\x00mdirappl\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x08ilst"

// boxes calls visit for each box of an MP4 file between two offsets, with the first bytes that it holds.
func boxes(r io.ReaderAt, from, to int64, depth int, visit func(name string, depth int, payload []byte) error) error {
	for from < to {
		var head [16]byte
		if to-from < 8 {
			return errors.New("bytes are left after the last box")
		}
		if _, err := r.ReadAt(head[:8], from); err != nil {
			return err
		}
		size, start := int64(binary.BigEndian.Uint32(head[:4])), from+8
		if size == 1 {
			if _, err := r.ReadAt(head[8:], from+8); err != nil {
				return err
			}
			size, start = int64(binary.BigEndian.Uint64(head[8:])), from+16
		}
		if size < start-from || size > to-from {
			return errors.New("a box does not fit into the file")
		}
		name := string(head[4:8])
		payload := make([]byte, min(from+size-start, 256))
		if _, err := r.ReadAt(payload, start); err != nil {
			return err
		}
		if err := visit(name, depth, payload); err != nil {
			return err
		}
		if slices.Contains([]string{"moov", "trak", "mdia", "minf", "stbl", "edts", "dinf"}, name) {
			if err := boxes(r, start, from+size, depth+1, visit); err != nil {
				return err
			}
		}
		from += size
	}
	return nil
}

// messages looks through the coded video for messages (SEI), which can hold anything.
func (w *workState) messages(ctx context.Context, path string) error {
	c := w.e.box.child("ffmpeg", w.e.cfg.FFmpeg)
	c.args = nalArgs(c.read(path))
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	defer pr.Close()
	c.stdout = pw
	r, err := w.e.box.start(ctx, c)
	if err != nil {
		return err
	}
	found := false
	in := bufio.NewReaderSize(pr, 1<<16)
	zeros := 0
	for {
		b, err := in.ReadByte()
		if err != nil {
			break
		}
		switch {
		case b == 0:
			zeros++
			continue
		case b == 1 && zeros >= 2:
			if n, err := in.Peek(1); err == nil && n[0]&31 == 6 {
				found = true
			}
		}
		zeros = 0
	}
	if err := r.wait(); err != nil {
		return err
	}
	if found {
		return errors.New("the video holds messages")
	}
	return nil
}

// covered decodes the copy and compares every hidden region of every frame with what was painted
// there: nothing of the footage may be left in it.
func (w *workState) covered(ctx context.Context, path string, copyIndex int) error {
	c := w.e.box.child("ffmpeg", w.e.cfg.FFmpeg)
	c.args = rawArgs(c.read(path), 0, 0, 1, false)
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	defer pr.Close()
	c.stdout = pw
	r, err := w.e.box.start(ctx, c)
	if err != nil {
		return err
	}
	p := newPainter(w.job.Plan, w.n, w.fps, w.frames, w.tracks)
	in := bufio.NewReaderSize(pr, 1<<20)
	y := make([]byte, frameSize(w.n.w, w.n.h))
	frames := 0
	var bad error
	for ; ; frames++ {
		if _, err := io.ReadFull(in, y); err != nil {
			if !errors.Is(err, io.EOF) {
				bad = err
			}
			break
		}
		if bad == nil && frames < w.frames {
			bad = p.compare(frames, y[:w.n.w*w.n.h], w.notices[copyIndex])
		}
	}
	if err := r.wait(); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	if frames != w.frames {
		return fmt.Errorf("%d frames instead of %d", frames, w.frames)
	}
	return nil
}

// Differences that coding alone makes between a painted block of 8 by 8 pixels and the copy.
const (
	blockMean  = 6  // of the mean brightness
	blockStep  = 10 // of the mean absolute difference
	regionStep = 4  // of the mean absolute difference in all of a region
)

// compare says whether frame i of a copy shows what was painted wherever the cover is dense.
func (p *painter) compare(i int, y []byte, notice rect) error {
	p.frame(i)
	planes := p.planes()
	alpha := planes[3]
	visit := p.touched
	if p.whole {
		visit = []rect{{0, 0, float64(p.w), float64(p.h)}}
	}
	for _, r := range visit {
		x0, y0, x1, y1 := p.bounds(r)
		total, blocks := 0, 0
		for by := (y0 + 7) &^ 7; by+8 <= y1; by += 8 {
			for bx := (x0 + 7) &^ 7; bx+8 <= x1; bx += 8 {
				block := rect{float64(bx), float64(by), 8, 8}
				if notice.w > 0 && block.shared(notice) > 0 {
					continue
				}
				sum, diff := 0, 0
				dense := true
				for row := by; row < by+8 && dense; row++ {
					o := row*p.w + bx
					for k := range 8 {
						if alpha[o+k] != 255 {
							dense = false
							break
						}
						d := int(y[o+k]) - int(planes[0][o+k])
						sum += d
						diff += abs(d)
					}
				}
				if !dense {
					continue
				}
				total, blocks = total+diff, blocks+1
				if abs(sum) > blockMean*64 || diff > blockStep*64 {
					return fmt.Errorf("frame %d shows something else than the cover at %d,%d (differs by %d, in the mean %d)", i, bx, by, diff/64, sum/64)
				}
			}
		}
		if total > regionStep*64*blocks {
			return fmt.Errorf("frame %d shows something else than the cover in the region at %d,%d", i, x0, y0)
		}
	}
	return nil
}

// secondLook searches a copy with other detectors, at another scale, mirrored, for what is still visible.
func (w *workState) secondLook(ctx context.Context, path string) ([]lookFound, *lookEnd, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	step := w.every(1.5)
	pictures, give, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	lines, tell, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer lines.Close()
	order := lookOrder{W: w.n.lw, H: w.n.lh, FPS: w.fps, Workers: w.e.cfg.Threads, Search: true}
	if w.job.Plan.has(Faces) {
		order.Uses = append(order.Uses, use{"retinaface-second", 1, 0}, use{"posenet-second", 1, 0})
	}
	if w.job.Plan.has(Plates) {
		order.Uses = append(order.Uses, use{"ppocr-second", 1, 0})
	}
	look := w.e.lookChild(order, pictures, tell)
	dec := w.e.box.child("ffmpeg", w.e.cfg.FFmpeg)
	dec.args = rawArgs(dec.read(path), w.n.lw, w.n.lh, step, true)
	dec.stdout = give
	looking, err := w.e.box.start(ctx, look)
	if err != nil {
		give.Close()
		return nil, nil, err
	}
	decoding, err := w.e.box.start(ctx, dec)
	if err != nil {
		cancel()
		return nil, nil, errors.Join(err, looking.wait())
	}
	var found []lookFound
	var end *lookEnd
	readErr := eachLine(lines, func(l lookLine) error {
		if l.Found != nil {
			l.Found.I *= step
			for i := range l.Found.Found {
				f := &l.Found.Found[i]
				f.X = float32(w.n.lw) - f.X - f.W // it looked in a mirror
			}
			found = append(found, *l.Found)
			w.progress("checking", searchShare+hideShare+(1-searchShare-hideShare)*min(1, float64(l.Found.I)/float64(w.frames)))
		}
		if l.End != nil {
			end = l.End
		}
		return nil
	})
	if readErr != nil {
		cancel()
	}
	err = errors.Join(decoding.wait(), looking.wait(), readErr)
	if err == nil && (end == nil || end.Frames != (w.frames+step-1)/step) {
		err = errors.New("not all of the copy was searched")
	}
	return found, end, err
}
