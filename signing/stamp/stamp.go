package stamp

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/onewindow/onewindow/signing/typeface"
	"github.com/onewindow/onewindow/signing/typeface/raster"
)

// Star is the centre of a seal of an organ or institution.
const Star = "★"

// dotsPerInch is the resolution of the PNG: a seal of 42 mm has 496 pixels.
const dotsPerInch = 300

// RoundSpec says what a round seal shows.
type RoundSpec struct {
	// Name is the owner's full name as registered, 4 to 24 characters, on the
	// upper arc from left to right.
	Name string
	// Center is Star, or empty for a seal without one.
	Center string
	// Label is the line below the centre, at most 12 characters, e.g.
	// 行政审批专用章; empty for the organ's own seal.
	Label string
	// Code is the seal's registered number of 13 digits on the lower arc, or
	// empty.
	Code string
	// Diameter of the ring's outer rim in millimetres, 30 to 60. Seals of
	// county organs have 42, of provincial ones 45, of enterprises 40.
	Diameter float64
}

// Round draws a round seal. The picture is a square of Diameter millimetres.
func Round(spec RoundSpec, face *typeface.Face) (svg, picture []byte, err error) {
	if err := spec.check(); err != nil {
		return nil, nil, err
	}
	path, err := spec.draw(face)
	if err != nil {
		return nil, nil, err
	}
	picture, err = encodePNG(path, spec.Diameter)
	if err != nil {
		return nil, nil, err
	}
	return encodeSVG(path, spec.Diameter), picture, nil
}

func (s RoundSpec) check() error {
	for _, field := range []struct {
		name, text  string
		least, most int
	}{{"name", s.Name, 4, 24}, {"label", s.Label, 0, 12}} {
		if n := utf8.RuneCountInString(field.text); !utf8.ValidString(field.text) || n < field.least || n > field.most {
			return fmt.Errorf("%w: the %s has %d characters; %d to %d fit", ErrSpec, field.name, n, field.least, field.most)
		}
		for _, r := range field.text {
			if unicode.IsSpace(r) || unicode.IsControl(r) {
				return fmt.Errorf("%w: the %s holds the character %U; leave it out", ErrSpec, field.name, r)
			}
		}
	}
	if s.Center != "" && s.Center != Star {
		return fmt.Errorf("%w: centre %q; it is %s or nothing", ErrSpec, s.Center, Star)
	}
	for i := range len(s.Code) {
		if s.Code[i] < '0' || s.Code[i] > '9' {
			return fmt.Errorf("%w: the code %q does not consist of digits", ErrSpec, s.Code)
		}
	}
	if s.Code != "" && len(s.Code) != 13 {
		return fmt.Errorf("%w: the code has %d digits; a seal's number has 13", ErrSpec, len(s.Code))
	}
	if !(s.Diameter >= 30 && s.Diameter <= 60) {
		return fmt.Errorf("%w: diameter %v mm; 30 to 60 are possible", ErrSpec, s.Diameter)
	}
	return nil
}

// The measures of a seal of 42 mm, in millimetres from its centre, y down.
// Other seals are scaled.
const (
	ordinary  = 42.0
	rim       = 20.95 // a hair inside the picture, for a soft edge
	ring      = 1.2   // width of the ring
	nameRim   = 18.9  // top of the name's characters
	starSize  = 7.0   // from the centre to a tip
	labelTop  = 8.6   // below the star
	labelSize = 3.7   // height of the label's characters
	codeRim   = 19.2  // foot of the digits
	codeSize  = 1.9   // height of an em of the digits
	codePitch = 4.2   // degrees from digit to digit
)

// The part of an em that Han characters fill: this square becomes a
// character's place.
const (
	emFoot = -0.12
	emHead = 0.88
)

// draw returns the seal's outline in millimetres, the centre at 0, 0.
func (s RoundSpec) draw(face *typeface.Face) (typeface.Path, error) {
	path := circle(nil, rim, 1)
	path = circle(path, rim-ring, -1)
	if s.Center == Star {
		path = star(path, starSize)
	}
	path, err := s.name(path, face)
	if err != nil {
		return nil, fmt.Errorf("name: %w", err)
	}
	if path, err = s.label(path, face); err != nil {
		return nil, fmt.Errorf("label: %w", err)
	}
	if path, err = s.code(path, face); err != nil {
		return nil, fmt.Errorf("code: %w", err)
	}
	return path.Map(typeface.Scale(s.Diameter/ordinary, s.Diameter/ordinary)), nil
}

// name sets the name on the upper arc, each character upright towards the
// centre.
func (s RoundSpec) name(path typeface.Path, face *typeface.Face) (typeface.Path, error) {
	glyphs, err := face.Glyphs(s.Name)
	if err != nil {
		return nil, err
	}
	widest := 285.0 // degrees; the rest stays free at the foot
	switch {
	case s.Label != "":
		widest = 236
	case s.Code != "":
		widest = 262
	}
	n := float64(len(glyphs))
	pitch := min(27, widest/n)
	// Up to ten characters have full height; then they shrink, so that the
	// narrowest are still about half as wide as high.
	height := 6.2
	if n > 10 {
		height = max(4.6, 6.2-0.13*(n-10))
	}
	foot := nameRim - height
	width := min(0.86*height, 0.96*pitch*math.Pi/180*(foot+0.3*height))
	for i, glyph := range glyphs {
		outline, err := face.Outline(glyph.ID)
		if err != nil {
			return nil, err
		}
		place := typeface.Translate(-glyph.Advance/2, -emFoot).
			Then(typeface.Scale(width, -height)).
			Then(typeface.Translate(0, -foot)).
			Then(rotate((float64(i) - (n-1)/2) * pitch))
		path = append(path, outline.Map(place)...)
	}
	return path, nil
}

