package ofd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

const (
	// maxObjects is how many objects a page shows, those of composites counted
	// each time they are placed.
	maxObjects = 200_000
	// maxNesting is how deep groups nest.
	maxNesting = 16
	// maxWork bounds the XML read for one page in bytes, templates and composites
	// counted each time they are placed.
	maxWork = 64 << 20
)

// Page reads the i-th page, from 0, with its templates and annotations.
func (p *Package) Page(i int) (*Page, error) {
	d, err := p.Document()
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(d.Pages) {
		return nil, fmt.Errorf("%w: page %d of %d", ErrNotFound, i+1, len(d.Pages))
	}
	ref := d.Pages[i]
	page := &Page{ID: ref.ID, Resources: d.Resources.clone(), Notes: slices.Clone(d.Notes)}
	r := &pageReader{pkg: p, doc: d, page: page}
	root, err := r.parse(ref.Path)
	if err != nil {
		return nil, err
	}
	if page.Box, err = readArea(root.Child("Area"), d.Area); err != nil {
		return nil, fmt.Errorf("%s: %w", ref.Path, err)
	}
	var over []Layer
	for _, n := range root.Children("Template") {
		layers, foreground, err := r.template(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref.Path, err)
		}
		if foreground {
			over = append(over, layers...)
		} else {
			page.Layers = append(page.Layers, layers...)
		}
	}
	layers, err := r.layers(root, ref.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref.Path, err)
	}
	page.Layers = slices.Concat(page.Layers, layers, over)
	for _, file := range d.Annotations[ref.ID] {
		if err := r.annotations(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return page, nil
}

// pageReader reads one page's objects and counts what that costs.
type pageReader struct {
	pkg     *Package
	doc     *Document
	page    *Page
	objects int
	work    int
}

func (r *pageReader) note(code NoteCode, object ID, subject string) {
	r.page.Notes = AddNote(r.page.Notes, Note{Code: code, Object: object, Subject: subject})
}

// lacks is Document.lacks for a part of the page.
func (r *pageReader) lacks(err error, part string) bool {
	missing := errors.Is(err, ErrNotFound)
	if missing {
		r.note(NotePartMissing, 0, part)
	}
	return missing
}

func (r *pageReader) spend(n int) error {
	if r.work += n; r.work > maxWork {
		return fmt.Errorf("%w: the page's content comes to more than %d bytes", ErrLimit, maxWork)
	}
	return nil
}

// parse reads a part of the page.
func (r *pageReader) parse(file string) (*xmltree.Node, error) {
	data, err := r.pkg.Read(file)
	if err != nil {
		return nil, err
	}
	if err := r.spend(len(data)); err != nil {
		return nil, err
	}
	return parseXML(file, data)
}

// weight is about how many bytes of XML n has.
func weight(n *xmltree.Node) int {
	w := 16 + len(n.Text)
	for i := range n.Attrs {
		w += 8 + len(n.Attrs[i].Value)
	}
	for _, child := range n.Nodes {
		w += weight(child)
	}
	return w
}

func (r *pageReader) template(n *xmltree.Node) (layers []Layer, foreground bool, err error) {
	id, err := idAttr(n, "TemplateID")
	if err != nil {
		return nil, false, err
	}
	ref, ok := r.doc.Templates[id]
	if !ok {
		r.note(NoteTemplateMissing, 0, id.String())
		return nil, false, nil
	}
	zOrder, stated := n.Attr("ZOrder")
	if !stated {
		zOrder = ref.ZOrder
	}
	root, err := r.parse(ref.Path)
	if r.lacks(err, ref.Path) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	layers, err = r.layers(root, ref.Path)
	return layers, zOrder == "Foreground", err
}

// layers reads a page's or template's layers, lowest first.
func (r *pageReader) layers(root *xmltree.Node, file string) ([]Layer, error) {
	for _, n := range root.Children("PageRes") {
		part, err := resolve(file, "", n.Text)
		if err != nil {
			return nil, err
		}
		res, err := r.parse(part)
		if r.lacks(err, part) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := r.page.Resources.read(res, part); err != nil {
			return nil, err
		}
	}
	content, err := only(root, "Content")
	if err != nil || content == nil {
		return nil, err
	}
	var list []Layer
	for _, n := range content.Children("Layer") {
		layer := Layer{}
		if layer.Type, _ = n.Attr("Type"); layer.Type == "" {
			layer.Type = "Body"
		}
		id, err := idAttr(n, "DrawParam")
		if err != nil {
			return nil, err
		}
		base := newStyle()
		r.page.Resources.apply(&base, r.page.Resources.params[id], 0)
		if layer.Objects, err = r.readObjects(n, base, 0); err != nil {
			return nil, err
		}
		list = append(list, layer)
	}
	height := map[string]int{"Background": -1, "Foreground": 1}
	slices.SortStableFunc(list, func(a, b Layer) int { return height[a.Type] - height[b.Type] })
	return list, nil
}

func (r *pageReader) annotations(file string) error {
	root, err := r.parse(file)
	if r.lacks(err, file) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range root.Children("Annot") {
		a := Annotation{Visible: true}
		a.Type, _ = n.Attr("Type")
		if a.Visible, err = boolean(n, "Visible", true); err != nil {
			return err
		}
		appearance, err := only(n, "Appearance")
		if err != nil {
			return err
		}
		if appearance == nil {
			continue
		}
		if s, ok := appearance.Attr("Boundary"); ok {
			if a.Box, err = parsePlace(s); err != nil {
				return err
			}
		}
		if a.Objects, err = r.readObjects(appearance, newStyle(), 0); err != nil {
			return err
		}
		r.page.Annotations = append(r.page.Annotations, a)
	}
	return nil
}

// readObjects reads the objects directly within n; elements of other kinds are passed over.
func (r *pageReader) readObjects(n *xmltree.Node, base style, depth int) ([]Object, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: groups are nested deeper than %d", ErrLimit, maxNesting)
	}
	var list []Object
	for _, child := range n.Nodes {
		if child.Space != n.Space {
			continue
		}
		if r.objects++; r.objects > maxObjects {
			return nil, fmt.Errorf("%w: more than %d objects on a page", ErrLimit, maxObjects)
		}
		object, err := r.readObject(child, base, depth)
		if err != nil {
			id, _ := child.Attr("ID")
			return nil, fmt.Errorf("%s %.20s: %w", child.Name, id, err)
		}
		if object != nil {
			list = append(list, object)
		}
	}
	return list, nil
}

