package redact

import (
	"fmt"
	"strconv"
	"time"

	"github.com/u2takey/ffmpeg-go"
)

// Command lines of ffmpeg and ffprobe. Graphs are built with ffmpeg-go; the arguments run in the
// sandbox. No name that came with the footage ever stands in one.

// demuxers are the ones that may read footage, by the format that sniff found.
var demuxers = map[string]string{"mp4": "mov", "matroska": "matroska", "avi": "avi"}

// decoders are the ones that may decode footage.
const (
	videoDecoders = "h264,hevc,mpeg4,mjpeg,vp8,vp9"
	audioDecoders = "aac,mp3float,opus,vorbis,pcm_s16le,pcm_s16be,pcm_u8,pcm_alaw,pcm_mulaw,adpcm_ima_wav,adpcm_ms,ac3,flac"
	maxPixels     = 9437184 // 4096 by 2304
	maxStreams    = 8
)

// guards are the options that keep ffmpeg to the one file it is given.
func guards(format string) ffmpeg_go.KwArgs {
	k := ffmpeg_go.KwArgs{
		"f":                  demuxers[format],
		"protocol_whitelist": "file",
		"codec_whitelist":    videoDecoders + "," + audioDecoders,
		"max_streams":        maxStreams,
		"probesize":          "5000000",
		"analyzeduration":    "5000000",
		"max_pixels":         maxPixels,
	}
	if format == "mp4" {
		k["enable_drefs"] = "0"
		k["use_absolute_path"] = "0"
	}
	return k
}

func probeArgs(in, format string) []string {
	a := []string{"-v", "error", "-max_alloc", "268435456"}
	a = append(a, ffmpeg_go.ConvertKwargsToCmdLineArgs(guards(format))...)
	return append(a, "-show_streams", "-show_format", "-of", "json", "file:"+in)
}

// global options of every run.
func global(rest []string) []string {
	return append([]string{"-nostdin", "-hide_banner", "-nostats", "-v", "error", "-xerror", "-max_alloc", "268435456", "-filter_complex_threads", "2"}, rest...)
}

// clean are the output options that keep everything but the pictures out of a file.
func clean(k ffmpeg_go.KwArgs) ffmpeg_go.KwArgs {
	k["map_metadata"] = "-1"
	k["map_chapters"] = "-1"
	k["fflags"] = "+bitexact"
	k["flags"] = "+bitexact"
	k["sn"] = ""
	k["dn"] = ""
	return k
}

// normal describes the normalised footage.
type normal struct {
	w, h     int    // size of the release copy
	lw, lh   int    // size at which the detectors look
	rate     string // frames a second, as a fraction
	from, to time.Duration
	lossless bool
}

// normaliseArgs decodes footage once into two outputs: the mezzanine, lossless and at a constant rate,
// and the raw pictures for the detectors on standard output. With sound also that, on its own.
func normaliseArgs(in, out, format string, stream int, n normal, audio int) []string {
	k := guards(format)
	k["err_detect"] = "explode"
	k["threads"] = 2
	if n.from > 0 {
		k["ss"] = seconds(n.from)
	}
	if n.to > 0 {
		k["t"] = seconds(n.to - n.from)
	}
	input := ffmpeg_go.Input("file:"+in, k)
	v := input.Get(strconv.Itoa(stream)).
		Filter("fps", nil, ffmpeg_go.KwArgs{"fps": n.rate, "start_time": "0"}).
		Filter("scale", ffmpeg_go.Args{fmt.Sprint(n.w), fmt.Sprint(n.h)}, ffmpeg_go.KwArgs{"eval": "frame", "flags": "bicubic+accurate_rnd+bitexact"}).
		Filter("setsar", ffmpeg_go.Args{"1"}).
		Filter("format", ffmpeg_go.Args{"yuv420p"})
	both := v.Split()
	mezzanine := clean(ffmpeg_go.KwArgs{"c:v": "libx264", "preset": "ultrafast", "crf": 8, "threads": 2, "f": "matroska", "g": 60})
	if n.lossless { // half as large again as lossless x264, written and read in half its time
		mezzanine = clean(ffmpeg_go.KwArgs{"c:v": "utvideo", "pred": "left", "threads": 2, "f": "matroska"})
	}
	look := both.Get("1")
	if n.lw != n.w || n.lh != n.h {
		look = look.Filter("scale", ffmpeg_go.Args{fmt.Sprint(n.lw), fmt.Sprint(n.lh)}, ffmpeg_go.KwArgs{"flags": "bilinear+bitexact"})
	}
	outs := []*ffmpeg_go.Stream{
		both.Get("0").Output("file:"+out+"/mezzanine.mkv", mezzanine),
		look.Output("pipe:1", ffmpeg_go.KwArgs{"c:v": "rawvideo", "f": "rawvideo", "pix_fmt": "yuv420p"}),
	}
	if audio >= 0 {
		outs = append(outs, input.Get(strconv.Itoa(audio)).Output("file:"+out+"/sound.m4a",
			clean(ffmpeg_go.KwArgs{"c:a": "aac", "b:a": "64k", "ac": 1, "ar": 32000, "f": "mp4"})))
	}
	return global(append([]string{"-y"}, ffmpeg_go.MergeOutputs(outs...).GetArgs()...))
}

