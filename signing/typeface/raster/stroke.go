package raster

import (
	"fmt"
	"math"

	"github.com/onewindow/onewindow/signing/typeface"
)

// Cap says how a line ends.
type Cap uint8

// The ends of lines in GB/T 33190 and SVG.
const (
	ButtCap Cap = iota
	RoundCap
	SquareCap
)

// Join says how two lines meet.
type Join uint8

// The joins of lines in GB/T 33190 and SVG.
const (
	MiterJoin Join = iota
	RoundJoin
	BevelJoin
)

// Pen draws lines. Lengths are in pixels.
type Pen struct {
	Width      float64
	Cap        Cap
	Join       Join
	MiterLimit float64 // longest miter, in widths
	Dashes     []float64
	Phase      float64 // where in the dashes a line starts
}

const (
	// maxStrokes bounds the pieces of one stroked path, dashes counted one by
	// one.
	maxStrokes = 20_000
	// maxShape bounds the shape that comes of them: round ends have many corners.
	maxShape = 200_000
)

// Stroke returns the shape that the pen leaves along the path, to be filled by
// the rule NonZero. A path that falls into too many pieces is ErrLimit.
func Stroke(path typeface.Path, pen Pen) (typeface.Path, error) {
	s := stroker{pen: pen, radius: tameNumber(pen.Width) / 2}
	lines := flatten(path)
	if len(pen.Dashes) > 0 {
		var err error
		if lines, err = dash(lines, pen.Dashes, pen.Phase); err != nil {
			return nil, err
		}
	}
	pieces := 0
	for _, line := range lines {
		if pieces += len(line.points); pieces > maxStrokes {
			return nil, fmt.Errorf("%w: more than %d strokes", ErrLimit, maxStrokes)
		}
		if s.line(distinct(line)); len(s.shape) > maxShape {
			return nil, fmt.Errorf("%w: a shape of more than %d lines", ErrLimit, maxShape)
		}
	}
	return s.shape, nil
}

// distinct drops points that equal the one before: they have no direction.
func distinct(line polyline) polyline {
	kept := line.points[:1:1]
	for _, p := range line.points[1:] {
		if p != kept[len(kept)-1] {
			kept = append(kept, p)
		}
	}
	if line.closed && len(kept) > 1 && kept[0] == kept[len(kept)-1] {
		kept = kept[:len(kept)-1]
	}
	return polyline{points: kept, closed: line.closed && len(kept) > 1}
}

// stroker collects the shape: one piece per line, joint and end, each turning
// the same way so that overlaps stay filled.
type stroker struct {
	pen    Pen
	radius float64
	shape  typeface.Path
}

func (s *stroker) line(line polyline) {
	points := line.points
	if len(points) == 1 {
		s.dot(points[0])
		return
	}
	n := len(points)
	segments := n - 1
	if line.closed {
		segments = n
	}
	for i := range segments {
		a, b := points[i], points[(i+1)%n]
		d := s.reach(a, b)
		from, to := a, b
		if s.pen.Cap == SquareCap && !line.closed {
			if i == 0 {
				from = typeface.Point{X: a.X - d.X, Y: a.Y - d.Y}
			}
			if i == segments-1 {
				to = typeface.Point{X: b.X + d.X, Y: b.Y + d.Y}
			}
		}
		s.polygon(
			typeface.Point{X: from.X - d.Y, Y: from.Y + d.X}, typeface.Point{X: to.X - d.Y, Y: to.Y + d.X},
			typeface.Point{X: to.X + d.Y, Y: to.Y - d.X}, typeface.Point{X: from.X + d.Y, Y: from.Y - d.X})
		if i+1 < segments || line.closed {
			s.join(b, d, s.reach(b, points[(i+2)%n]))
		}
	}
	if s.pen.Cap == RoundCap && !line.closed {
		s.disc(points[0])
		s.disc(points[n-1])
	}
}

// reach is the vector from a towards b, as long as half the pen is wide.
func (s *stroker) reach(a, b typeface.Point) typeface.Point {
	length := math.Hypot(b.X-a.X, b.Y-a.Y)
	return typeface.Point{X: (b.X - a.X) / length * s.radius, Y: (b.Y - a.Y) / length * s.radius}
}

// dot is what a pen leaves that does not move.
func (s *stroker) dot(p typeface.Point) {
	switch r := s.radius; s.pen.Cap {
	case RoundCap:
		s.disc(p)
	case SquareCap:
		s.polygon(typeface.Point{X: p.X - r, Y: p.Y - r}, typeface.Point{X: p.X + r, Y: p.Y - r},
			typeface.Point{X: p.X + r, Y: p.Y + r}, typeface.Point{X: p.X - r, Y: p.Y + r})
	case ButtCap:
	}
}

