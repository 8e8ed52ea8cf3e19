package footage

import (
	"image"
	"image/color"
	"image/draw"
	"math/bits"
)

// Every frame carries its number as a row of light and dark cells at the right of the lower edge:
// one light and one dark cell to measure by, twelve bits, and one for parity. It is not written in
// digits, which would be text and so hidden like a plate.
const numberBits = 12

// numberCell is the nth cell in a picture of the given bounds.
func numberCell(b image.Rectangle, n int) image.Rectangle {
	side := max(6, b.Dy()/60)
	x := b.Max.X - side*(numberBits+4) + side*n
	y := b.Max.Y - side // below the notice that a release copy has
	return image.Rect(x, y, x+side, y+side)
}

func drawNumber(im draw.Image, frame int) {
	cells := []bool{true, false}
	for i := numberBits - 1; i >= 0; i-- {
		cells = append(cells, frame>>i&1 == 1)
	}
	cells = append(cells, bits.OnesCount(uint(frame))%2 == 1)
	for n, light := range cells {
		c := color.Gray{20}
		if light {
			c = color.Gray{235}
		}
		draw.Draw(im, numberCell(im.Bounds(), n), image.NewUniform(c), image.Point{}, draw.Src)
	}
}

// Number reads the number of a frame from its picture; ok is false where there is none that can
// be read.
func Number(im image.Image) (frame int, ok bool) {
	light, dark := brightness(im, 0), brightness(im, 1)
	if light < dark+60 {
		return 0, false
	}
	middle := (light + dark) / 2
	for n := range numberBits {
		frame <<= 1
		if brightness(im, 2+n) > middle {
			frame |= 1
		}
	}
	return frame, (brightness(im, 2+numberBits) > middle) == (bits.OnesCount(uint(frame))%2 == 1)
}

// brightness is the mean of the inner part of a cell, 0 to 255.
func brightness(im image.Image, n int) int {
	cell := numberCell(im.Bounds(), n)
	cell = cell.Inset(cell.Dx() / 4)
	sum, count := 0, 0
	for y := cell.Min.Y; y < cell.Max.Y; y++ {
		for x := cell.Min.X; x < cell.Max.X; x++ {
			sum += int(color.GrayModel.Convert(im.At(x, y)).(color.Gray).Y)
			count++
		}
	}
	return sum / max(1, count)
}
