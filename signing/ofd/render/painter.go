package render

import (
	"fmt"
	"math"
	"slices"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
	"github.com/onewindow/onewindow/signing/typeface/raster"
)

const (
	// maxSegments bounds the outlines of a page, maxPathSegments one path.
	maxSegments     = 1_000_000
	maxPathSegments = 50_000
	// maxCharacters bounds the text of a page.
	maxCharacters = 200_000
	// maxNotes bounds what is told of one page.
	maxNotes = 20
	// reach is the farthest that anything is painted, in millimetres.
	reach = 1e5
	// thinnest is the width of a line that states none, in millimetres.
	thinnest = 0.05
)

// canvas is what a page is painted on. Coordinates and lengths are millimetres
// of the page, y down. Calls come in the order of painting, one at a time; an
// error (ErrLimit or one that wraps it) ends the painting. A clip holds until
// its unclip; clips nest.
type canvas interface {
	fill(path typeface.Path, rule raster.Rule, c ofd.Color) error
	stroke(path typeface.Path, pen raster.Pen, c ofd.Color) error
	// picture paints p over the unit square mapped by m; with ink like ink
	// over what is there, instead of covering it.
	picture(p *picture, m typeface.Matrix, alpha float64, ink bool) error
	// clip restricts painting to the part inside one area of each list.
	clip(lists [][]area) error
	unclip()
}

// area is a shape on the page.
type area struct {
	path typeface.Path
	rule raster.Rule
}

// painter walks through a page's objects.
type painter struct {
	pkg      *ofd.Package
	page     *ofd.Page
	fallback *typeface.Face
	canvas   canvas
	stopped  func() error // may be nil
	notes    []string

	// By the path of their part; nil if it cannot be read.
	faces    map[string]*typeface.Face
	pictures map[string]*picture
	outlines map[glyphKey]typeface.Path

	pixels     int // of the pictures decoded
	characters int
	segments   int // painted
	remembered int // segments in outlines
}

func newPainter(p *ofd.Package, page *ofd.Page, fallback *typeface.Face, c canvas) *painter {
	return &painter{
		pkg: p, page: page, fallback: fallback, canvas: c,
		faces: map[string]*typeface.Face{}, pictures: map[string]*picture{}, outlines: map[glyphKey]typeface.Path{},
	}
}

// note tells once what could not be painted as meant.
func (w *painter) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(w.notes) < maxNotes && !slices.Contains(w.notes, text) {
		w.notes = append(w.notes, text)
	}
}

// objects paints a list. m maps the coordinates around the objects to the page.
func (w *painter) objects(list []ofd.Object, m typeface.Matrix, alpha float64) error {
	for _, object := range list {
		if w.stopped != nil {
			if err := w.stopped(); err != nil {
				return err
			}
		}
		if err := w.object(object, m, alpha); err != nil {
			return err
		}
	}
	return nil
}

func (w *painter) object(object ofd.Object, m typeface.Matrix, alpha float64) error {
	switch o := object.(type) {
	case *ofd.Text:
		return w.graphic(&o.Graphic, m, alpha, func(m typeface.Matrix, alpha float64) error { return w.text(o, m, alpha) })
	case *ofd.Path:
		return w.graphic(&o.Graphic, m, alpha, func(m typeface.Matrix, alpha float64) error {
			path, rule := readShape(o.Segments), ruleOf(o.EvenOdd)
			return w.shape(path.Map(m), rule, &o.Graphic, scaleOf(m), alpha)
		})
	case *ofd.Image:
		return w.graphic(&o.Graphic, m, alpha, func(m typeface.Matrix, alpha float64) error {
			pic := w.media(o.Media)
			if pic == nil {
				return nil
			}
			return w.canvas.picture(pic, m, alpha, false)
		})
	case *ofd.Group:
		return w.graphic(&o.Graphic, m, alpha, func(m typeface.Matrix, alpha float64) error { return w.objects(o.Objects, m, alpha) })
	}
	return nil
}

