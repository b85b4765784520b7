package ofd

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"rsc.io/qr"

	"github.com/onewindow/onewindow/signing/typeface"
)

// Align says where lines stand within their box.
type Align int

// The alignments.
const (
	Left Align = iota
	Center
	Right
)

// TextStyle is how a text is set.
type TextStyle struct {
	// Size is the height of an em, in mm.
	Size float64
	// Leading is the distance of baselines; 0 is 1.5 × Size.
	Leading float64
	// Spacing is put between characters.
	Spacing float64
	Align   Align
	Color   Color
}

// Typeset sets a text in the width of a box, from its top, and returns it with
// the height that it takes, which may be more than the box's. Chinese breaks
// between any two characters but before closing and after opening punctuation;
// words break where no line has room for them. A line break in the text breaks
// the line. ErrDraft for a box narrower than a character,
// typeface.ErrMissingGlyph for a character that the face lacks.
func Typeset(face *typeface.Face, s string, box Box, style TextStyle) (*Text, float64, error) {
	if style.Leading == 0 {
		style.Leading = 1.5 * style.Size
	}
	if style.Size <= 0 || style.Spacing < 0 || box.Width < style.Size {
		return nil, 0, fmt.Errorf("%w: a text of %g mm in a box of %g mm", ErrDraft, style.Size, box.Width)
	}
	color := style.Color
	t := &Text{
		Graphic: Graphic{Boundary: box, CTM: Identity(), Visible: true, Alpha: 1, Fill: &color},
		Size:    style.Size, HScale: 1,
	}
	y := 0.0
	for paragraph := range strings.SplitSeq(s, "\n") {
		glyphs, err := face.Glyphs(strings.TrimSpace(paragraph))
		if err != nil {
			return nil, 0, fmt.Errorf("text %.60q: %w", paragraph, err)
		}
		for _, line := range breakLines(glyphs, box.Width, style) {
			// The middle of a Chinese character is 0.38 em above its baseline.
			t.Runs = append(t.Runs, newRun(line, box.Width, y+style.Leading/2+0.38*style.Size, style))
			y += style.Leading
		}
		if len(glyphs) == 0 {
			y += style.Leading
		}
	}
	t.Boundary.Height = y
	return t, y, nil
}

func lineWidth(line []typeface.Glyph, style TextStyle) float64 {
	width := style.Spacing * float64(max(len(line)-1, 0))
	for _, g := range line {
		width += g.Advance * style.Size
	}
	return width
}

func newRun(line []typeface.Glyph, width, baseline float64, style TextStyle) Run {
	run := Run{Y: baseline}
	free := width - lineWidth(line, style)
	switch style.Align {
	case Center:
		run.X = free / 2
	case Right:
		run.X = free
	case Left:
	}
	var b strings.Builder
	for i, g := range line {
		b.WriteRune(g.Rune)
		if i < len(line)-1 {
			run.DeltaX = append(run.DeltaX, g.Advance*style.Size+style.Spacing)
		}
	}
	run.Text = b.String()
	return run
}

const (
	noLineStart = "，。、；：？！）》」』】〉〕”’…—·%,.;:?!)]}"
	noLineEnd   = "（《「『【〈〔“‘([{¥￥"
)

// mayBreak tells whether a line may end between two characters.
func mayBreak(before, after rune) bool {
	if strings.ContainsRune(noLineStart, after) || strings.ContainsRune(noLineEnd, before) {
		return false
	}
	word := func(r rune) bool { return r < 0x2000 && !unicode.IsSpace(r) }
	return !word(before) || !word(after) || before == '-' || before == '/'
}

