package detect

import "math"

// readMediaPipe reads the full-range face detector: one anchor in the middle of each cell of 4 pixels.
func readMediaPipe(out []plane, threshold float32) []Found {
	const stride = 4
	score, box := out[0], out[1]
	x, y, w, h := box.at(0), box.at(1), box.at(2), box.at(3)
	least := logit(threshold)
	var fs []Found
	for i, s := range score.at(0) {
		if s < least {
			continue
		}
		cx := (float32(i%score.w)+0.5)*stride + x[i]
		cy := (float32(i/score.w)+0.5)*stride + y[i]
		fs = append(fs, Found{X: cx - w[i]/2, Y: cy - h[i]/2, W: w[i], H: h[i], Score: sigmoid(s)})
	}
	return suppress(fs, 0.4)
}

// readRetinaFace reads the three strides, each with two square anchors a cell.
func readRetinaFace(out []plane, threshold float32) []Found {
	least := logit(threshold)
	var fs []Found
	sizes := [3][2]float32{{512, 256}, {128, 64}, {32, 16}}
	for k, stride := range []int{32, 16, 8} {
		score, box := out[2*k], out[2*k+1]
		for a := range 2 {
			size := sizes[k][a]
			back, face := score.at(a), score.at(2+a)
			dx, dy, dw, dh := box.at(4*a), box.at(4*a+1), box.at(4*a+2), box.at(4*a+3)
			for i := range face {
				if face[i]-back[i] < least {
					continue
				}
				cx := float32(i%score.w*stride) + 7.5 + dx[i]*size
				cy := float32(i/score.w*stride) + 7.5 + dy[i]*size
				w := size * float32(math.Exp(float64(dw[i])))
				h := size * float32(math.Exp(float64(dh[i])))
				fs = append(fs, Found{X: cx - w/2, Y: cy - h/2, W: w, H: h, Score: sigmoid(face[i] - back[i])})
			}
		}
	}
	return suppress(fs, 0.4)
}
