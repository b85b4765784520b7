package render

import (
	"fmt"
	"math"

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
	notes    []ofd.Note
	at       ofd.ID       // the object being painted
	stopped  func() error // may be nil

	// By the path of their part.
	faces    map[string]*typeface.Face
	pictures map[string]loaded
	outlines map[glyphKey]typeface.Path

	pixels     int // of the pictures decoded
	characters int
	segments   int // painted
	remembered int // segments in outlines
	sealWork   int // of the canvases of seals
}

func newPainter(p *ofd.Package, page *ofd.Page, fallback *typeface.Face, c canvas) *painter {
	return &painter{
		pkg: p, page: page, fallback: fallback, canvas: c, notes: page.Notes,
		faces: map[string]*typeface.Face{}, pictures: map[string]loaded{}, outlines: map[glyphKey]typeface.Path{},
	}
}

// note names once what of the object at hand cannot be painted as meant.
func (w *painter) note(code ofd.NoteCode, subject string) {
	w.notes = ofd.AddNote(w.notes, ofd.Note{Code: code, Object: w.at, Subject: subject})
}

// content paints the page's layers and annotations.
func (w *painter) content() error {
	for _, layer := range w.page.Layers {
		if err := w.objects(layer.Objects, typeface.Identity(), 1); err != nil {
			return err
		}
	}
	for _, annotation := range w.page.Annotations {
		if !annotation.Visible {
			continue
		}
		if err := w.objects(annotation.Objects, typeface.Translate(annotation.Box.X, annotation.Box.Y), 1); err != nil {
			return err
		}
	}
	return nil
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
		return w.graphic(&o.Graphic, m, alpha, func(m typeface.Matrix, alpha float64) error {
			if o.Alpha < 1 && len(o.Objects) > 1 {
				w.note(ofd.NoteGroupOpacity, "")
			}
			return w.objects(o.Objects, m, alpha)
		})
	}
	return nil
}

// graphic does what all objects have in common, then calls draw with the map
// from the object's own coordinates to the page.
func (w *painter) graphic(g *ofd.Graphic, outer typeface.Matrix, alpha float64, draw func(m typeface.Matrix, alpha float64) error) error {
	if g.ID != 0 {
		outer := w.at
		w.at = g.ID
		defer func() { w.at = outer }()
	}
	alpha *= g.Alpha
	if !g.Visible || !(alpha > 0) {
		return nil
	}
	place := typeface.Translate(g.Boundary.X, g.Boundary.Y).Then(outer)
	m := typeface.Matrix(g.CTM).Then(place)
	for _, v := range m {
		if !(math.Abs(v) <= reach) {
			w.note(ofd.NoteOutOfRange, "")
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
	for _, c := range []*ofd.Color{g.Fill, g.Stroke} {
		if c != nil && c.Shading != "" {
			w.note(ofd.NoteShading, c.Shading)
		}
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
				w.note(ofd.NoteOutOfRange, "")
				return false, nil
			}
		}
	}
	return true, nil
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
