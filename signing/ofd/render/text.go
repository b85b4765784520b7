package render

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
	"github.com/onewindow/onewindow/signing/typeface/raster"
)

// glyphKey names a glyph of one of the faces in use.
type glyphKey struct {
	face *typeface.Face
	id   uint16
}

// maxTextSegments is how much of a text is painted as one path.
const maxTextSegments = 20_000

// text paints a TextObject. m maps its coordinates to the page.
func (w *painter) text(t *ofd.Text, m typeface.Matrix, alpha float64) error {
	embedded := w.embedded(t.Font)
	font := w.page.Resources.Fonts[t.Font]
	g := t.Graphic
	// A face that has no bold or slanting letters of its own imitates them.
	bold := embedded == nil && (t.Bold || font != nil && font.Bold)
	slant := 0.0
	if embedded == nil && (t.Italic || font != nil && font.Italic) {
		slant = 0.2
	}
	if bold && g.Stroke == nil && g.Fill != nil {
		g.Stroke, g.Pen = g.Fill, ofd.Pen{Width: 0.03 * t.Size, Join: "Round"}
	}
	sin, cos := math.Sincos(float64(t.CharDirection) * math.Pi / 180)
	upright := typeface.Matrix{t.Size * t.HScale, 0, slant * t.Size, -t.Size, 0, 0}.Then(typeface.Matrix{cos, sin, -sin, cos, 0, 0})
	var path typeface.Path
	flush := func() error {
		done := path
		path = nil
		return w.shape(done, raster.NonZero, &g, scaleOf(m), alpha)
	}
	for _, run := range t.Runs {
		if err := w.count(run); err != nil {
			return err
		}
		x, y := run.X, run.Y
		for i, glyph := range w.glyphs(run, embedded) {
			path = append(path, w.outline(glyph).Map(upright.Then(typeface.Translate(x, y)).Then(m))...)
			if len(path) > maxTextSegments {
				if err := flush(); err != nil {
					return err
				}
			}
			dx, dy := step(t, run, i, glyph.face.Advance(glyph.id)*t.Size*t.HScale)
			x, y = x+dx, y+dy
		}
	}
	return flush()
}

// count counts the characters and glyphs of a run before they are read.
func (w *painter) count(run ofd.Run) error {
	w.characters += utf8.RuneCountInString(run.Text)
	for _, g := range run.Glyphs {
		w.characters += len(g.Glyphs)
	}
	if w.characters > maxCharacters {
		return fmt.Errorf("%w: more than %d characters", ErrLimit, maxCharacters)
	}
	return nil
}

// step is the way from the i-th glyph's origin to the next one's: what the
// file says, else the glyph's own advance in the reading direction.
func step(t *ofd.Text, run ofd.Run, i int, advance float64) (dx, dy float64) {
	if i >= len(run.DeltaX) && i >= len(run.DeltaY) {
		sin, cos := math.Sincos(float64(t.ReadDirection) * math.Pi / 180)
		return advance * cos, advance * sin
	}
	if i < len(run.DeltaX) {
		dx = run.DeltaX[i]
	}
	if i < len(run.DeltaY) {
		dy = run.DeltaY[i]
	}
	return dx, dy
}

// glyphs chooses the glyphs of a run: by the numbers that the file gives for
// its embedded font, else by the character in the embedded font, else in the
// fallback.
func (w *painter) glyphs(run ofd.Run, embedded *typeface.Face) []glyphKey {
	runes := []rune(run.Text)
	given := map[int]ofd.GlyphRun{}
	if embedded != nil {
		for _, g := range run.Glyphs {
			given[g.Position] = g
		}
	}
	var list []glyphKey
	for i := 0; i < len(runes); i++ {
		if g, ok := given[i]; ok && g.Count > 0 && len(g.Glyphs) > 0 {
			for _, id := range g.Glyphs {
				list = append(list, glyphKey{embedded, id})
			}
			i += g.Count - 1
			continue
		}
		list = append(list, w.character(runes[i], embedded))
	}
	return list
}

// character finds the glyph for one character. Spaces and characters that
// nobody has stay blank, but keep their place.
func (w *painter) character(r rune, embedded *typeface.Face) glyphKey {
	if embedded != nil {
		if id := embedded.Index(r); id != 0 {
			return glyphKey{embedded, id}
		}
	}
	id := w.fallback.Index(r)
	if id == 0 {
		if !unicode.IsSpace(r) && !unicode.IsControl(r) {
			w.note(ofd.NoteGlyphMissing, fmt.Sprintf("U+%04X", r))
		}
		id = w.fallback.Index(' ')
	}
	return glyphKey{w.fallback, id}
}

// outline draws a glyph in em, most of them once.
func (w *painter) outline(key glyphKey) typeface.Path {
	path, known := w.outlines[key]
	if !known {
		var err error
		if path, err = key.face.Outline(key.id); err != nil {
			w.note(ofd.NoteGlyphDamaged, "")
			path = nil
		}
		if w.remembered += len(path); w.remembered <= maxSegments {
			w.outlines[key] = path
		}
	}
	return path
}

// embedded opens the font that the file brings along, nil if there is none
// that can be read.
func (w *painter) embedded(id ofd.ID) *typeface.Face {
	font := w.page.Resources.Fonts[id]
	if font == nil || font.Path == "" {
		return nil
	}
	face, known := w.faces[font.Path]
	if known {
		return face
	}
	w.faces[font.Path] = nil
	data, err := w.pkg.Read(font.Path)
	if err == nil {
		face, err = typeface.Parse(data)
	}
	if err != nil {
		w.note(ofd.NoteFontUnreadable, font.Path)
		return nil
	}
	w.faces[font.Path] = face
	return face
}
