package raster

import (
	"image"
	"math"

	"github.com/onewindow/onewindow/signing/typeface"
)

// Rule says what is inside a path that crosses itself.
type Rule uint8

// The rules of GB/T 33190 and SVG.
const (
	NonZero Rule = iota
	EvenOdd
)

// bandCells bounds the memory of Fill: four bytes each.
const bandCells = 1 << 20

// Fill calls paint for each row of the part of the path that lies inside
// bounds, from the top, with the coverage (0 to 255) of the pixels from (x, y)
// on to the right. The slice is valid during the call only. Contours that are
// open are closed. It returns the work done, in pixels and crossings of rows.
func Fill(path typeface.Path, rule Rule, bounds image.Rectangle, paint func(x, y int, coverage []uint8)) int {
	lines := flatten(path)
	box := extent(lines).Intersect(bounds)
	if box.Empty() {
		return len(lines)
	}
	width := box.Dx()
	rows := max(1, min(box.Dy(), bandCells/(width+2)))
	f := filler{width: float64(width), stride: width + 2, cells: make([]float32, rows*(width+2))}
	coverage := make([]uint8, width)
	work := box.Dx() * box.Dy()
	for top := box.Min.Y; top < box.Max.Y; top += rows {
		f.height = float64(min(rows, box.Max.Y-top))
		clear(f.cells)
		for _, line := range lines {
			for i, p := range line.points {
				q := line.points[(i+1)%len(line.points)]
				work += f.line(p.X-float64(box.Min.X), p.Y-float64(top), q.X-float64(box.Min.X), q.Y-float64(top))
			}
		}
		for y := range int(f.height) {
			sum(f.cells[y*f.stride:(y+1)*f.stride], rule, coverage)
			paint(box.Min.X, top+y, coverage)
		}
	}
	return work
}

// Extent returns the smallest rectangle of pixels outside of which the path
// covers nothing.
func Extent(path typeface.Path) image.Rectangle { return extent(flatten(path)) }

func extent(lines []polyline) image.Rectangle {
	minX, minY, maxX, maxY := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, line := range lines {
		for _, p := range line.points {
			minX, maxX = min(minX, p.X), max(maxX, p.X)
			minY, maxY = min(minY, p.Y), max(maxY, p.Y)
		}
	}
	if minX > maxX {
		return image.Rectangle{}
	}
	return image.Rect(int(math.Floor(minX)), int(math.Floor(minY)), int(math.Ceil(maxX)), int(math.Ceil(maxY)))
}

// sum turns the changes from pixel to pixel into coverage.
func sum(cells []float32, rule Rule, coverage []uint8) {
	total := float32(0)
	for x := range coverage {
		total += cells[x]
		v := total
		if v < 0 {
			v = -v
		}
		switch {
		case rule == EvenOdd:
			v -= 2 * float32(int(v/2))
			if v > 1 {
				v = 2 - v
			}
		case v > 1:
			v = 1
		}
		coverage[x] = uint8(v*255 + 0.5)
	}
}

// filler adds up one band. Each cell holds by how much the covered area of its
// pixel differs from that of the pixel to its left; a line changes the cells
// that it crosses, by the area to the right of it.
type filler struct {
	cells         []float32
	stride        int
	width, height float64
}

// line adds one edge. What lies left of the band counts at its left rim, since
// it covers all to the right of it; what lies right of it has no effect.
func (f *filler) line(x0, y0, x1, y1 float64) int {
	sign := float32(1)
	if y0 > y1 {
		x0, y0, x1, y1, sign = x1, y1, x0, y0, -1
	}
	if y1 <= 0 || y0 >= f.height || y0 == y1 {
		return 0
	}
	slope := (x1 - x0) / (y1 - y0)
	at := func(y float64) float64 { return x0 + (y-y0)*slope }
	top, bottom := max(y0, 0), min(y1, f.height)
	// Cut where the edge crosses the rims; in between it lies on one side.
	cuts := [4]float64{top, bottom, bottom, bottom}
	if slope != 0 {
		a, b := y0-x0/slope, y0+(f.width-x0)/slope
		a, b = min(a, b), max(a, b)
		cuts = [4]float64{top, max(top, min(a, bottom)), max(top, min(b, bottom)), bottom}
	}
	for i := range 3 {
		from, to := cuts[i], cuts[i+1]
		if to <= from {
			continue
		}
		switch middle := at((from + to) / 2); {
		case middle >= f.width:
		case middle <= 0:
			f.edge(0, from, 0, to, sign)
		default:
			f.edge(f.inside(at(from)), from, f.inside(at(to)), to, sign)
		}
	}
	return int(bottom-top) + 1
}

func (f *filler) inside(x float64) float64 { return max(0, min(f.width, x)) }

// edge adds a line that lies inside the band, downwards.
func (f *filler) edge(x0, y0, x1, y1 float64, sign float32) {
	slope := (x1 - x0) / (y1 - y0)
	x := x0
	for y := int(y0); float64(y) < y1; y++ {
		dy := min(float64(y+1), y1) - max(float64(y), y0)
		next := f.inside(x + slope*dy)
		f.step(f.cells[y*f.stride:(y+1)*f.stride], min(x, next), max(x, next), sign*float32(dy))
		x = next
	}
}

// step adds the part of an edge in one row: it covers height of the row, from
// left to right.
func (f *filler) step(row []float32, left, right float64, height float32) {
	first, last := int(left), int(math.Ceil(right))
	if last <= first+1 { // within one pixel: the area right of it is a trapezium
		share := float32((left+right)/2 - float64(first))
		row[first] += height * (1 - share)
		row[first+1] += height * share
		return
	}
	// The area right of the edge within pixel i is the height reached so far
	// but for a triangle; each pixel in between gains the same amount.
	perPixel := height / float32(right-left)
	into := float32(float64(first+1) - left)
	covered := 0.5 * perPixel * into * into // in the first pixel
	row[first] += covered
	before := covered
	for i := first + 1; i < last-1; i++ {
		area := perPixel * (into + float32(i-first-1) + 0.5)
		row[i] += area - before
		before = area
	}
	rest := float32(right - float64(last-1))
	area := height - 0.5*perPixel*rest*rest
	row[last-1] += area - before
	row[last] += height - area
}
