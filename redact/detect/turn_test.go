package detect

import "testing"

// TestTurned turns a picture with one bright rectangle, finds the rectangle in the turned picture, and
// must come back to where it was.
func TestTurned(t *testing.T) {
	p := Picture{make([]byte, 40*24*3), 40, 24}
	want := Found{X: 5, Y: 3, W: 11, H: 6}
	for y := 3; y < 9; y++ {
		for x := 5; x < 16; x++ {
			p.Pix[3*(y*p.W+x)] = 255
		}
	}
	for turns := range 4 {
		q := turned(p, turns)
		x0, y0, x1, y1 := q.W, q.H, 0, 0
		for i := range q.W * q.H {
			if q.Pix[3*i] == 255 {
				x, y := i%q.W, i/q.W
				x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x+1), max(y1, y+1)
			}
		}
		got := turnedBack(Found{X: float32(x0), Y: float32(y0), W: float32(x1 - x0), H: float32(y1 - y0)}, q, turns)
		if got != want {
			t.Errorf("%d turns: %+v, want %+v", turns, got, want)
		}
		// To the right: the rectangle at the top left comes to the top right.
		if turns == 1 && (x0 != 24-9 || y0 != 5) {
			t.Errorf("one turn put it at %d, %d", x0, y0)
		}
	}
}
