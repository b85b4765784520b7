package ses

import (
	"bytes"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
)

// MaxPixels is the largest picture that is decoded: 86 mm square at 600 dots
// an inch.
const MaxPixels = 2048 * 2048

// Picture is what a reader sees of a seal (SES_ESPictrueInfo).
type Picture struct {
	Type   string // PNG, GIF, JPG, BMP, SVG, ofd; without regard to case
	Data   []byte
	Width  int // mm
	Height int // mm
}

// format is a picture type that is decoded here.
type format struct {
	magic  string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func (p Picture) format() (format, bool) {
	switch strings.ToUpper(p.Type) {
	case "PNG":
		return format{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode}, true
	case "GIF":
		return format{"GIF8", gif.DecodeConfig, gif.Decode}, true
	case "JPG":
		return format{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode}, true
	case "BMP":
		return format{"BM", bmp.DecodeConfig, bmp.Decode}, true
	}
	return format{}, false
}

// Config returns the size in pixels without decoding the picture. It refuses
// with ErrMalformed a picture that is not of its Type or has more than
// MaxPixels, and with ErrSpec a type that is no raster picture.
func (p Picture) Config() (image.Config, error) {
	f, ok := p.format()
	if !ok {
		return image.Config{}, fmt.Errorf("%w: picture type %.16q is not decoded; use PNG, GIF, JPG or BMP", ErrSpec, p.Type)
	}
	if !bytes.HasPrefix(p.Data, []byte(f.magic)) {
		return image.Config{}, fmt.Errorf("%w: picture is not a %s", ErrMalformed, strings.ToUpper(p.Type))
	}
	c, err := f.config(bytes.NewReader(p.Data))
	if err != nil {
		return image.Config{}, fmt.Errorf("%w: picture: %w", ErrMalformed, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > MaxPixels/c.Height {
		return image.Config{}, fmt.Errorf("%w: picture of %d × %d pixels, at most %d in all", ErrMalformed, c.Width, c.Height, MaxPixels)
	}
	return c, nil
}

// Decode decodes the picture (of a GIF the first frame), with the errors of
// Config.
func (p Picture) Decode() (image.Image, error) {
	if _, err := p.Config(); err != nil {
		return nil, err
	}
	f, _ := p.format() // Config found it
	m, err := f.decode(bytes.NewReader(p.Data))
	if err != nil {
		return nil, fmt.Errorf("%w: picture: %w", ErrMalformed, err)
	}
	return m, nil
}
