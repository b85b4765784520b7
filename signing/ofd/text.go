package ofd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

func (r *pageReader) readText(n *xmltree.Node, base style) (*Text, error) {
	g, err := r.readGraphic(n, &base)
	if err != nil {
		return nil, err
	}
	t := &Text{Graphic: g}
	if t.Font, err = idAttr(n, "Font"); err != nil {
		return nil, err
	}
	var read, char, weight float64
	for name, v := range map[string]struct {
		to     *float64
		absent float64
	}{
		"Size": {&t.Size, 0}, "HScale": {&t.HScale, 1}, "ReadDirection": {&read, 0}, "CharDirection": {&char, 0}, "Weight": {&weight, 400},
	} {
		if *v.to, err = number(n, name, v.absent); err != nil {
			return nil, err
		}
	}
	t.ReadDirection, t.CharDirection, t.Bold = int(read), int(char), weight >= 600
	if t.Italic, err = boolean(n, "Italic", false); err != nil {
		return nil, err
	}
	stroke, err := boolean(n, "Stroke", false)
	if err != nil {
		return nil, err
	}
	fill, err := boolean(n, "Fill", true)
	if err != nil {
		return nil, err
	}
	t.Fill, t.Stroke = colored(fill, base.fill, opaqueBlack()), colored(stroke, base.stroke, nil)
	t.Runs, err = readRuns(n)
	return t, err
}

// readRuns reads the TextCodes. One that states no X or Y begins where the last
// one that did; a CGTransform belongs to the TextCode after it.
func readRuns(n *xmltree.Node) ([]Run, error) {
	var list []Run
	var x, y float64
	var glyphs []GlyphRun
	for _, child := range n.Nodes {
		switch child.Name {
		case "CGTransform":
			g, err := readGlyphRun(child)
			if err != nil {
				return nil, err
			}
			glyphs = append(glyphs, g)
		case "TextCode":
			run := Run{Text: child.Text}
			var err error
			if run.X, err = number(child, "X", x); err != nil {
				return nil, err
			}
			if run.Y, err = number(child, "Y", y); err != nil {
				return nil, err
			}
			x, y = run.X, run.Y
			characters := utf8.RuneCountInString(run.Text)
			for name, to := range map[string]*[]float64{"DeltaX": &run.DeltaX, "DeltaY": &run.DeltaY} {
				s, _ := child.Attr(name)
				if *to, err = parseDeltas(s, characters-1); err != nil {
					return nil, err
				}
			}
			list = append(list, run)
		}
	}
	// Positions count through the whole object (GB/T 33190 §11.4), so the
	// transformations are handed out by the runs' lengths.
	slices.SortStableFunc(glyphs, func(a, b GlyphRun) int { return a.Position - b.Position })
	start := 0
	for i := range list {
		end := start + utf8.RuneCountInString(list[i].Text)
		for len(glyphs) > 0 && glyphs[0].Position < end {
			g := glyphs[0]
			g.Position -= start
			list[i].Glyphs = append(list[i].Glyphs, g)
			glyphs = glyphs[1:]
		}
		start = end
	}
	return list, nil
}

func readGlyphRun(n *xmltree.Node) (GlyphRun, error) {
	g := GlyphRun{}
	position, err := number(n, "CodePosition", 0)
	if err != nil {
		return g, err
	}
	count, err := number(n, "CodeCount", 1)
	if err != nil {
		return g, err
	}
	if position < 0 || count < 1 {
		return g, fmt.Errorf("%w: glyphs for %g characters from %g", ErrDocument, count, position)
	}
	g.Position, g.Count = int(position), int(count)
	ids, err := text(n, "Glyphs")
	if err != nil {
		return g, err
	}
	for _, field := range strings.Fields(ids) {
		id, err := strconv.ParseUint(field, 10, 16)
		if err != nil {
			return g, fmt.Errorf("%w: the glyph %.20q", ErrDocument, field)
		}
		g.Glyphs = append(g.Glyphs, uint16(id))
	}
	return g, nil
}

// parseDeltas reads DeltaX or DeltaY: distances, where "g n d" stands for n times
// d. Those beyond most, which no character would use, are dropped.
func parseDeltas(s string, most int) ([]float64, error) {
	fields := strings.Fields(s)
	var list []float64
	for len(fields) > 0 {
		repeat, used := 1, 1
		if fields[0] == "g" {
			if len(fields) < 3 {
				return nil, fmt.Errorf("%w: the distances %.60q", ErrDocument, s)
			}
			n, err := strconv.ParseUint(fields[1], 10, 31)
			if err != nil {
				return nil, fmt.Errorf("%w: %.20q equal distances", ErrDocument, fields[1])
			}
			repeat, used = int(n), 3
		}
		d, err := parseNumber(fields[used-1])
		if err != nil {
			return nil, err
		}
		for range min(repeat, most-len(list)) {
			list = append(list, d)
		}
		fields = fields[used:]
	}
	return list, nil
}
