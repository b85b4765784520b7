package raster

import (
	"math"

	"github.com/onewindow/onewindow/signing/typeface"
)

const (
	far       = 1 << 20 // no picture reaches further, in pixels
	tolerance = 0.03    // between a curve and the lines drawn for it, in pixels
	maxPieces = 64      // lines drawn for one curve
)

// polyline is one contour in straight lines.
type polyline struct {
	points []typeface.Point
	closed bool
}

// flatten replaces curves by lines.
func flatten(path typeface.Path) []polyline {
	var lines []polyline
	var current polyline
	finish := func() {
		if len(current.points) > 0 {
			lines = append(lines, current)
		}
		current = polyline{}
	}
	for _, s := range path {
		p := [3]typeface.Point{tame(s.Points[0]), tame(s.Points[1]), tame(s.Points[2])}
		if s.Op != typeface.MoveTo && len(current.points) == 0 {
			// After a Close the next contour starts where the last one did.
			start := typeface.Point{}
			if n := len(lines); n > 0 {
				start = lines[n-1].points[0]
			}
			current.points = append(current.points, start)
		}
		switch s.Op {
		case typeface.MoveTo:
			finish()
			current.points = append(current.points, p[0])
		case typeface.LineTo:
			current.points = append(current.points, p[0])
		case typeface.QuadTo:
			current.points = appendQuad(current.points, p[0], p[1])
		case typeface.CubeTo:
			current.points = appendCube(current.points, p[0], p[1], p[2])
		case typeface.Close:
			current.closed = true
			finish()
		}
	}
	finish()
	return lines
}

// tame moves a point into the plane that is calculated with.
func tame(p typeface.Point) typeface.Point {
	return typeface.Point{X: tameNumber(p.X), Y: tameNumber(p.Y)}
}

func tameNumber(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return max(-far, min(far, v))
}

func appendQuad(points []typeface.Point, c, to typeface.Point) []typeface.Point {
	from := points[len(points)-1]
	bend := math.Hypot(from.X-2*c.X+to.X, from.Y-2*c.Y+to.Y)
	n := pieces(bend / 4)
	for i := 1; i < n; i++ {
		t := float64(i) / float64(n)
		u := 1 - t
		points = append(points, typeface.Point{
			X: u*u*from.X + 2*u*t*c.X + t*t*to.X,
			Y: u*u*from.Y + 2*u*t*c.Y + t*t*to.Y,
		})
	}
	return append(points, to)
}

func appendCube(points []typeface.Point, c, d, to typeface.Point) []typeface.Point {
	from := points[len(points)-1]
	bend := max(math.Hypot(from.X-2*c.X+d.X, from.Y-2*c.Y+d.Y), math.Hypot(c.X-2*d.X+to.X, c.Y-2*d.Y+to.Y))
	n := pieces(bend * 0.75)
	for i := 1; i < n; i++ {
		t := float64(i) / float64(n)
		u := 1 - t
		a, b, e, f := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		points = append(points, typeface.Point{
			X: a*from.X + b*c.X + e*d.X + f*to.X,
			Y: a*from.Y + b*c.Y + e*d.Y + f*to.Y,
		})
	}
	return append(points, to)
}

// pieces says how many lines a curve needs whose middle lies so far from one
// single line: the distance falls with the square of their number.
func pieces(distance float64) int {
	return min(maxPieces, 1+int(math.Sqrt(distance/tolerance)))
}
