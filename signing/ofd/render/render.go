package render

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
)

const (
	// maxPixels bounds a PNG: A4 at 550 dots per inch.
	maxPixels = 40_000_000
	// maxSide bounds a page, in millimetres.
	maxSide = 5000
)

// Options say how to paint.
type Options struct {
	// Face shows characters whose font is not embedded or lacks them.
	Face *typeface.Face
	// Seals paints the pictures of the seals too.
	Seals bool
	// Stopped is asked before each object, if it is set; its error ends the painting and is returned as it is.
	Stopped func() error
}

// SVG paints a page, counted from 0, as one SVG document in millimetres. The
// notes say what could not be painted as meant. Errors are those of package
// ofd for a file that cannot be read, ErrLimit and ErrOptions.
func SVG(p *ofd.Package, page int, o Options) (svg []byte, notes []ofd.Note, err error) {
	content, err := open(p, page, o)
	if err != nil {
		return nil, nil, err
	}
	c := newVectorCanvas(content.Box)
	if notes, err = paint(p, page, content, o, c); err != nil {
		return nil, nil, err
	}
	return c.finish(), notes, nil
}

// PNG paints a page, counted from 0, with the given number of dots per inch,
// 20 to 1200. The picture has no transparency and at most 40 million pixels.
// Notes and errors are those of SVG.
func PNG(p *ofd.Package, page int, dpi float64, o Options) (picture []byte, notes []ofd.Note, err error) {
	content, err := open(p, page, o)
	if err != nil {
		return nil, nil, err
	}
	if !(dpi >= 20 && dpi <= 1200) {
		return nil, nil, fmt.Errorf("%w: %v dots per inch; 20 to 1200 are possible", ErrOptions, dpi)
	}
	scale := dpi / 25.4
	width, height := max(1, int(math.Round(content.Box.Width*scale))), max(1, int(math.Round(content.Box.Height*scale)))
	if width > maxPixels/height {
		return nil, nil, fmt.Errorf("%w: %d × %d pixels; at most %d are painted, choose fewer dots per inch", ErrLimit, width, height, maxPixels)
	}
	c := newPixelCanvas(image.Rect(0, 0, width, height), typeface.Translate(-content.Box.X, -content.Box.Y).Then(typeface.Scale(scale, scale)))
	if notes, err = paint(p, page, content, o, c); err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, c.img); err != nil {
		return nil, nil, fmt.Errorf("render: encode: %w", err)
	}
	return b.Bytes(), notes, nil
}

// open reads the page's content and checks that it can be painted.
func open(p *ofd.Package, page int, o Options) (*ofd.Page, error) {
	if o.Face == nil {
		return nil, fmt.Errorf("%w: no face for text without an embedded font", ErrOptions)
	}
	content, err := p.Page(page)
	if err != nil {
		return nil, err
	}
	if box := content.Box; !(box.Width > 0 && box.Height > 0 && box.Width <= maxSide && box.Height <= maxSide &&
		math.Abs(box.X) <= maxSide && math.Abs(box.Y) <= maxSide) {
		return nil, fmt.Errorf("%w: a page of %v × %v mm", ErrLimit, box.Width, box.Height)
	}
	return content, nil
}

// paint puts a page's layers, annotations and seals on the canvas.
func paint(p *ofd.Package, page int, content *ofd.Page, o Options, c canvas) ([]ofd.Note, error) {
	w := newPainter(p, content, o.Face, c)
	w.stopped = o.Stopped
	if err := w.content(); err != nil {
		return nil, err
	}
	if o.Seals {
		if err := w.seals(page); err != nil {
			return nil, err
		}
	}
	return w.notes, nil
}
