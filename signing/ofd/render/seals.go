package render

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
	"strings"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/typeface"
)

const (
	// sealDPI is how finely a seal that is a drawing is painted, in dots per inch.
	sealDPI = 300
	// maxSealSide bounds such a drawing, in pixels: 200 mm, the largest seal.
	maxSealSide = 2400
)

// seals paints the pictures of the seals on the page.
func (w *painter) seals(page int) error {
	list, notes, err := w.pkg.SealPictures()
	if err != nil {
		return err
	}
	for _, n := range notes {
		w.notes = ofd.AddNote(w.notes, n)
	}
	pictures := map[string]*picture{} // by signature, which may show its seal in many places
	for _, s := range list {
		if s.Page != page {
			continue
		}
		pic, known := pictures[s.Signature]
		if !known {
			pic, err = w.sealPicture(s)
			if err != nil {
				w.note(ofd.NoteSealPicture, s.Picture.Type)
			}
			pictures[s.Signature] = pic
		}
		if pic == nil {
			continue
		}
		if err := w.seal(pic, s.Box, s.Clip); err != nil {
			return err
		}
	}
	return nil
}

// sealPicture reads a seal's picture, which is a raster picture or an OFD file.
func (w *painter) sealPicture(s ofd.SealPicture) (*picture, error) {
	if strings.EqualFold(s.Picture.Type, "ofd") || bytes.HasPrefix(s.Picture.Data, []byte("PK\x03\x04")) {
		return w.drawing(s.Picture)
	}
	return w.decode(s.Picture.Data)
}

// drawing paints the first page of a seal that is an OFD file, without its own
// seals, on white: as ink, white leaves what is below as it is. What it costs
// counts as the page's.
func (w *painter) drawing(seal ses.Picture) (*picture, error) {
	p, err := ofd.Open(seal.Data)
	if err != nil {
		return nil, err
	}
	content, err := open(p, 0, Options{Face: w.fallback})
	if err != nil {
		return nil, err
	}
	const scale = sealDPI / 25.4
	pixels := func(mm float64) int { return int(math.Round(min(maxSealSide, max(1, mm*scale)))) }
	width, height := pixels(float64(seal.Width)), pixels(float64(seal.Height))
	if w.pixels += width * height; w.pixels > maxPagePixels {
		return nil, fmt.Errorf("%w: pictures of more than %d pixels", ErrLimit, maxPagePixels)
	}
	toPixels := typeface.Translate(-content.Box.X, -content.Box.Y).
		Then(typeface.Scale(float64(width)/content.Box.Width, float64(height)/content.Box.Height))
	c := newPixelCanvas(image.Rect(0, 0, width, height), toPixels)
	c.work = w.sealWork
	inner := newPainter(p, content, w.fallback, c)
	inner.pixels, inner.characters, inner.segments = w.pixels, w.characters, w.segments
	err = inner.content()
	w.pixels, w.characters, w.segments, w.sealWork = inner.pixels, inner.characters, inner.segments, c.work
	for _, n := range inner.notes {
		n.Object = 0 // its IDs are not this file's
		w.notes = ofd.AddNote(w.notes, n)
	}
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, c.img); err != nil {
		return nil, fmt.Errorf("render: encode: %w", err)
	}
	return &picture{img: c.img, raw: b.Bytes(), mime: "image/png"}, nil
}

func (w *painter) seal(pic *picture, box ofd.Box, clip *ofd.Box) error {
	if clip != nil {
		part := ofd.Box{X: box.X + clip.X, Y: box.Y + clip.Y, Width: clip.Width, Height: clip.Height}
		path := rectangle(part)
		if ok, err := w.spend(path); !ok || err != nil {
			return err
		}
		if err := w.canvas.clip([][]area{{{path: path}}}); err != nil {
			return err
		}
		defer w.canvas.unclip()
	}
	if ok, err := w.spend(rectangle(box)); !ok || err != nil {
		return err
	}
	return w.canvas.picture(pic, typeface.Scale(box.Width, box.Height).Then(typeface.Translate(box.X, box.Y)), 1, true)
}
