package render

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
	"github.com/onewindow/onewindow/signing/typeface/raster"
)

const (
	// maxWork bounds the painting of one page, in pixels covered, rows crossed
	// and pixels of pictures read: some seconds.
	maxWork = 600_000_000
	// maxMaskBytes bounds the clips in force at one time.
	maxMaskBytes = 128 << 20
)

// pixelCanvas paints pixels on white paper.
type pixelCanvas struct {
	img   *image.RGBA
	place typeface.Matrix // from millimetres to pixels
	masks []*image.Alpha  // the clips in force, each inside the one before it
	bytes int             // of masks
	work  int
}

func newPixelCanvas(bounds image.Rectangle, place typeface.Matrix) *pixelCanvas {
	c := &pixelCanvas{img: image.NewRGBA(bounds), place: place}
	draw.Draw(c.img, bounds, image.NewUniform(color.White), image.Point{}, draw.Src)
	return c
}

// mask is the clip in force, nil if there is none.
func (c *pixelCanvas) mask() *image.Alpha {
	if len(c.masks) == 0 {
		return nil
	}
	return c.masks[len(c.masks)-1]
}

func (c *pixelCanvas) spend(work int) error {
	if c.work += work; c.work > maxWork {
		return fmt.Errorf("%w: the page takes too long to paint", ErrLimit)
	}
	return nil
}

// cover calls paint for each pixel inside a path, whose coordinates are pixels,
// with its share inside the path and the clip, 1 to 255. pix is the pixel.
func (c *pixelCanvas) cover(path typeface.Path, rule raster.Rule, paint func(pix []uint8, x, y int, coverage uint32)) error {
	bounds, mask := c.img.Rect, c.mask()
	if mask != nil {
		bounds = mask.Rect
	}
	work := raster.Fill(path, rule, bounds, func(x, y int, coverage []uint8) {
		row := c.img.Pix[c.img.PixOffset(x, y):]
		for i, v := range coverage {
			share := uint32(v)
			if share != 0 && mask != nil {
				share = share * uint32(mask.Pix[mask.PixOffset(x+i, y)]) / 255
			}
			if share != 0 {
				paint(row[4*i:4*i+4:4*i+4], x+i, y, share)
			}
		}
	})
	return c.spend(work)
}

func (c *pixelCanvas) fill(path typeface.Path, rule raster.Rule, color ofd.Color) error {
	return c.color(path.Map(c.place), rule, color)
}

func (c *pixelCanvas) color(path typeface.Path, rule raster.Rule, color ofd.Color) error {
	alpha := uint32(color.Alpha)
	return c.cover(path, rule, func(pix []uint8, _, _ int, coverage uint32) {
		a := coverage * alpha / 255
		pix[0], pix[1], pix[2] = mix(pix[0], color.R, a), mix(pix[1], color.G, a), mix(pix[2], color.B, a)
	})
}

// mix goes from one level towards another, a 255th part of the way.
func mix(from, to uint8, a uint32) uint8 {
	return uint8((uint32(from)*(255-a) + uint32(to)*a + 127) / 255) //nolint:gosec // between from and to
}

func (c *pixelCanvas) stroke(path typeface.Path, pen raster.Pen, color ofd.Color) error {
	scale := scaleOf(c.place)
	pen.Width, pen.Phase = pen.Width*scale, pen.Phase*scale
	dashes := make([]float64, len(pen.Dashes))
	for i, length := range pen.Dashes {
		dashes[i] = length * scale
	}
	pen.Dashes = dashes
	shape, err := raster.Stroke(path.Map(c.place), pen)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLimit, err)
	}
	return c.color(shape, raster.NonZero, color)
}

