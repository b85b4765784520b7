package ofd

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// page writes Content.xml.
func (w *draftWriter) page(s *Sheet) ([]byte, error) {
	var m markup
	m.root("Page")
	m.open("Area")
	m.leaf("PhysicalBox", s.Box.String())
	m.close("Area")
	m.open("Content")
	for _, layer := range s.Layers {
		m.open("Layer", "ID", w.next().String(), "Type", cmp.Or(layer.Type, "Body"))
		for _, o := range layer.Objects {
			if err := w.object(&m, o); err != nil {
				return nil, err
			}
		}
		m.close("Layer")
	}
	m.close("Content")
	m.close("Page")
	return m.Bytes(), nil
}

func (w *draftWriter) object(m *markup, o Object) error {
	switch o := o.(type) {
	case *Text:
		w.text(m, o)
	case *Path:
		w.path(m, o)
	case *Image:
		if o.Media < 1 || int(o.Media) > len(w.draft.Pictures) {
			return fmt.Errorf("%w: there is no picture %d", ErrDraft, o.Media)
		}
		m.empty("ImageObject", append(w.graphic(&o.Graphic), "ResourceID", pictureID(int(o.Media)).String())...)
	case *Group:
		m.open("PageBlock", "ID", w.next().String())
		for _, member := range o.Objects {
			if err := w.object(m, member); err != nil {
				return err
			}
		}
		m.close("PageBlock")
	}
	return nil
}

// graphic returns the attributes of an object that are not at their default.
func (w *draftWriter) graphic(g *Graphic) []string {
	attrs := []string{"ID", w.next().String(), "Boundary", g.Boundary.String()}
	if g.CTM != Identity() {
		parts := make([]string, len(g.CTM))
		for i, f := range g.CTM {
			// Six decimals: a factor is multiplied by lengths up to a page's.
			parts[i] = strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0"), ".")
		}
		attrs = append(attrs, "CTM", strings.Join(parts, " "))
	}
	if g.Alpha < 1 {
		attrs = append(attrs, "Alpha", strconv.Itoa(int(g.Alpha*255+0.5)))
	}
	return attrs
}

func (m *markup) color(name string, c *Color) {
	attrs := []string{"Value", fmt.Sprintf("%d %d %d", c.R, c.G, c.B)}
	if c.Alpha != 255 {
		attrs = append(attrs, "Alpha", strconv.Itoa(int(c.Alpha)))
	}
	m.empty(name, attrs...)
}

func (w *draftWriter) path(m *markup, p *Path) {
	attrs := w.graphic(&p.Graphic)
	if p.Stroke != nil {
		attrs = append(attrs, "LineWidth", decimal(p.Pen.Width))
	} else {
		attrs = append(attrs, "Stroke", "false")
	}
	if p.Fill != nil {
		attrs = append(attrs, "Fill", "true")
	}
	if p.EvenOdd {
		attrs = append(attrs, "Rule", "Even-Odd")
	}
	m.open("PathObject", attrs...)
	if p.Fill != nil {
		m.color("FillColor", p.Fill)
	}
	if p.Stroke != nil {
		m.color("StrokeColor", p.Stroke)
	}
	var b strings.Builder
	for i, s := range p.Segments {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(s.Op)
		for _, f := range s.Args[:arguments(s.Op)] {
			b.WriteByte(' ')
			b.WriteString(decimal(f))
		}
	}
	m.leaf("AbbreviatedData", b.String())
	m.close("PathObject")
}

func (w *draftWriter) text(m *markup, t *Text) {
	attrs := append(w.graphic(&t.Graphic), "Font", ID(fontID).String(), "Size", decimal(t.Size))
	m.open("TextObject", attrs...)
	if t.Fill != nil {
		m.color("FillColor", t.Fill)
	}
	for _, run := range t.Runs {
		attrs := []string{"X", decimal(run.X), "Y", decimal(run.Y)}
		if len(run.DeltaX) > 0 {
			attrs = append(attrs, "DeltaX", deltas(run.DeltaX))
		}
		m.leaf("TextCode", run.Text, attrs...)
	}
	m.close("TextObject")
}

// deltas writes distances, three or more equal ones as "g n d".
func deltas(list []float64) string {
	var parts []string
	for len(list) > 0 {
		first, n := decimal(list[0]), 1
		for n < len(list) && decimal(list[n]) == first {
			n++
		}
		if n >= 3 {
			parts = append(parts, "g", strconv.Itoa(n), first)
		} else {
			n = 1
			parts = append(parts, first)
		}
		list = list[n:]
	}
	return strings.Join(parts, " ")
}
