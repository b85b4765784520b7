package typeface

import (
	"encoding/binary"
	"fmt"
)

// What one glyph may have, with all its components.
const (
	maxPoints     = 1 << 16
	maxComponents = 256
	maxDepth      = 8
)

// Flags of a point in a simple glyph.
const (
	pointOnCurve = 1 << iota
	pointShortX
	pointShortY
	pointRepeat
	pointSameX // with pointShortX: the byte is positive
	pointSameY // with pointShortY: the byte is positive
)

// Flags of a component in a composite glyph.
const (
	partWords    = 0x0001
	partOffsets  = 0x0002
	partScale    = 0x0008
	partMore     = 0x0020
	partScaleXY  = 0x0040
	partTwoByTwo = 0x0080
)

// Outline returns a glyph's contours in em, y up; nil for a glyph without ink.
// A number that the face does not have is ErrMissingGlyph.
func (f *Face) Outline(id uint16) (Path, error) {
	if int(id) >= f.glyphs {
		return nil, fmt.Errorf("%w: there is no glyph %d", ErrMissingGlyph, id)
	}
	r := outlineReader{face: f}
	if err := r.glyph(id, Scale(1/f.unitsPerEm, 1/f.unitsPerEm), 0); err != nil {
		return nil, fmt.Errorf("%w (glyph %d)", err, id)
	}
	return r.path, nil
}

// outlineReader draws one glyph and its components within one budget.
type outlineReader struct {
	face       *Face
	path       Path
	points     int
	components int
}

func (r *outlineReader) glyph(id uint16, m Matrix, depth int) error {
	data := r.face.glyphData(id)
	if len(data) == 0 {
		return nil
	}
	if len(data) < 10 {
		return fmt.Errorf("%w: outline of %d bytes", ErrMalformed, len(data))
	}
	contours := int(signed(data))
	if contours >= 0 {
		return r.simple(data[10:], contours, m)
	}
	if depth == maxDepth {
		return fmt.Errorf("%w: components nested more than %d deep", ErrLimit, maxDepth)
	}
	return eachComponent(data[10:], func(c component) error {
		if r.components++; r.components > maxComponents {
			return fmt.Errorf("%w: more than %d components", ErrLimit, maxComponents)
		}
		if int(c.glyph) >= r.face.glyphs {
			return fmt.Errorf("%w: component %d does not exist", ErrMalformed, c.glyph)
		}
		if c.flags&partOffsets == 0 {
			return fmt.Errorf("%w: component placed by matching points", ErrUnsupported)
		}
		return r.glyph(c.glyph, c.place.Then(m), depth+1)
	})
}

// component is one part of a composite glyph.
type component struct {
	flags uint16
	glyph uint16
	at    int // where the glyph number is, in the bytes given to eachComponent
	place Matrix
}

// eachComponent reads the parts of a composite glyph, after its header.
func eachComponent(data []byte, visit func(component) error) error {
	for at := 0; ; {
		if len(data) < at+4 {
			return fmt.Errorf("%w: component cut off", ErrMalformed)
		}
		c := component{flags: binary.BigEndian.Uint16(data[at:]), glyph: binary.BigEndian.Uint16(data[at+2:]), at: at + 2}
		size, scales := 2, 0
		if c.flags&partWords != 0 {
			size = 4
		}
		switch {
		case c.flags&partScale != 0:
			scales = 1
		case c.flags&partScaleXY != 0:
			scales = 2
		case c.flags&partTwoByTwo != 0:
			scales = 4
		}
		if len(data) < at+4+size+2*scales {
			return fmt.Errorf("%w: component cut off", ErrMalformed)
		}
		c.place = readPlace(data[at+4:], size, scales)
		if err := visit(c); err != nil {
			return err
		}
		if c.flags&partMore == 0 {
			return nil
		}
		at += 4 + size + 2*scales
	}
}

// readPlace reads where a component goes: an offset and up to four numbers of
// a 2×2 matrix, each a signed fraction of 2¹⁴.
func readPlace(data []byte, size, scales int) Matrix {
	m := Identity()
	if size == 4 {
		m[4], m[5] = float64(signed(data)), float64(signed(data[2:]))
	} else {
		m[4], m[5] = float64(int8(data[0])), float64(int8(data[1])) //nolint:gosec // the same 8 bits, read as two's complement
	}
	fraction := func(i int) float64 { return float64(signed(data[size+2*i:])) / (1 << 14) }
	switch scales {
	case 1:
		m[0], m[3] = fraction(0), fraction(0)
	case 2:
		m[0], m[3] = fraction(0), fraction(1)
	case 4:
		m[0], m[1], m[2], m[3] = fraction(0), fraction(1), fraction(2), fraction(3)
	}
	return m
}

