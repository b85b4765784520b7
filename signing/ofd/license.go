package ofd

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/signing/typeface"
)

// Field is a row of a licence's table.
type Field struct{ Name, Value string }

// License is what a licence page shows. The texts are printed as they are.
type License struct {
	// Title is the licence's name, e.g. 食品经营许可证.
	Title string
	// Number is the 证照标识 (GB/T 36904), which fills ZZBS too.
	Number string
	// IssuerName is the full name of the issuing department.
	IssuerName string
	// Fields are the rows of the table; a value may have several lines.
	Fields []Field
	// QR is the text of the QR code, empty for none.
	QR string
	// IssueDate and ValidUntil are as printed, e.g. 2026年11月22日; empty for none.
	IssueDate, ValidUntil string
	// CopyNote makes the page a 加注件: reason, maker and expiry of the copy,
	// printed across the page. Empty for the original.
	CopyNote string
	// Metadata goes into the file's custom data (GB/T 36903 short names) and is
	// not printed. ZZMC, ZZBS and ZZBFJG are filled in if they are not here.
	Metadata []CustomData
	// Created is when the page is made.
	Created time.Time
}

// The places on the page, in mm. The seal stands over the issuer's name and the
// date, as on paper.
const (
	pageWidth, pageHeight  = 210, 297
	frameMargin            = 12
	tableLeft, tableRight  = 24, 186
	nameWidth              = 46
	tableTop, tableBottom  = 78, 216
	issuerLeft, issuerEdge = 104, 186
	issuerTop              = 233
	codeTop                = 226
	sealX, sealY           = 145, 241
	codeSize               = 30
	maxFields              = 60
	maxCopyNote            = 200
)

// The inks of the page, 0xRRGGBB.
const (
	black = 0x1a1a1a
	gray  = 0x666666
	gold  = 0xb08a3e
	pale  = 0xf7f2e6
	red   = 0xa81e1e
)

func ink(rgb uint32) Color {
	return Color{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), Alpha: 255} //nolint:gosec // cuts out the bytes
}

// SealPlace returns where on a licence page a seal of that size stands.
func SealPlace(width, height float64) Stamp {
	return Stamp{Page: 0, Box: Box{sealX - width/2, sealY - height/2, width, height}}
}

// LicensePage lays a licence out on one page of A4. Rows shrink until the table
// fits; a table that does not fit in the smallest print is ErrDraft, and a
// character that the face lacks typeface.ErrMissingGlyph.
func LicensePage(l License, face *typeface.Face) (*Draft, error) {
	if l.Title == "" || l.Number == "" || l.IssuerName == "" || len(l.Fields) > maxFields || utf8.RuneCountInString(l.CopyNote) > maxCopyNote {
		return nil, fmt.Errorf("%w: a licence has a title, a number, an issuer, at most %d fields and %d characters of copy note", ErrDraft, maxFields, maxCopyNote)
	}
	p := &licensePage{face: face, draft: &Draft{
		Title: l.Title, Author: l.IssuerName, Created: l.Created, Custom: l.metadata(),
	}}
	p.frame()
	p.heading(l)
	p.table(l)
	p.issuer(l)
	if l.CopyNote != "" {
		p.copyNote(l.CopyNote)
	}
	p.code(l.QR)
	if p.err != nil {
		return nil, p.err
	}
	p.draft.Pages = []Sheet{{Box: Box{0, 0, pageWidth, pageHeight}, Layers: []Layer{
		{Type: "Background", Objects: p.under}, {Type: "Body", Objects: p.body}, {Type: "Foreground", Objects: p.over},
	}}}
	return p.draft, nil
}

func (l License) metadata() []CustomData {
	list := slices.Clone(l.Metadata)
	for _, d := range []CustomData{{"ZZMC", l.Title}, {"ZZBS", l.Number}, {"ZZBFJG", l.IssuerName}} {
		if !slices.ContainsFunc(list, func(c CustomData) bool { return c.Name == d.Name }) {
			list = append(list, d)
		}
	}
	return list
}

// licensePage keeps the first error, after which nothing more is laid out.
type licensePage struct {
	face              *typeface.Face
	draft             *Draft
	under, body, over []Object
	err               error
}