// encode are the options of a file for people: plays everywhere, says nothing about its source.
func encode(preset string, crf int) ffmpeg_go.KwArgs {
	return clean(ffmpeg_go.KwArgs{
		"c:v": "libx264", "preset": preset, "crf": crf, "profile:v": "high", "pix_fmt": "yuv420p", "threads": 2, "g": 60, "a53cc": "0",
		"bsf:v": "filter_units=remove_types=6", "empty_hdlr_name": 1, "movflags": "+faststart", "f": "mp4",
	})
}

// renderArgs hides in one pass: over each picture of the mezzanine lies a picture of the patch stream
// (standard input, with transparency), and over that each copy's own notice. The proxy shows what the
// mezzanine shows, with only the fixed masks over it.
func renderArgs(mezzanine, out string, r rendering) []string {
	base := ffmpeg_go.Input("file:"+mezzanine, ffmpeg_go.KwArgs{"f": "matroska", "protocol_whitelist": "file", "threads": 2})
	patches := ffmpeg_go.Input("pipe:0", ffmpeg_go.KwArgs{"f": "rawvideo", "pix_fmt": "yuva420p", "video_size": fmt.Sprintf("%dx%d", r.w, r.h), "framerate": r.rate})
	source := steady(base.Get("v:0"), r.rate)
	var proxy *ffmpeg_go.Stream
	if r.proxy {
		both := source.Split()
		source, proxy = both.Get("0"), both.Get("1")
	}
	hidden := source.Overlay(steady(patches.Get("v:0"), r.rate), "endall", ffmpeg_go.KwArgs{"format": "yuv420", "shortest": 0})
	each := []*ffmpeg_go.Stream{hidden}
	if len(r.notices) > 1 {
		split := ffmpeg_go.FilterMultiOutput([]*ffmpeg_go.Stream{hidden}, "split", ffmpeg_go.Args{strconv.Itoa(len(r.notices))})
		each = nil
		for i := range r.notices {
			each = append(each, split.Get(strconv.Itoa(i)))
		}
	}
	sound := func(k ffmpeg_go.KwArgs, v *ffmpeg_go.Stream, name string) *ffmpeg_go.Stream {
		streams := []*ffmpeg_go.Stream{v}
		if r.sound != "" {
			k["c:a"] = "copy"
			streams = append(streams, ffmpeg_go.Input("file:"+r.sound, ffmpeg_go.KwArgs{"f": "mov", "protocol_whitelist": "file"}).Get("a:0"))
		}
		return ffmpeg_go.Output(streams, "file:"+out+"/"+name, k)
	}
	var outs []*ffmpeg_go.Stream
	for i, n := range r.notices {
		v := each[i]
		if n.path != "" {
			v = v.Overlay(still(n.path, r.rate), "repeat", ffmpeg_go.KwArgs{"x": n.x, "y": n.y, "format": "yuv420"})
		}
		outs = append(outs, sound(encode(r.preset, 23), v, fmt.Sprintf("copy%d.mp4", i)))
	}
	if proxy != nil {
		if r.masks != "" {
			proxy = proxy.Overlay(still(r.masks, r.rate), "repeat", ffmpeg_go.KwArgs{"x": 0, "y": 0, "format": "yuv420"})
		}
		outs = append(outs, ffmpeg_go.Output([]*ffmpeg_go.Stream{proxy}, "file:"+out+"/proxy.mp4", encode("superfast", 26))) // it never leaves the home
	}
	return global(append([]string{"-y", "-progress", "pipe:1"}, ffmpeg_go.MergeOutputs(outs...).GetArgs()...))
}

