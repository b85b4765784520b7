package render

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"strings"

	"golang.org/x/image/bmp"

	"github.com/onewindow/onewindow/signing/ofd"
)

// Pixels of one picture, and of all on a page.
const (
	maxPicturePixels = 16_000_000
	maxPagePixels    = 48_000_000
)

// maxScans bounds the passes over a JPEG: cameras make about ten, and a few
// bytes can ask for one more.
const maxScans = 64

// picture is a decoded picture and the bytes that it came from.
type picture struct {
	img  *image.RGBA // origin at 0, 0
	raw  []byte
	mime string // of raw; empty if browsers do not read it
}

// decode reads a picture, whatever its name says it is.
func (w *painter) decode(data []byte) (*picture, error) {
	formats := []struct {
		magic, mime string
		config      func(io.Reader) (image.Config, error)
		decode      func(io.Reader) (image.Image, error)
	}{
		{"\x89PNG\r\n\x1a\n", "image/png", png.DecodeConfig, png.Decode},
		{"\xff\xd8\xff", "image/jpeg", jpeg.DecodeConfig, jpeg.Decode},
		{"GIF8", "image/gif", gif.DecodeConfig, gif.Decode},
		{"BM", "", bmp.DecodeConfig, bmp.Decode},
	}
	for _, f := range formats {
		if !bytes.HasPrefix(data, []byte(f.magic)) {
			continue
		}
		if f.mime == "image/jpeg" && bytes.Count(data, []byte{0xFF, 0xDA}) > maxScans {
			return nil, fmt.Errorf("%w: JPEG of more than %d passes", ErrLimit, maxScans)
		}
		config, err := f.config(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("render: picture: %w", err)
		}
		if config.Width < 1 || config.Height < 1 || config.Width > maxPicturePixels/config.Height {
			return nil, fmt.Errorf("%w: picture of %d × %d pixels", ErrLimit, config.Width, config.Height)
		}
		if w.pixels += config.Width * config.Height; w.pixels > maxPagePixels {
			return nil, fmt.Errorf("%w: pictures of more than %d pixels", ErrLimit, maxPagePixels)
		}
		img, err := f.decode(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("render: picture: %w", err)
		}
		rgba := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
		draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
		return &picture{img: rgba, raw: data, mime: f.mime}, nil
	}
	return nil, errFormat
}

// errFormat reports a picture of a format that is not drawn.
var errFormat = errors.New("render: picture of a format that is not drawn")

// formatOf names the format of a picture that is not drawn: what its bytes begin
// with, else what the file says that it is.
func formatOf(data []byte, stated string) string {
	for magic, name := range map[string]string{
		"\x97JB2\r\n\x1a\n": "JBIG2", "II*\x00": "TIFF", "MM\x00*": "TIFF", "RIFF": "WEBP", "<svg": "SVG", "<?xml": "SVG", "\x00\x00\x00\x0cjP": "JPEG2000",
	} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return name
		}
	}
	switch strings.ToUpper(stated) {
	case "GBIG1":
		return "JBIG"
	case "GBIG2", "JB2", "JBIG2":
		return "JBIG2"
	}
	return stated
}

// media opens a picture of the file, nil if it cannot be shown.
func (w *painter) media(id ofd.ID) *picture {
	media := w.page.Resources.Media[id]
	if media == nil || media.Path == "" {
		w.note(ofd.NoteImageMissing, id.String())
		return nil
	}
	entry, known := w.pictures[media.Path]
	if !known {
		entry = w.load(media)
		w.pictures[media.Path] = entry
	}
	if entry.fault != "" {
		w.note(entry.fault, entry.subject)
	}
	return entry.picture
}

// loaded is a picture, or the note of why there is none.
type loaded struct {
	picture *picture
	fault   ofd.NoteCode
	subject string
}

func (w *painter) load(media *ofd.Media) loaded {
	data, err := w.pkg.Read(media.Path)
	if errors.Is(err, ofd.ErrNotFound) {
		return loaded{fault: ofd.NoteImageMissing, subject: media.Path}
	}
	var pic *picture
	if err == nil {
		pic, err = w.decode(data)
	}
	switch {
	case err == nil:
		return loaded{picture: pic}
	case errors.Is(err, errFormat):
		if format := formatOf(data, media.Format); format != "" {
			return loaded{fault: ofd.NoteImageFormat, subject: format}
		}
	case errors.Is(err, ErrLimit):
		return loaded{fault: ofd.NoteImageTooLarge, subject: media.Path}
	}
	return loaded{fault: ofd.NoteImageUnreadable, subject: media.Path}
}

// dataURL returns the picture for an SVG: its own bytes, or as PNG if
// browsers do not read them.
func (p *picture) dataURL() (string, error) {
	raw, mime := p.raw, p.mime
	if mime == "" {
		var b bytes.Buffer
		if err := png.Encode(&b, p.img); err != nil {
			return "", fmt.Errorf("render: encode: %w", err)
		}
		raw, mime = b.Bytes(), "image/png"
	}
	return "data:" + mime + ";base64," + base64.StdEncoding.EncodeToString(raw), nil
}

// mean returns the mean colour (premultiplied, 0 to 255) of a box of the
// picture in its own pixels, pixels at its rim by their share. The mean over
// what one pixel of the page covers gives smooth pictures when they are shrunk
// and sharp ones when they are stretched, such as two-dimensional codes.
func (p *picture) mean(x, y, width, height float64) (sum [4]float64) {
	bounds := p.img.Rect
	x0, x1 := max(0, x-width/2), min(float64(bounds.Dx()), x+width/2)
	y0, y1 := max(0, y-height/2), min(float64(bounds.Dy()), y+height/2)
	if !(x1 > x0 && y1 > y0) {
		return sum
	}
	for row := int(y0); row < bounds.Dy() && float64(row) < y1; row++ {
		part := min(y1, float64(row+1)) - max(y0, float64(row))
		for column := int(x0); column < bounds.Dx() && float64(column) < x1; column++ {
			share := part * (min(x1, float64(column+1)) - max(x0, float64(column)))
			pixel := p.img.Pix[p.img.PixOffset(column, row):]
			for i := range sum {
				sum[i] += share * float64(pixel[i])
			}
		}
	}
	total := (x1 - x0) * (y1 - y0)
	for i := range sum {
		sum[i] = math.Min(255, sum[i]/total)
	}
	return sum
}