// breakLines cuts a paragraph into lines. Spaces at the cuts are dropped.
func breakLines(glyphs []typeface.Glyph, width float64, style TextStyle) [][]typeface.Glyph {
	const rounding = 1e-6
	space := func(g typeface.Glyph) bool { return g.Rune == ' ' }
	var lines [][]typeface.Glyph
	for len(glyphs) > 0 {
		end, used, best := 0, -style.Spacing, 0
		for end < len(glyphs) {
			used += glyphs[end].Advance*style.Size + style.Spacing
			if used > width+rounding && !space(glyphs[end]) {
				break
			}
			end++
			if end < len(glyphs) && mayBreak(glyphs[end-1].Rune, glyphs[end].Rune) {
				best = end
			}
		}
		switch {
		case end == len(glyphs):
		case best > 0:
			end = best
		default:
			end = max(end, 1) // a word longer than a line
		}
		line := glyphs[:end]
		for len(line) > 0 && space(line[len(line)-1]) {
			line = line[:len(line)-1]
		}
		lines = append(lines, line)
		glyphs = glyphs[end:]
		if start := slices.IndexFunc(glyphs, func(g typeface.Glyph) bool { return !space(g) }); start > 0 {
			glyphs = glyphs[start:]
		}
	}
	return lines
}

// rotated turns a one-line text by degrees against the clock, so that its first
// character's base point is at x, y.
func (t *Text) rotated(x, y, degrees float64) {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	width := t.Boundary.Width
	rise, fall := width*sin+t.Size*2, t.Size*2
	// The boundary encloses the turned text: readers may clip to it.
	t.Boundary = Box{x - t.Size*2, y - rise, width*cos + t.Size*4, rise + fall}
	t.CTM = Matrix{cos, -sin, sin, cos, t.Size * 2, rise}
	for i := range t.Runs {
		t.Runs[i].X, t.Runs[i].Y = 0, 0
	}
}

// Lines is a stroked path in the page's own coordinates.
func Lines(pen float64, color Color, segments ...Segment) *Path {
	return &Path{Graphic: Graphic{
		Boundary: extent(segments, pen), CTM: Identity(), Visible: true, Alpha: 1, Stroke: &color, Pen: Pen{Width: pen},
	}, Segments: relative(segments, extent(segments, pen))}
}

// Area is a filled path in the page's own coordinates.
func Area(color Color, segments ...Segment) *Path {
	return &Path{Graphic: Graphic{
		Boundary: extent(segments, 0), CTM: Identity(), Visible: true, Alpha: 1, Fill: &color,
	}, Segments: relative(segments, extent(segments, 0))}
}

// Rectangle returns the outline of a box.
func Rectangle(b Box) []Segment {
	return []Segment{
		at('M', b.X, b.Y), at('L', b.X+b.Width, b.Y), at('L', b.X+b.Width, b.Y+b.Height), at('L', b.X, b.Y+b.Height), {Op: 'C'},
	}
}

// Rule returns a straight line.
func Rule(x1, y1, x2, y2 float64) []Segment { return []Segment{at('M', x1, y1), at('L', x2, y2)} }

func at(op byte, x, y float64) Segment { return Segment{Op: op, Args: [7]float64{x, y}} }

// extent is the box around straight segments, a pen's width wider.
func extent(segments []Segment, pen float64) Box {
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for _, s := range segments {
		for i := range arguments(s.Op) {
			low[i%2], high[i%2] = min(low[i%2], s.Args[i]), max(high[i%2], s.Args[i])
		}
	}
	return Box{low[0] - pen, low[1] - pen, high[0] - low[0] + 2*pen, high[1] - low[1] + 2*pen}
}

func relative(segments []Segment, box Box) []Segment {
	moved := slices.Clone(segments)
	for i := range moved {
		for j := range arguments(moved[i].Op) {
			moved[i].Args[j] -= [2]float64{box.X, box.Y}[j%2]
		}
	}
	return moved
}

// Show places a picture of the draft, by its place in Pictures from 1.
func Show(picture int, box Box) *Image {
	return &Image{Graphic: Graphic{
		Boundary: box, CTM: Matrix{box.Width, 0, 0, box.Height, 0, 0}, Visible: true, Alpha: 1,
	}, Media: ID(picture)} //nolint:gosec // a place in a list
}

// QRCode draws a text as a QR code (GB/T 18284, level M) with its quiet zone.
func QRCode(s string) (Picture, error) {
	code, err := qr.Encode(s, qr.M)
	if err != nil {
		return Picture{}, fmt.Errorf("%w: QR code of %d bytes: %w", ErrDraft, len(s), err)
	}
	code.Scale = 4
	return Picture{Format: "PNG", Data: code.PNG()}, nil
}
