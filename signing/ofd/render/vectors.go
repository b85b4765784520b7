package render

import (
	"fmt"
	"math"
	"strconv"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
	"github.com/onewindow/onewindow/signing/typeface/raster"
)

// maxSVGBytes bounds an SVG: pictures may stand on a page many times.
const maxSVGBytes = 128 << 20

// vectorCanvas writes SVG.
type vectorCanvas struct {
	out      []byte
	clips    int   // clip paths so far
	opened   []int // groups that each clip opened
	pictures map[*picture]int
}

func newVectorCanvas(page ofd.Box) *vectorCanvas {
	c := &vectorCanvas{pictures: map[*picture]int{}}
	box := fmt.Sprintf("%s %s %s %s", decimal(page.X), decimal(page.Y), decimal(page.Width), decimal(page.Height))
	c.out = fmt.Appendf(c.out, `<svg xmlns="http://www.w3.org/2000/svg" width="%smm" height="%smm" viewBox="%s">`, decimal(page.Width), decimal(page.Height), box)
	c.path(rectangle(page), `fill="#fff"`)
	return c
}

func (c *vectorCanvas) finish() []byte { return append(c.out, "</svg>"...) }

func (c *vectorCanvas) path(path typeface.Path, attributes string) {
	c.out = append(append(c.out, "<path "...), attributes...)
	c.out = append(c.out, ` d="`...)
	c.out = append(path.AppendSVG(c.out), `"/>`...)
}

func (c *vectorCanvas) check() error {
	if len(c.out) > maxSVGBytes {
		return fmt.Errorf("%w: the SVG has more than %d bytes", ErrLimit, maxSVGBytes)
	}
	return nil
}

func (c *vectorCanvas) fill(path typeface.Path, rule raster.Rule, color ofd.Color) error {
	if len(path) == 0 {
		return nil
	}
	attributes := colored("fill", color)
	if rule == raster.EvenOdd {
		attributes += ` fill-rule="evenodd"`
	}
	c.path(path, attributes)
	return c.check()
}

func (c *vectorCanvas) stroke(path typeface.Path, pen raster.Pen, color ofd.Color) error {
	if len(path) == 0 {
		return nil
	}
	attributes := `fill="none" ` + colored("stroke", color) + ` stroke-width="` + decimal(pen.Width) + `"`
	switch pen.Cap {
	case raster.RoundCap:
		attributes += ` stroke-linecap="round"`
	case raster.SquareCap:
		attributes += ` stroke-linecap="square"`
	case raster.ButtCap:
	}
	switch pen.Join {
	case raster.RoundJoin:
		attributes += ` stroke-linejoin="round"`
	case raster.BevelJoin:
		attributes += ` stroke-linejoin="bevel"`
	case raster.MiterJoin:
		attributes += ` stroke-miterlimit="` + decimal(max(1, pen.MiterLimit)) + `"`
	}
	if len(pen.Dashes) > 0 {
		attributes += ` stroke-dasharray="`
		for _, length := range pen.Dashes {
			attributes += decimal(length) + " "
		}
		attributes += `" stroke-dashoffset="` + decimal(pen.Phase) + `"`
	}
	c.path(path, attributes)
	return c.check()
}

func (c *vectorCanvas) picture(p *picture, m typeface.Matrix, alpha float64, ink bool) error {
	id, known := c.pictures[p]
	if !known { // its bytes are written once, however often it is shown
		id = len(c.pictures) + 1
		c.pictures[p] = id
		url, err := p.dataURL()
		if err != nil {
			return err
		}
		c.out = fmt.Appendf(c.out, `<defs><image id="p%d" width="1" height="1" preserveAspectRatio="none" href="%s"/></defs>`, id, url)
	}
	c.out = fmt.Appendf(c.out, `<use href="#p%d" transform="matrix(`, id)
	for i, v := range m {
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		c.out = strconv.AppendFloat(c.out, v, 'f', 6, 64)
	}
	c.out = append(c.out, `)"`...)
	if alpha < 1 {
		c.out = fmt.Appendf(c.out, ` opacity="%s"`, decimal(alpha))
	}
	if ink {
		c.out = append(c.out, ` style="mix-blend-mode:multiply"`...)
	}
	c.out = append(c.out, "/>"...)
	return c.check()
}

func (c *vectorCanvas) clip(lists [][]area) error {
	for _, list := range lists {
		c.clips++
		c.out = fmt.Appendf(c.out, `<clipPath id="c%d">`, c.clips)
		for _, a := range list {
			rule := "nonzero"
			if a.rule == raster.EvenOdd {
				rule = "evenodd"
			}
			c.path(a.path, `clip-rule="`+rule+`"`)
		}
		c.out = fmt.Appendf(c.out, `</clipPath><g clip-path="url(#c%d)">`, c.clips)
	}
	c.opened = append(c.opened, len(lists))
	return c.check()
}

func (c *vectorCanvas) unclip() {
	last := len(c.opened) - 1
	for range c.opened[last] {
		c.out = append(c.out, "</g>"...)
	}
	c.opened = c.opened[:last]
}

// colored is a colour as attributes.
func colored(name string, c ofd.Color) string {
	s := fmt.Sprintf(`%s="#%02x%02x%02x"`, name, c.R, c.G, c.B)
	if c.Alpha < 255 {
		s += fmt.Sprintf(` %s-opacity="%s"`, name, decimal(float64(c.Alpha)/255))
	}
	return s
}

// decimal writes a length with at most three decimals.
func decimal(v float64) string {
	v = max(-reach, min(reach, v))
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}
