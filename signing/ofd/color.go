package ofd

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

// colorSpace is a CT_ColorSpace.
type colorSpace struct {
	kind    string // "GRAY", "RGB", "CMYK"
	bits    int
	palette []Color
}

func readColorSpace(n *xmltree.Node) (colorSpace, error) {
	s := colorSpace{bits: 8}
	s.kind, _ = n.Attr("Type")
	bits, err := number(n, "BitsPerComponent", 8)
	if err != nil {
		return s, err
	}
	if s.bits = int(bits); s.bits < 1 || s.bits > 16 {
		return s, fmt.Errorf("%w: %d bits per component", ErrDocument, s.bits)
	}
	if palette := n.Child("Palette"); palette != nil {
		for _, cv := range palette.Children("CV") {
			c, err := s.color(cv.Text)
			if err != nil {
				return s, err
			}
			s.palette = append(s.palette, c)
		}
	}
	return s, nil
}

// components reads an ST_Array of integers, decimal or "#" and hexadecimal, as 0 to 1.
func (s colorSpace) components(value string) ([]float64, error) {
	fields := strings.Fields(value)
	if len(fields) > 4 {
		return nil, fmt.Errorf("%w: the colour %.40q", ErrDocument, value)
	}
	full := float64(int(1)<<s.bits - 1)
	list := make([]float64, len(fields))
	for i, field := range fields {
		digits, hex := strings.CutPrefix(field, "#")
		base := 10
		if hex {
			base = 16
		}
		n, err := strconv.ParseUint(digits, base, 16)
		if err != nil {
			return nil, fmt.Errorf("%w: the colour %.40q", ErrDocument, value)
		}
		list[i] = math.Min(float64(n)/full, 1)
	}
	return list, nil
}

func (s colorSpace) color(value string) (Color, error) {
	v, err := s.components(value)
	if err != nil {
		return Color{}, err
	}
	level := func(f float64) uint8 { return uint8(math.Round(f * 255)) }
	switch len(v) {
	case 1:
		return Color{R: level(v[0]), G: level(v[0]), B: level(v[0]), Alpha: 255}, nil
	case 3:
		return Color{R: level(v[0]), G: level(v[1]), B: level(v[2]), Alpha: 255}, nil
	case 4:
		light := 1 - v[3]
		return Color{R: level((1 - v[0]) * light), G: level((1 - v[1]) * light), B: level((1 - v[2]) * light), Alpha: 255}, nil
	}
	return Color{}, fmt.Errorf("%w: the colour %.40q", ErrDocument, value)
}

// readColor reads a CT_Color. A pattern or gradient gives its first colour.
func (r *Resources) readColor(n *xmltree.Node) (*Color, error) {
	for _, shading := range n.Nodes {
		c, err := r.firstColor(shading, 0)
		if err != nil {
			return nil, err
		}
		if c != nil {
			c.Shading = shading.Name
			return c, nil
		}
	}
	space := colorSpace{kind: "RGB", bits: 8}
	id, err := idAttr(n, "ColorSpace")
	if err != nil {
		return nil, err
	}
	if s, ok := r.spaces[id]; ok {
		space = s
	}
	c := Color{Alpha: 255}
	value, stated := n.Attr("Value")
	index, indexed := n.Attr("Index")
	switch {
	case stated && strings.TrimSpace(value) != "":
		if c, err = space.color(value); err != nil {
			return nil, err
		}
	case indexed:
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(space.palette) {
			return nil, fmt.Errorf("%w: the palette has no colour %.10q", ErrDocument, index)
		}
		c = space.palette[i]
	}
	alpha, err := number(n, "Alpha", 255)
	if err != nil {
		return nil, err
	}
	c.Alpha = uint8(math.Round(math.Max(0, math.Min(alpha, 255))))
	return &c, nil
}

// firstColor looks for a Color within a shading, a few levels down.
func (r *Resources) firstColor(n *xmltree.Node, depth int) (*Color, error) {
	if depth > 4 {
		return nil, nil //nolint:nilnil // nothing found is no error
	}
	if n.Name == "Color" {
		return r.readColor(n)
	}
	for _, child := range n.Nodes {
		if c, err := r.firstColor(child, depth+1); c != nil || err != nil {
			return c, err
		}
	}
	return nil, nil //nolint:nilnil // nothing found is no error
}