// text sets a text in the body and returns its height.
func (p *licensePage) text(s string, box Box, style TextStyle) float64 {
	if p.err != nil || s == "" {
		return 0
	}
	t, height, err := Typeset(p.face, s, box, style)
	if err != nil {
		p.err = err
		return 0
	}
	p.body = append(p.body, t)
	return height
}

// frame draws two lines around the page, with stepped corners.
func (p *licensePage) frame() {
	outer := Box{frameMargin, frameMargin, pageWidth - 2*frameMargin, pageHeight - 2*frameMargin}
	p.under = append(p.under, Lines(1.1, ink(gold), Rectangle(outer)...))
	const gap, step = 2.4, 7
	x1, y1, x2, y2 := outer.X+gap, outer.Y+gap, outer.X+outer.Width-gap, outer.Y+outer.Height-gap
	inner := []Segment{
		at('M', x1+step, y1), at('L', x2-step, y1), at('L', x2-step, y1+step), at('L', x2, y1+step),
		at('L', x2, y2-step), at('L', x2-step, y2-step), at('L', x2-step, y2), at('L', x1+step, y2),
		at('L', x1+step, y2-step), at('L', x1, y2-step), at('L', x1, y1+step), at('L', x1+step, y1+step),
		{Op: 'C'},
	}
	p.under = append(p.under, Lines(0.35, ink(gold), inner...))
	for _, c := range [][2]float64{{x1, y1}, {x2 - step, y1}, {x1, y2 - step}, {x2 - step, y2 - step}} {
		const inset = 1.3
		box := Box{c[0] + inset, c[1] + inset, step - 2*inset, step - 2*inset}
		p.under = append(p.under, Lines(0.35, ink(gold), Rectangle(box)...))
		x, y, r := box.X+box.Width/2, box.Y+box.Height/2, 1.3
		p.under = append(p.under, Area(ink(gold), at('M', x, y-r), at('L', x+r, y), at('L', x, y+r), at('L', x-r, y), Segment{Op: 'C'}))
	}
}

func (p *licensePage) heading(l License) {
	width := float64(tableRight - tableLeft)
	// One line of large, spaced characters; a long title is set smaller.
	size := min(15, width/(1.3*float64(utf8.RuneCountInString(l.Title))))
	size = max(size, 7)
	spacing := 0.0
	if n := utf8.RuneCountInString(l.Title); n < 10 {
		spacing = size * 0.22
	}
	const middle = 47
	t, height, err := Typeset(p.face, l.Title, Box{tableLeft, 0, width, 0}, TextStyle{
		Size: size, Leading: size * 1.3, Spacing: spacing, Align: Center, Color: ink(red),
	})
	if err != nil {
		p.err = err
		return
	}
	t.Boundary.Y = middle - height/2
	p.body = append(p.body, t)
	p.text("证照标识："+l.Number, Box{tableLeft, 64, width, 8}, TextStyle{Size: 3.1, Leading: 4.6, Align: Center, Color: ink(gray)})
	p.body = append(p.body, Area(ink(gold), Rectangle(Box{tableLeft + 52, 61.2, width - 104, 0.4})...))
}

// table draws the fields in the largest print that fits.
func (p *licensePage) table(l License) {
	fields := l.Fields
	if l.ValidUntil != "" {
		fields = append(slices.Clone(fields), Field{"有效期至", l.ValidUntil})
	}
	if p.err != nil || len(fields) == 0 {
		return
	}
	for _, size := range []float64{4.6, 4.1, 3.6, 3.2, 2.8, 2.4} {
		rows, height, err := p.rows(fields, size)
		if err != nil {
			p.err = err
			return
		}
		if height <= tableBottom-tableTop {
			p.body = append(p.body, rows...)
			return
		}
	}
	p.err = fmt.Errorf("%w: the fields need more than one page; shorten their values", ErrDraft)
}