// simple draws a glyph that has points of its own.
func (r *outlineReader) simple(data []byte, contours int, m Matrix) error {
	if contours == 0 {
		return nil
	}
	if len(data) < 2*contours+2 {
		return fmt.Errorf("%w: %d contours in %d bytes", ErrMalformed, contours, len(data))
	}
	count := int(binary.BigEndian.Uint16(data[2*contours-2:])) + 1
	if r.points += count; r.points > maxPoints {
		return fmt.Errorf("%w: more than %d points", ErrLimit, maxPoints)
	}
	points, err := readPoints(data[2*contours:], count)
	if err != nil {
		return err
	}
	start := 0
	for i := range contours {
		end := int(binary.BigEndian.Uint16(data[2*i:])) + 1
		if end <= start || end > count {
			return fmt.Errorf("%w: contour %d ends at point %d", ErrMalformed, i, end)
		}
		r.contour(points[start:end], m)
		start = end
	}
	return nil
}

// point is one of a contour: on the curve, or pulling it.
type point struct {
	x, y float64
	on   bool
}

// readPoints reads what follows the contours' ends: the hinting program, which
// is skipped, and the columns of flags, x and y.
func readPoints(data []byte, count int) ([]point, error) {
	program := int(binary.BigEndian.Uint16(data))
	if len(data) < 2+program {
		return nil, fmt.Errorf("%w: hinting program cut off", ErrMalformed)
	}
	data = data[2+program:]
	flags := make([]byte, 0, count)
	for len(flags) < count {
		if len(data) == 0 {
			return nil, fmt.Errorf("%w: points cut off", ErrMalformed)
		}
		flag, repeat := data[0], 0
		data = data[1:]
		if flag&pointRepeat != 0 {
			if len(data) == 0 {
				return nil, fmt.Errorf("%w: points cut off", ErrMalformed)
			}
			repeat, data = int(data[0]), data[1:]
		}
		if len(flags)+1+repeat > count {
			return nil, fmt.Errorf("%w: more flags than points", ErrMalformed)
		}
		for range 1 + repeat {
			flags = append(flags, flag)
		}
	}
	xs, data, err := readColumn(data, flags, pointShortX, pointSameX)
	if err != nil {
		return nil, err
	}
	ys, _, err := readColumn(data, flags, pointShortY, pointSameY)
	if err != nil {
		return nil, err
	}
	points := make([]point, count)
	for i := range points {
		points[i] = point{x: float64(xs[i]), y: float64(ys[i]), on: flags[i]&pointOnCurve != 0}
	}
	return points, nil
}

// readColumn reads one coordinate of all points: differences, wrapping at 16
// bits as the format's own arithmetic does.
func readColumn(data, flags []byte, short, same byte) ([]int16, []byte, error) {
	column, v := make([]int16, len(flags)), int16(0)
	for i, flag := range flags {
		switch {
		case flag&short != 0:
			if len(data) < 1 {
				return nil, nil, fmt.Errorf("%w: coordinates cut off", ErrMalformed)
			}
			if flag&same != 0 {
				v += int16(data[0])
			} else {
				v -= int16(data[0])
			}
			data = data[1:]
		case flag&same == 0:
			if len(data) < 2 {
				return nil, nil, fmt.Errorf("%w: coordinates cut off", ErrMalformed)
			}
			v += signed(data)
			data = data[2:]
		}
		column[i] = v
	}
	return column, data, nil
}

// contour draws one contour. Between two points off the curve lies one on it,
// half way; a contour may start with a point off the curve.
func (r *outlineReader) contour(points []point, m Matrix) {
	first := points[0]
	if !first.on {
		if last := points[len(points)-1]; last.on {
			first, points = last, points[:len(points)-1]
		} else {
			first = middle(first, last)
		}
	} else {
		points = points[1:]
	}
	add := func(op Op, p ...point) {
		s := Segment{Op: op}
		for i := range p {
			s.Points[i] = m.Apply(Point{p[i].x, p[i].y})
		}
		r.path = append(r.path, s)
	}
	add(MoveTo, first)
	var pull *point
	for i := range points {
		p := points[i]
		switch {
		case pull == nil && p.on:
			add(LineTo, p)
		case pull == nil:
			pull = &points[i]
		case p.on:
			add(QuadTo, *pull, p)
			pull = nil
		default:
			add(QuadTo, *pull, middle(*pull, p))
			pull = &points[i]
		}
	}
	if pull != nil {
		add(QuadTo, *pull, first)
	}
	add(Close)
}

func middle(a, b point) point { return point{x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, on: true} }