// join fills the wedge between two lines that meet at p with the directions
// in and out.
func (s *stroker) join(p, in, out typeface.Point) {
	turn := in.X*out.Y - in.Y*out.X
	if turn == 0 && in.X*out.X+in.Y*out.Y > 0 {
		return
	}
	if s.pen.Join == RoundJoin {
		s.disc(p)
		return
	}
	side := -1.0 // the outer side of the bend
	if turn < 0 {
		side = 1
	}
	a := typeface.Point{X: p.X - side*in.Y, Y: p.Y + side*in.X}
	b := typeface.Point{X: p.X - side*out.Y, Y: p.Y + side*out.X}
	if s.pen.Join == MiterJoin {
		middle := typeface.Point{X: (a.X + b.X) / 2, Y: (a.Y + b.Y) / 2}
		half := math.Hypot(middle.X-p.X, middle.Y-p.Y) // r·cos of half the turn
		if half > 0 && s.radius/half <= s.pen.MiterLimit {
			k := s.radius * s.radius / (half * half)
			tip := typeface.Point{X: p.X + (middle.X-p.X)*k, Y: p.Y + (middle.Y-p.Y)*k}
			s.polygon(p, a, tip, b)
			return
		}
	}
	s.polygon(p, a, b)
}

// disc is a round joint or end.
func (s *stroker) disc(p typeface.Point) {
	n := 8
	if s.radius > tolerance {
		n = max(8, min(maxPieces, int(math.Ceil(math.Pi/math.Acos(1-tolerance/s.radius)))))
	}
	points := make([]typeface.Point, n)
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		points[i] = typeface.Point{X: p.X + s.radius*cos, Y: p.Y + s.radius*sin}
	}
	s.polygon(points...)
}

// polygon adds one piece, turned so that its area counts as positive.
func (s *stroker) polygon(points ...typeface.Point) {
	area := 0.0
	for i, p := range points {
		q := points[(i+1)%len(points)]
		area += p.X*q.Y - p.Y*q.X
	}
	for i := range points {
		p := points[i]
		if area < 0 {
			p = points[len(points)-1-i]
		}
		if i == 0 {
			s.shape.Move(p.X, p.Y)
		} else {
			s.shape.Line(p.X, p.Y)
		}
	}
	s.shape.Close()
}

// dash cuts lines into dashes. A pattern that has no length, or a negative
// one, draws solid lines, as in SVG.
func dash(lines []polyline, pattern []float64, phase float64) ([]polyline, error) {
	total := 0.0
	for _, length := range pattern {
		if !(length >= 0) || length > far {
			return lines, nil
		}
		total += length
	}
	if total < 0.1 {
		return lines, nil
	}
	if len(pattern)%2 == 1 {
		pattern = append(append([]float64(nil), pattern...), pattern...)
		total *= 2
	}
	phase = math.Mod(tameNumber(phase), total)
	if phase < 0 {
		phase += total
	}
	var dashes []polyline
	for _, line := range lines {
		points := line.points
		if line.closed {
			points = append(points[:len(points):len(points)], points[0])
		}
		cutter := dashCutter{pattern: pattern, left: phase}
		cutter.advance()
		for i := range len(points) - 1 {
			cutter.segment(points[i], points[i+1])
			if len(dashes)+len(cutter.dashes) > maxStrokes {
				return nil, fmt.Errorf("%w: more than %d dashes", ErrLimit, maxStrokes)
			}
		}
		dashes = append(dashes, cutter.finish()...)
	}
	return dashes, nil
}

// dashCutter walks along one line. left is what remains of the present piece
// of the pattern; even pieces are drawn.
type dashCutter struct {
	pattern []float64
	piece   int
	left    float64
	current []typeface.Point
	dashes  []polyline
}

// advance skips the phase, held in left, at the start of a line.
func (c *dashCutter) advance() {
	for c.left >= c.pattern[c.piece] && c.piece+1 < len(c.pattern) {
		c.left -= c.pattern[c.piece]
		c.piece++
	}
	c.left = max(0, c.pattern[c.piece]-c.left)
}

func (c *dashCutter) segment(a, b typeface.Point) {
	length := math.Hypot(b.X-a.X, b.Y-a.Y)
	if c.piece%2 == 0 && len(c.current) == 0 {
		c.current = append(c.current, a)
	}
	done := 0.0
	for length-done > c.left && len(c.dashes) <= maxStrokes {
		done += c.left
		p := typeface.Point{X: a.X + (b.X-a.X)*done/length, Y: a.Y + (b.Y-a.Y)*done/length}
		if c.piece%2 == 0 {
			c.dashes = append(c.dashes, polyline{points: append(c.current, p)})
			c.current = nil
		} else {
			c.current = []typeface.Point{p}
		}
		c.piece = (c.piece + 1) % len(c.pattern)
		c.left = c.pattern[c.piece]
	}
	c.left -= length - done
	if c.piece%2 == 0 {
		c.current = append(c.current, b)
	}
}

func (c *dashCutter) finish() []polyline {
	if len(c.current) > 1 {
		c.dashes = append(c.dashes, polyline{points: c.current})
	}
	return c.dashes
}