// label sets the straight line below the centre.
func (s RoundSpec) label(path typeface.Path, face *typeface.Face) (typeface.Path, error) {
	glyphs, err := face.Glyphs(s.Label)
	if err != nil {
		return nil, err
	}
	ems := 0.0
	for _, glyph := range glyphs {
		ems += glyph.Advance
	}
	if ems == 0 {
		return path, nil
	}
	// The line's lower corners stay inside the ring, and above the code.
	bottom := labelTop + labelSize
	inside := rim - ring - 1.2
	room := 2 * math.Sqrt(inside*inside-bottom*bottom)
	width := min(labelSize, room/ems)
	x := -ems * width / 2
	for _, glyph := range glyphs {
		outline, err := face.Outline(glyph.ID)
		if err != nil {
			return nil, err
		}
		place := typeface.Translate(0, -emFoot).
			Then(typeface.Scale(width, -labelSize)).
			Then(typeface.Translate(x, bottom))
		path = append(path, outline.Map(place)...)
		x += glyph.Advance * width
	}
	return path, nil
}

// code sets the number on the lower arc, its feet towards the ring.
func (s RoundSpec) code(path typeface.Path, face *typeface.Face) (typeface.Path, error) {
	glyphs, err := face.Glyphs(s.Code)
	if err != nil {
		return nil, err
	}
	for i, glyph := range glyphs {
		outline, err := face.Outline(glyph.ID)
		if err != nil {
			return nil, err
		}
		place := typeface.Translate(-glyph.Advance/2, 0).
			Then(typeface.Scale(codeSize, -codeSize)).
			Then(typeface.Translate(0, codeRim)).
			Then(rotate((float64(len(glyphs)-1)/2 - float64(i)) * codePitch))
		path = append(path, outline.Map(place)...)
	}
	return path, nil
}

// rotate turns clockwise about the centre.
func rotate(degrees float64) typeface.Matrix {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	return typeface.Matrix{cos, sin, -sin, cos, 0, 0}
}

// circle adds a circle about the centre, by four curves; turn is 1 or -1, so
// that a smaller circle turned the other way leaves a hole.
func circle(path typeface.Path, radius, turn float64) typeface.Path {
	const k = 0.5522847498 // the usual approximation of a quarter circle
	path.Move(radius, 0)
	for quarter := range 4 {
		m := rotate(90 * turn * float64(quarter))
		a := m.Apply(typeface.Point{X: radius, Y: turn * k * radius})
		b := m.Apply(typeface.Point{X: k * radius, Y: turn * radius})
		c := m.Apply(typeface.Point{X: 0, Y: turn * radius})
		path.Cube(a.X, a.Y, b.X, b.Y, c.X, c.Y)
	}
	path.Close()
	return path
}

// star adds a five-pointed star, one tip up.
func star(path typeface.Path, radius float64) typeface.Path {
	inner := radius * math.Sin(math.Pi/10) / math.Sin(3*math.Pi/10) // where its lines cross
	for i := range 10 {
		r := radius
		if i%2 == 1 {
			r = inner
		}
		p := rotate(36 * float64(i)).Apply(typeface.Point{Y: -r})
		if i == 0 {
			path.Move(p.X, p.Y)
		} else {
			path.Line(p.X, p.Y)
		}
	}
	path.Close()
	return path
}

func encodeSVG(path typeface.Path, diameter float64) []byte {
	size, half := strconv.FormatFloat(diameter, 'f', -1, 64), strconv.FormatFloat(-diameter/2, 'f', -1, 64)
	b := fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%smm" height="%smm" viewBox="%s %s %s %s"><path fill="#E60012" d="`,
		size, size, half, half, size, size)
	return append(path.AppendSVG(b), `"/></svg>`...)
}

// encodePNG draws the seal with 256 degrees of opacity of one red, as a
// picture with a palette: a third of the size of one without.
func encodePNG(path typeface.Path, diameter float64) ([]byte, error) {
	scale := dotsPerInch / 25.4
	pixels := int(math.Round(diameter * scale))
	palette := make(color.Palette, 256)
	for i := range palette {
		palette[i] = color.NRGBA{R: 0xE6, G: 0x00, B: 0x12, A: uint8(i)}
	}
	img := image.NewPaletted(image.Rect(0, 0, pixels, pixels), palette)
	middle := float64(pixels) / 2
	path = path.Map(typeface.Scale(scale, scale).Then(typeface.Translate(middle, middle)))
	raster.Fill(path, raster.NonZero, img.Rect, func(x, y int, coverage []uint8) {
		copy(img.Pix[img.PixOffset(x, y):], coverage)
	})
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("stamp: encode: %w", err)
	}
	return b.Bytes(), nil
}