// steady counts frames instead of believing time stamps: the mezzanine's are rounded, and a patch that
// comes one frame late shows what it should hide.
func steady(v *ffmpeg_go.Stream, fps string) *ffmpeg_go.Stream {
	r := parseRate(fps)
	return v.Filter("settb", ffmpeg_go.Args{fmt.Sprintf("%d/%d", r.d, r.n)}).Filter("setpts", ffmpeg_go.Args{"N"}).Filter("fps", ffmpeg_go.Args{fps})
}

func still(path, rate string) *ffmpeg_go.Stream {
	return ffmpeg_go.Input("file:"+path, ffmpeg_go.KwArgs{"f": "image2", "protocol_whitelist": "file", "pattern_type": "none", "framerate": rate}).Get("v:0")
}

// rawArgs decodes a file of our own making to raw pictures on standard output. Only every step-th
// picture is given, at the size w by h.
func rawArgs(in string, w, h, step int, mirror bool) []string {
	v := ffmpeg_go.Input("file:"+in, ffmpeg_go.KwArgs{"protocol_whitelist": "file", "err_detect": "explode", "threads": 2}).Get("v:0")
	if step > 1 {
		v = v.Filter("select", ffmpeg_go.Args{fmt.Sprintf("not(mod(n,%d))", step)})
	}
	if w > 0 {
		v = v.Filter("scale", ffmpeg_go.Args{fmt.Sprint(w), fmt.Sprint(h)}, ffmpeg_go.KwArgs{"flags": "bilinear+bitexact"})
	}
	if mirror {
		v = v.Filter("hflip", nil)
	}
	v = v.Filter("format", ffmpeg_go.Args{"yuv420p"})
	return global(v.Output("pipe:1", ffmpeg_go.KwArgs{"c:v": "rawvideo", "f": "rawvideo", "fps_mode": "passthrough", "pix_fmt": "yuv420p"}).GetArgs())
}

// stillArgs writes one JPEG of the picture at the given moment.
func stillArgs(in, format string, stream int, at time.Duration, width int, out string) []string {
	k := guards(format)
	k["ss"] = seconds(at)
	k["threads"] = 2
	v := ffmpeg_go.Input("file:"+in, k).Get(strconv.Itoa(stream)).
		Filter("scale", ffmpeg_go.Args{fmt.Sprint(width), "-2"}, ffmpeg_go.KwArgs{"flags": "area"}).
		Filter("setsar", ffmpeg_go.Args{"1"}).
		Filter("format", ffmpeg_go.Args{"yuvj420p"})
	o := v.Output("file:"+out, clean(ffmpeg_go.KwArgs{"c:v": "mjpeg", "q:v": 4, "frames:v": 1, "f": "image2", "update": 1}))
	return global(append([]string{"-y"}, o.GetArgs()...))
}

// seconds writes a duration as ffmpeg reads it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// nalArgs writes the coded video of one of our own files, without its container, to standard output.
func nalArgs(in string) []string {
	v := ffmpeg_go.Input("file:"+in, ffmpeg_go.KwArgs{"f": "mov", "protocol_whitelist": "file"}).Get("v:0")
	return global(v.Output("pipe:1", ffmpeg_go.KwArgs{"c:v": "copy", "bsf:v": "h264_mp4toannexb", "f": "h264"}).GetArgs())
}
