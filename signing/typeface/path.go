package typeface

import "strconv"

// Point is a place in a plane.
type Point struct{ X, Y float64 }

// Op says what a Segment does.
type Op uint8

// The operations of a path. Each starts where the one before ended.
const (
	MoveTo Op = iota // start a contour at Points[0]
	LineTo           // a straight line to Points[0]
	QuadTo           // a quadratic curve by Points[0] to Points[1]
	CubeTo           // a cubic curve by Points[0] and Points[1] to Points[2]
	Close            // a straight line to the contour's start
)

// Segment is one step of a Path.
type Segment struct {
	Op     Op
	Points [3]Point
}

// Path is an outline: contours, each from a MoveTo to its Close.
type Path []Segment

// Move starts a contour.
func (p *Path) Move(x, y float64) { *p = append(*p, Segment{MoveTo, [3]Point{{x, y}}}) }

// Line draws a straight line.
func (p *Path) Line(x, y float64) { *p = append(*p, Segment{LineTo, [3]Point{{x, y}}}) }

// Quad draws a quadratic curve by x1, y1.
func (p *Path) Quad(x1, y1, x, y float64) {
	*p = append(*p, Segment{QuadTo, [3]Point{{x1, y1}, {x, y}}})
}

// Cube draws a cubic curve by x1, y1 and x2, y2.
func (p *Path) Cube(x1, y1, x2, y2, x, y float64) {
	*p = append(*p, Segment{CubeTo, [3]Point{{x1, y1}, {x2, y2}, {x, y}}})
}

// Close ends the contour.
func (p *Path) Close() { *p = append(*p, Segment{Op: Close}) }

// Matrix is an affine map: x' = M[0]·x + M[2]·y + M[4] and
// y' = M[1]·x + M[3]·y + M[5], the order of CTM in GB/T 33190 and of matrix()
// in SVG.
type Matrix [6]float64

// Identity maps each point to itself.
func Identity() Matrix { return Matrix{1, 0, 0, 1, 0, 0} }

// Translate returns the map that shifts by x and y.
func Translate(x, y float64) Matrix { return Matrix{1, 0, 0, 1, x, y} }

// Scale returns the map that stretches by x and y.
func Scale(x, y float64) Matrix { return Matrix{x, 0, 0, y, 0, 0} }

// Then returns the map that does m first and n after it.
func (m Matrix) Then(n Matrix) Matrix {
	return Matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

// Apply maps one point.
func (m Matrix) Apply(p Point) Point {
	return Point{m[0]*p.X + m[2]*p.Y + m[4], m[1]*p.X + m[3]*p.Y + m[5]}
}

// Map returns the path with every point mapped by m.
func (p Path) Map(m Matrix) Path {
	mapped := make(Path, len(p))
	for i, s := range p {
		mapped[i] = Segment{s.Op, [3]Point{m.Apply(s.Points[0]), m.Apply(s.Points[1]), m.Apply(s.Points[2])}}
	}
	return mapped
}

// AppendSVG appends the path as the d attribute of an SVG path, with three
// decimals.
func (p Path) AppendSVG(b []byte) []byte {
	for _, s := range p {
		b = append(b, "MLQCZ"[s.Op])
		for i := range s.Op.points() {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendDecimal(b, s.Points[i].X)
			b = append(b, ' ')
			b = appendDecimal(b, s.Points[i].Y)
		}
	}
	return b
}

// points says how many points an operation has.
func (o Op) points() int {
	return [...]int{MoveTo: 1, LineTo: 1, QuadTo: 2, CubeTo: 3, Close: 0}[o]
}

// appendDecimal writes v with at most three decimals.
func appendDecimal(b []byte, v float64) []byte {
	b = strconv.AppendFloat(b, v, 'f', 3, 64)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	if n := len(b); n >= 2 && b[n-2] == '-' && b[n-1] == '0' && (n == 2 || b[n-3] < '0' || b[n-3] > '9') {
		b = append(b[:n-2], '0')
	}
	return b
}