// graphic does what all objects have in common, then calls draw with the map
// from the object's own coordinates to the page.
func (w *painter) graphic(g *ofd.Graphic, outer typeface.Matrix, alpha float64, draw func(m typeface.Matrix, alpha float64) error) error {
	alpha *= g.Alpha
	if !g.Visible || !(alpha > 0) {
		return nil
	}
	place := typeface.Translate(g.Boundary.X, g.Boundary.Y).Then(outer)
	m := typeface.Matrix(g.CTM).Then(place)
	for _, v := range m {
		if !(math.Abs(v) <= reach) {
			w.note("有对象的坐标超出范围，未显示")
			return nil
		}
	}
	if len(g.Clips) == 0 {
		return draw(m, alpha)
	}
	lists := make([][]area, len(g.Clips))
	for i, clips := range g.Clips {
		for _, c := range clips {
			// Clips count from the boundary: the object's CTM leaves them alone.
			within := typeface.Matrix(c.CTM).Then(typeface.Translate(c.Boundary.X, c.Boundary.Y)).Then(place)
			path := readShape(c.Segments).Map(within)
			if ok, err := w.spend(path); !ok || err != nil {
				return err
			}
			lists[i] = append(lists[i], area{path, ruleOf(c.EvenOdd)})
		}
	}
	if err := w.canvas.clip(lists); err != nil {
		return err
	}
	defer w.canvas.unclip()
	return draw(m, alpha)
}

// shape fills and strokes a path of the page as an object says. scale is what
// the object's lengths are multiplied by.
func (w *painter) shape(path typeface.Path, rule raster.Rule, g *ofd.Graphic, scale, alpha float64) error {
	if ok, err := w.spend(path); !ok || err != nil {
		return err
	}
	if g.Fill != nil {
		if err := w.canvas.fill(path, rule, faded(*g.Fill, alpha)); err != nil {
			return err
		}
	}
	if g.Stroke == nil {
		return nil
	}
	pen := raster.Pen{
		Width: max(thinnest, g.Pen.Width*scale), MiterLimit: g.Pen.MiterLimit, Phase: g.Pen.DashOffset * scale,
	}
	switch g.Pen.Cap {
	case "Round":
		pen.Cap = raster.RoundCap
	case "Square":
		pen.Cap = raster.SquareCap
	}
	switch g.Pen.Join {
	case "Round":
		pen.Join = raster.RoundJoin
	case "Bevel":
		pen.Join = raster.BevelJoin
	}
	for _, length := range g.Pen.Dash {
		pen.Dashes = append(pen.Dashes, length*scale)
	}
	return w.canvas.stroke(path, pen, faded(*g.Stroke, alpha))
}

// spend counts a path. A path that reaches too far is not painted.
func (w *painter) spend(path typeface.Path) (bool, error) {
	if w.segments += len(path); w.segments > maxSegments || len(path) > maxPathSegments {
		return false, fmt.Errorf("%w: more than %d lines and curves, or %d in one path", ErrLimit, maxSegments, maxPathSegments)
	}
	for _, s := range path {
		for _, p := range s.Points {
			if !(math.Abs(p.X) <= reach && math.Abs(p.Y) <= reach) {
				w.note("有对象的坐标超出范围，未显示")
				return false, nil
			}
		}
	}
	return true, nil
}

// seals paints the pictures of the seals on the page.
func (w *painter) seals(page int) error {
	list, err := w.pkg.SealPictures()
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Page != page {
			continue
		}
		pic, err := w.decode(s.Picture.Data)
		if err != nil {
			w.note("电子印章图片（%.8s）无法显示", printable(s.Picture.Type))
			continue
		}
		if err := w.seal(pic, s.Box, s.Clip); err != nil {
			return err
		}
	}
	return nil
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

// faded multiplies a colour's opacity.
func faded(c ofd.Color, alpha float64) ofd.Color {
	c.Alpha = uint8(math.Round(float64(c.Alpha) * min(1, alpha)))
	return c
}

// scaleOf is how a map changes lengths, on average.
func scaleOf(m typeface.Matrix) float64 {
	return math.Sqrt(math.Abs(m[0]*m[3] - m[1]*m[2]))
}

// printable keeps what a note may show of a foreign word.
func printable(s string) string {
	var b []byte
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b = append(b, c)
		}
	}
	return string(b)
}
