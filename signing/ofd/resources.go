package ofd

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

func newResources() Resources {
	return Resources{
		Fonts: map[ID]*Font{}, Media: map[ID]*Media{},
		spaces: map[ID]colorSpace{}, params: map[ID]*drawParam{}, composites: map[ID]*composite{},
	}
}

// clone is for a page that adds resources of its own.
func (r *Resources) clone() Resources {
	return Resources{
		Fonts: maps.Clone(r.Fonts), Media: maps.Clone(r.Media),
		spaces: maps.Clone(r.spaces), params: maps.Clone(r.params), composites: maps.Clone(r.composites),
	}
}

// composite is a CT_VectorG, kept as XML until an object places it.
type composite struct{ content *xmltree.Node }

// drawParam is a CT_DrawParam, or what an object states of it; nil is unstated.
type drawParam struct {
	relative             ID
	width, miter, offset *float64
	cap, join            string
	dash                 []float64
	fill, stroke         *Color
}

// read adds what the resource part (Res) from holds.
func (r *Resources) read(root *xmltree.Node, from string) error {
	base, _ := root.Attr("BaseLoc")
	// Colour spaces first: drawing parameters refer to them.
	for _, kind := range []struct {
		list, item string
		read       func(n *xmltree.Node, id ID, from, base string) error
	}{
		{"ColorSpaces", "ColorSpace", r.addColorSpace},
		{"DrawParams", "DrawParam", r.addDrawParam},
		{"Fonts", "Font", r.addFont},
		{"MultiMedias", "MultiMedia", r.addMedia},
		{"CompositeGraphicUnits", "CompositeGraphicUnit", r.addComposite},
	} {
		for _, list := range root.Children(kind.list) {
			for _, n := range list.Children(kind.item) {
				id, err := idAttr(n, "ID")
				if err != nil {
					return fmt.Errorf("%s: %w", from, err)
				}
				if err := kind.read(n, id, from, base); err != nil {
					return fmt.Errorf("%s: %s %d: %w", from, kind.item, id, err)
				}
			}
		}
	}
	return nil
}

func (r *Resources) addColorSpace(n *xmltree.Node, id ID, _, _ string) error {
	s, err := readColorSpace(n)
	r.spaces[id] = s
	return err
}

func (r *Resources) addDrawParam(n *xmltree.Node, id ID, _, _ string) error {
	d, err := r.readDrawParam(n)
	r.params[id] = d
	return err
}

func (r *Resources) addFont(n *xmltree.Node, id ID, from, base string) (err error) {
	f := &Font{ID: id}
	f.Name, _ = n.Attr("FontName")
	f.Family, _ = n.Attr("FamilyName")
	f.Charset, _ = n.Attr("Charset")
	for name, to := range map[string]*bool{"Bold": &f.Bold, "Italic": &f.Italic, "Serif": &f.Serif, "FixedWidth": &f.FixedWidth} {
		if *to, err = boolean(n, name, false); err != nil {
			return err
		}
	}
	f.Path, err = within(n, "FontFile", from, base)
	r.Fonts[id] = f
	return err
}

func (r *Resources) addMedia(n *xmltree.Node, id ID, from, base string) (err error) {
	m := &Media{ID: id}
	m.Type, _ = n.Attr("Type")
	m.Format, _ = n.Attr("Format")
	m.Path, err = within(n, "MediaFile", from, base)
	r.Media[id] = m
	return err
}

// within is location for a file in a resource part's base folder.
func within(n *xmltree.Node, name, from, base string) (string, error) {
	loc, err := text(n, name)
	if err != nil || loc == "" {
		return "", err
	}
	return resolve(from, base, loc)
}

func (r *Resources) addComposite(n *xmltree.Node, id ID, _, _ string) error {
	content, err := only(n, "Content")
	if content != nil {
		r.composites[id] = &composite{content: content}
	}
	return err
}

// readDrawParam reads what a DrawParam or a graphic object states about drawing.
func (r *Resources) readDrawParam(n *xmltree.Node) (*drawParam, error) {
	d := &drawParam{}
	var err error
	if d.relative, err = idAttr(n, "Relative"); err != nil {
		return nil, err
	}
	for name, to := range map[string]**float64{"LineWidth": &d.width, "MiterLimit": &d.miter, "DashOffset": &d.offset} {
		if _, stated := n.Attr(name); !stated {
			continue
		}
		f, err := number(n, name, 0)
		if err != nil {
			return nil, err
		}
		*to = &f
	}
	d.cap, _ = n.Attr("Cap")
	d.join, _ = n.Attr("Join")
	if s, ok := n.Attr("DashPattern"); ok {
		if d.dash, err = numbers(s); err != nil {
			return nil, err
		}
		if len(d.dash) > maxDashes {
			return nil, fmt.Errorf("%w: %d dashes", ErrLimit, len(d.dash))
		}
	}
	for name, to := range map[string]**Color{"FillColor": &d.fill, "StrokeColor": &d.stroke} {
		if c := n.Child(name); c != nil {
			if *to, err = r.readColor(c); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

const (
	maxDashes = 64
	// maxRelatives is how many drawing parameters build upon each other.
	maxRelatives = 8
)

// style is what an object is drawn with.
type style struct {
	fill, stroke *Color
	pen          Pen
}

// newStyle holds the defaults of GB/T 33190.
func newStyle() style {
	return style{pen: Pen{Width: 0.353, Cap: "Butt", Join: "Miter", MiterLimit: 3.528}}
}

// apply works a drawing parameter into s, after those that it builds upon.
func (r *Resources) apply(s *style, d *drawParam, depth int) {
	if d == nil {
		return
	}
	if d.relative != 0 && depth < maxRelatives {
		r.apply(s, r.params[d.relative], depth+1)
	}
	if d.width != nil {
		s.pen.Width = *d.width
	}
	if d.miter != nil {
		s.pen.MiterLimit = *d.miter
	}
	if d.offset != nil {
		s.pen.DashOffset = *d.offset
	}
	s.pen.Cap, s.pen.Join = cmp.Or(d.cap, s.pen.Cap), cmp.Or(d.join, s.pen.Join)
	if d.dash != nil {
		s.pen.Dash = d.dash
	}
	if d.fill != nil {
		s.fill = d.fill
	}
	if d.stroke != nil {
		s.stroke = d.stroke
	}
}