func (r *pageReader) readObject(n *xmltree.Node, base style, depth int) (Object, error) {
	switch n.Name {
	case "TextObject":
		return r.readText(n, base)
	case "PathObject":
		return r.readPath(n, base)
	case "ImageObject":
		g, err := r.readGraphic(n, &base)
		if err != nil {
			return nil, err
		}
		if mask, ok := n.Attr("ImageMask"); ok && mask != "" {
			r.note(NoteImageMask, g.ID, "")
		}
		if n.Child("Border") != nil {
			r.note(NoteImageBorder, g.ID, "")
		}
		media, err := idAttr(n, "ResourceID")
		return &Image{Graphic: g, Media: media}, err
	case "PageBlock":
		objects, err := r.readObjects(n, base, depth+1)
		return &Group{Graphic: Graphic{CTM: Identity(), Visible: true, Alpha: 1}, Objects: objects}, err
	case "CompositeObject":
		return r.readComposite(n, base, depth)
	}
	id, _ := idAttr(n, "ID")
	r.note(NoteObjectUnknown, id, n.Name)
	return nil, nil //nolint:nilnil // an element that is not an object
}

func (r *pageReader) readComposite(n *xmltree.Node, base style, depth int) (Object, error) {
	g, err := r.readGraphic(n, &base)
	if err != nil {
		return nil, err
	}
	id, err := idAttr(n, "ResourceID")
	if err != nil {
		return nil, err
	}
	unit := r.page.Resources.composites[id]
	if unit == nil {
		r.note(NoteCompositeMissing, g.ID, id.String())
		return nil, nil //nolint:nilnil // noted instead
	}
	// The unit may stand in many places, or within itself.
	if err := r.spend(weight(unit.content)); err != nil {
		return nil, err
	}
	objects, err := r.readObjects(unit.content, base, depth+1)
	return &Group{Graphic: g, Objects: objects}, err
}

// readGraphic reads what all objects share and works their drawing parameters into base.
func (r *pageReader) readGraphic(n *xmltree.Node, base *style) (g Graphic, err error) {
	g.CTM = Identity()
	if g.ID, err = idAttr(n, "ID"); err != nil {
		return g, err
	}
	boundary, _ := n.Attr("Boundary")
	if g.Boundary, err = parsePlace(boundary); err != nil {
		return g, err
	}
	if g.CTM, err = readMatrix(n); err != nil {
		return g, err
	}
	if g.Visible, err = boolean(n, "Visible", true); err != nil {
		return g, err
	}
	alpha, err := number(n, "Alpha", 255)
	if err != nil {
		return g, err
	}
	g.Alpha = min(max(alpha/255, 0), 1)
	id, err := idAttr(n, "DrawParam")
	if err != nil {
		return g, err
	}
	own, err := r.page.Resources.readDrawParam(n)
	if err != nil {
		return g, err
	}
	r.page.Resources.apply(base, r.page.Resources.params[id], 0)
	r.page.Resources.apply(base, own, 0)
	g.Pen = base.pen
	g.Clips, err = r.readClips(n, g.ID)
	return g, err
}