// rows sets all rows and returns their height in all.
func (p *licensePage) rows(fields []Field, size float64) ([]Object, float64, error) {
	const padding = 2.2
	style := TextStyle{Size: size, Leading: size * 1.45, Color: ink(black)}
	least := size*1.45 + 1.1*size
	var texts []Object
	edges := []float64{tableTop}
	y := float64(tableTop)
	for _, f := range fields {
		name, nameHeight, err := Typeset(p.face, strings.TrimSpace(f.Name), Box{tableLeft + padding, 0, nameWidth - 2*padding, 0}, style)
		if err != nil {
			return nil, 0, err
		}
		valueLeft := float64(tableLeft + nameWidth + padding)
		value, valueHeight, err := Typeset(p.face, strings.TrimSpace(f.Value), Box{valueLeft, 0, tableRight - padding - valueLeft, 0}, style)
		if err != nil {
			return nil, 0, err
		}
		row := max(least, nameHeight+size*0.8, valueHeight+size*0.8)
		for _, t := range []struct {
			text   *Text
			height float64
		}{{name, nameHeight}, {value, valueHeight}} {
			if t.text.Boundary.Y = y + (row-t.height)/2; len(t.text.Runs) > 0 {
				texts = append(texts, t.text)
			}
		}
		y += row
		edges = append(edges, y)
	}
	objects := []Object{Area(ink(pale), Rectangle(Box{tableLeft, tableTop, nameWidth, y - tableTop})...)}
	var rules []Segment
	for _, edge := range edges[1 : len(edges)-1] {
		rules = append(rules, Rule(tableLeft, edge, tableRight, edge)...)
	}
	rules = append(rules, Rule(tableLeft+nameWidth, tableTop, tableLeft+nameWidth, y)...)
	objects = append(objects, Lines(0.2, ink(gold), rules...))
	objects = append(objects, Lines(0.5, ink(gold), Rectangle(Box{tableLeft, tableTop, tableRight - tableLeft, y - tableTop})...))
	return append(objects, texts...), y - tableTop, nil
}

// code puts the QR code into the lower left corner, over a copy note, so that it
// can be scanned.
func (p *licensePage) code(s string) {
	if p.err != nil || s == "" {
		return
	}
	picture, err := QRCode(s)
	if err != nil {
		p.err = err
		return
	}
	p.draft.Pictures = append(p.draft.Pictures, picture)
	p.over = append(p.over, Show(len(p.draft.Pictures), Box{tableLeft + 4, codeTop, codeSize, codeSize}))
	p.text("扫码核验证照真伪和状态", Box{tableLeft - 6, codeTop + codeSize + 1, codeSize + 20, 5},
		TextStyle{Size: 2.8, Align: Center, Color: ink(gray)})
}

// issuer puts who and when into the lower right corner, under the seal.
func (p *licensePage) issuer(l License) {
	width := float64(issuerEdge - issuerLeft)
	// On one line if the name can be read so; the longest names take two.
	size := min(5, max(3.8, width/float64(utf8.RuneCountInString(l.IssuerName))))
	y := float64(issuerTop)
	y += p.text(l.IssuerName, Box{issuerLeft, y, width, 8}, TextStyle{Size: size, Leading: 7, Align: Center, Color: ink(black)})
	p.text(l.IssueDate, Box{issuerLeft, y + 2, width, 8}, TextStyle{Size: 4.6, Leading: 7, Align: Center, Color: ink(black)})
	p.text("本证照以电子文件为准，打印件请扫码核验", Box{tableLeft, 273, tableRight - tableLeft, 5},
		TextStyle{Size: 2.6, Align: Center, Color: ink(gray)})
}

// copyNote writes the note across the page, over everything, pale enough to
// read what is beneath.
func (p *licensePage) copyNote(note string) {
	const size, leading, length, degrees = 4.2, 6, 84, 30
	glyphs, err := p.face.Glyphs("加注件 " + strings.Join(strings.Fields(note), " "))
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("copy note: %w", err)
	}
	if p.err != nil {
		return
	}
	style := TextStyle{Size: size, Color: ink(red)}
	lines := breakLines(glyphs, length, style)
	// A line rises by half its length; the next row begins below it.
	step := max(62, length/2+leading*float64(len(lines)))
	for y := 128.0; y+leading*float64(len(lines)) < pageHeight-frameMargin; y += step {
		for _, x := range []float64{22, 104} {
			for i, line := range lines {
				t := &Text{Graphic: Graphic{CTM: Identity(), Visible: true, Alpha: 0.16, Fill: &style.Color}, Size: size, HScale: 1}
				t.Boundary.Width = lineWidth(line, style)
				t.Runs = []Run{newRun(line, t.Boundary.Width, 0, style)}
				offset := leading * float64(i)
				t.rotated(x+offset/2, y+offset, degrees)
				p.over = append(p.over, t)
			}
		}
	}
}
