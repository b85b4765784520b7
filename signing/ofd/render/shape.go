package render

import (
	"math"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
	"github.com/onewindow/onewindow/signing/typeface/raster"
)

// readShape turns AbbreviatedData (GB/T 33190 §9.3) into a path. What comes
// before the first M starts at 0, 0.
func readShape(segments []ofd.Segment) typeface.Path {
	var path typeface.Path
	var at, start typeface.Point
	for i, s := range segments {
		if i == 0 && s.Op != 'M' {
			path.Move(0, 0)
		}
		a := s.Args
		switch s.Op {
		case 'M':
			at = typeface.Point{X: a[0], Y: a[1]}
			start = at
			path.Move(at.X, at.Y)
		case 'L':
			at = typeface.Point{X: a[0], Y: a[1]}
			path.Line(at.X, at.Y)
		case 'Q':
			at = typeface.Point{X: a[2], Y: a[3]}
			path.Quad(a[0], a[1], at.X, at.Y)
		case 'B':
			at = typeface.Point{X: a[4], Y: a[5]}
			path.Cube(a[0], a[1], a[2], a[3], at.X, at.Y)
		case 'A':
			to := typeface.Point{X: a[5], Y: a[6]}
			path = arc(path, at, to, a[0], a[1], a[2], a[3] != 0, a[4] != 0)
			at = to
		case 'C':
			path.Close()
			at = start
		}
	}
	return path
}

// arc adds an elliptical arc by curves of at most a quarter turn: from one
// point to another on an ellipse with the radii rx and ry, turned by angle
// degrees; the large way round or the short one, clockwise or not (as A in
// SVG 1.1, F.6).
func arc(path typeface.Path, from, to typeface.Point, rx, ry, angle float64, large, clockwise bool) typeface.Path {
	rx, ry = math.Abs(rx), math.Abs(ry)
	if rx == 0 || ry == 0 || from == to {
		path.Line(to.X, to.Y)
		return path
	}
	sin, cos := math.Sincos(angle * math.Pi / 180)
	dx, dy := (from.X-to.X)/2, (from.Y-to.Y)/2
	x, y := (cos*dx+sin*dy)/rx, (cos*dy-sin*dx)/ry // on the unit circle, about the middle
	if d := math.Hypot(x, y); d > 1 {              // too far apart: the ellipse grows
		rx, ry, x, y = rx*d, ry*d, x/d, y/d
	}
	off := 0.0
	if d := x*x + y*y; d > 0 {
		off = math.Sqrt(max(0, 1/d-1))
	}
	if large == clockwise {
		off = -off
	}
	cx, cy := off*y, -off*x
	first, turn := math.Atan2(y-cy, x-cx), math.Atan2(-y-cy, -x-cx)
	turn -= first
	switch {
	case clockwise && turn < 0:
		turn += 2 * math.Pi
	case !clockwise && turn > 0:
		turn -= 2 * math.Pi
	}
	// From the unit circle about cx, cy to the page.
	m := typeface.Matrix{rx * cos, rx * sin, -ry * sin, ry * cos, (from.X + to.X) / 2, (from.Y + to.Y) / 2}
	n := int(math.Ceil(math.Abs(turn)/(math.Pi/2) - 1e-9))
	if n < 1 || n > 4 {
		path.Line(to.X, to.Y) // radii that are no numbers
		return path
	}
	step := turn / float64(n)
	k := 4.0 / 3 * math.Tan(step/4)
	for i := range n {
		sin0, cos0 := math.Sincos(first + step*float64(i))
		sin1, cos1 := math.Sincos(first + step*float64(i+1))
		a := m.Apply(typeface.Point{X: cx + cos0 - k*sin0, Y: cy + sin0 + k*cos0})
		b := m.Apply(typeface.Point{X: cx + cos1 + k*sin1, Y: cy + sin1 - k*cos1})
		end := m.Apply(typeface.Point{X: cx + cos1, Y: cy + sin1})
		if i == n-1 {
			end = to
		}
		path.Cube(a.X, a.Y, b.X, b.Y, end.X, end.Y)
	}
	return path
}

func rectangle(b ofd.Box) typeface.Path {
	var path typeface.Path
	path.Move(b.X, b.Y)
	path.Line(b.X+b.Width, b.Y)
	path.Line(b.X+b.Width, b.Y+b.Height)
	path.Line(b.X, b.Y+b.Height)
	path.Close()
	return path
}

func ruleOf(evenOdd bool) raster.Rule {
	if evenOdd {
		return raster.EvenOdd
	}
	return raster.NonZero
}