func (c *pixelCanvas) picture(p *picture, m typeface.Matrix, alpha float64, ink bool) error {
	size := p.img.Rect.Size()
	own := typeface.Scale(1/float64(size.X), 1/float64(size.Y)).Then(m).Then(c.place) // from the picture's pixels to ours
	back, ok := inverse(own)
	if !ok {
		return nil // it has no extent
	}
	width, height := math.Abs(back[0])+math.Abs(back[2]), math.Abs(back[1])+math.Abs(back[3])
	box := rectangle(ofd.Box{Width: 1, Height: 1}).Map(m.Then(c.place))
	// What one pixel shows of the picture, for each pixel inside.
	reads := min((width+1)*(height+1), float64(size.X)*float64(size.Y))
	if err := c.spend(int(reads * extent(box, c.img.Rect))); err != nil {
		return err
	}
	return c.cover(box, raster.NonZero, func(pix []uint8, x, y int, coverage uint32) {
		at := back.Apply(typeface.Point{X: float64(x) + 0.5, Y: float64(y) + 0.5})
		source := p.mean(at.X, at.Y, width, height)
		share := float64(coverage) / 255 * alpha
		for i := range 3 {
			free := float64(pix[i]) * (255 - source[3]) / 255 // what shows beside the picture
			to := source[i] + free
			if ink {
				to = source[i]*float64(pix[i])/255 + free
			}
			pix[i] = uint8(max(0, min(255, float64(pix[i])+(to-float64(pix[i]))*share+0.5)))
		}
	})
}

// extent is about how many pixels of bounds a box of four corners covers.
func extent(box typeface.Path, bounds image.Rectangle) float64 {
	minX, minY, maxX, maxY := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, s := range box[:4] {
		minX, maxX = min(minX, s.Points[0].X), max(maxX, s.Points[0].X)
		minY, maxY = min(minY, s.Points[0].Y), max(maxY, s.Points[0].Y)
	}
	width := min(maxX, float64(bounds.Max.X)) - max(minX, float64(bounds.Min.X))
	height := min(maxY, float64(bounds.Max.Y)) - max(minY, float64(bounds.Min.Y))
	return max(0, width) * max(0, height)
}

// inverse undoes a map; not ok if it leaves no area.
func inverse(m typeface.Matrix) (typeface.Matrix, bool) {
	det := m[0]*m[3] - m[1]*m[2]
	if !(math.Abs(det) > 1e-12) {
		return typeface.Matrix{}, false
	}
	return typeface.Matrix{
		m[3] / det, -m[1] / det, -m[2] / det, m[0] / det,
		(m[2]*m[5] - m[3]*m[4]) / det, (m[1]*m[4] - m[0]*m[5]) / det,
	}, true
}

// clip draws a mask for each list, the areas of one list together, and
// multiplies them with each other and the mask in force.
func (c *pixelCanvas) clip(lists [][]area) error {
	current := c.mask()
	for _, list := range lists {
		within := c.img.Rect
		if current != nil {
			within = current.Rect
		}
		var bounds image.Rectangle
		for i := range list {
			list[i].path = list[i].path.Map(c.place)
			bounds = bounds.Union(raster.Extent(list[i].path).Intersect(within))
		}
		next := image.NewAlpha(bounds)
		for _, a := range list {
			work := raster.Fill(a.path, a.rule, bounds, func(x, y int, coverage []uint8) {
				row := next.Pix[next.PixOffset(x, y):]
				for i, v := range coverage {
					row[i] = max(row[i], v)
				}
			})
			if err := c.spend(work); err != nil {
				return err
			}
		}
		if current != nil {
			multiply(next, current)
		}
		if err := c.spend(bounds.Dx() * bounds.Dy()); err != nil {
			return err
		}
		current = next
	}
	if c.bytes += len(current.Pix); c.bytes > maxMaskBytes {
		return fmt.Errorf("%w: clips of more than %d bytes", ErrLimit, maxMaskBytes)
	}
	c.masks = append(c.masks, current)
	return nil
}

// multiply restricts a mask by one that reaches at least as far.
func multiply(mask, by *image.Alpha) {
	for y := mask.Rect.Min.Y; y < mask.Rect.Max.Y; y++ {
		row := mask.Pix[mask.PixOffset(mask.Rect.Min.X, y):]
		other := by.Pix[by.PixOffset(mask.Rect.Min.X, y):]
		for x := range mask.Rect.Dx() {
			row[x] = uint8(uint32(row[x]) * uint32(other[x]) / 255) //nolint:gosec // at most 255
		}
	}
}

func (c *pixelCanvas) unclip() {
	last := len(c.masks) - 1
	c.bytes -= len(c.masks[last].Pix)
	c.masks = c.masks[:last]
}