func readMatrix(n *xmltree.Node) (Matrix, error) {
	s, ok := n.Attr("CTM")
	if !ok {
		return Identity(), nil
	}
	v, err := numbers(s)
	if err != nil || len(v) != 6 {
		return Matrix{}, fmt.Errorf("%w: the CTM %.80q", ErrDocument, s)
	}
	return Matrix(v), nil
}

// readClips reads the shapes of Clips; those made of text are left out, and noted.
func (r *pageReader) readClips(n *xmltree.Node, object ID) ([][]ClipArea, error) {
	clips := n.Child("Clips")
	if clips == nil {
		return nil, nil
	}
	var list [][]ClipArea
	for _, clip := range clips.Children("Clip") {
		areas := []ClipArea{}
		for _, area := range clip.Children("Area") {
			shape := area.Child("Path")
			if shape == nil {
				r.note(NoteClipText, object, "")
				continue
			}
			a := ClipArea{}
			var err error
			if a.CTM, err = readMatrix(area); err != nil {
				return nil, err
			}
			if s, ok := shape.Attr("Boundary"); ok {
				if a.Boundary, err = parsePlace(s); err != nil {
					return nil, err
				}
			}
			if a.EvenOdd, a.Segments, err = readShape(shape); err != nil {
				return nil, err
			}
			areas = append(areas, a)
		}
		if len(areas) > 0 {
			list = append(list, areas)
		}
	}
	return list, nil
}

// colored returns the colour if the object is painted at all. The default stands
// for one that is not stated: nil is transparent.
func colored(painted bool, stated, absent *Color) *Color {
	switch {
	case !painted:
		return nil
	case stated != nil:
		return stated
	}
	return absent
}

func opaqueBlack() *Color { return &Color{Alpha: 255} }

func (r *pageReader) readPath(n *xmltree.Node, base style) (*Path, error) {
	g, err := r.readGraphic(n, &base)
	if err != nil {
		return nil, err
	}
	stroke, err := boolean(n, "Stroke", true)
	if err != nil {
		return nil, err
	}
	fill, err := boolean(n, "Fill", false)
	if err != nil {
		return nil, err
	}
	// A path is stroked in black and filled with nothing unless it states a
	// colour; with text it is the other way round (GB/T 33190 9.1, 11.2).
	g.Fill, g.Stroke = colored(fill, base.fill, nil), colored(stroke, base.stroke, opaqueBlack())
	path := &Path{Graphic: g}
	path.EvenOdd, path.Segments, err = readShape(n)
	return path, err
}

func readShape(n *xmltree.Node) (evenOdd bool, segments []Segment, err error) {
	rule, _ := n.Attr("Rule")
	data, err := text(n, "AbbreviatedData")
	if err != nil {
		return false, nil, err
	}
	segments, err = parsePath(data)
	return rule == "Even-Odd", segments, err
}

// parsePath reads AbbreviatedData. "S x y" starts a figure as "M x y" does.
func parsePath(data string) ([]Segment, error) {
	fields := strings.Fields(data)
	var list []Segment
	for len(fields) > 0 {
		segment := Segment{Op: fields[0][0]}
		if segment.Op == 'S' {
			segment.Op = 'M'
		}
		n := arguments(segment.Op)
		if len(fields[0]) != 1 || n < 0 || len(fields) < 1+n {
			return nil, fmt.Errorf("%w: the path command %.20q", ErrDocument, fields[0])
		}
		for i, field := range fields[1 : 1+n] {
			f, err := parseNumber(field)
			if err != nil {
				return nil, err
			}
			segment.Args[i] = f
		}
		list = append(list, segment)
		fields = fields[1+n:]
	}
	return list, nil
}

// arguments is how many numbers follow a path command, -1 if there is no such command.
func arguments(op byte) int {
	switch op {
	case 'M', 'L':
		return 2
	case 'Q':
		return 4
	case 'B':
		return 6
	case 'A':
		return 7
	case 'C':
		return 0
	}
	return -1
}
