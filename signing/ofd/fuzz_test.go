package ofd_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ses"
)

// document is a file with a content of its own on its one page.
func document(tb testing.TB, content string) []byte {
	tb.Helper()
	b := &box{data: map[string][]byte{}}
	part := func(name, root, text string) {
		b.put(name, []byte(`<ofd:`+root+` xmlns:ofd="`+ofd.Namespace+`">`+text+`</ofd:`+root+`>`))
	}
	part("OFD.xml", "OFD", `<ofd:DocBody><ofd:DocRoot>D/Document.xml</ofd:DocRoot></ofd:DocBody>`)
	part("D/Document.xml", "Document", `<ofd:CommonData><ofd:PublicRes>Res.xml</ofd:PublicRes><ofd:TemplatePage ID="90" BaseLoc="T.xml"/></ofd:CommonData>`+
		`<ofd:Pages><ofd:Page ID="1" BaseLoc="P.xml"/></ofd:Pages><ofd:Annotations>A.xml</ofd:Annotations>`)
	part("D/Res.xml", "Res", `<ofd:ColorSpaces><ofd:ColorSpace ID="10" Type="CMYK"><ofd:Palette><ofd:CV>0 0 0 255</ofd:CV></ofd:Palette></ofd:ColorSpace></ofd:ColorSpaces>`+
		`<ofd:DrawParams><ofd:DrawParam ID="11" LineWidth="2" Join="Round"/><ofd:DrawParam ID="12" Relative="11" Cap="Square"><ofd:StrokeColor Value="#ff 0 #10"/></ofd:DrawParam></ofd:DrawParams>`+
		`<ofd:Fonts><ofd:Font ID="13" FontName="宋体" Bold="true"/></ofd:Fonts><ofd:MultiMedias><ofd:MultiMedia ID="14" Type="Image"><ofd:MediaFile>x.png</ofd:MediaFile></ofd:MultiMedia></ofd:MultiMedias>`+
		`<ofd:CompositeGraphicUnits><ofd:CompositeGraphicUnit ID="15" Width="1" Height="1"><ofd:Content><ofd:PathObject ID="16" Boundary="0 0 1 1"><ofd:AbbreviatedData>S 0 0 L 1 1 C</ofd:AbbreviatedData></ofd:PathObject></ofd:Content></ofd:CompositeGraphicUnit>`+
		`<ofd:CompositeGraphicUnit ID="17"><ofd:Content>`+strings.Repeat(`<ofd:CompositeObject ID="18" Boundary="0 0 1 1" ResourceID="17"/>`, 20)+`</ofd:Content></ofd:CompositeGraphicUnit></ofd:CompositeGraphicUnits>`)
	part("D/T.xml", "Page", `<ofd:Content><ofd:Layer Type="Background"><ofd:TextObject ID="91" Boundary="0 0 9 9" Font="13" Size="3"><ofd:TextCode X="0" Y="3" DeltaX="g 2 3">模板页</ofd:TextCode></ofd:TextObject></ofd:Layer></ofd:Content>`)
	part("D/A.xml", "Annotations", `<ofd:Page PageID="1"><ofd:FileLoc>Annot.xml</ofd:FileLoc></ofd:Page>`)
	part("D/Annot.xml", "PageAnnot", `<ofd:Annot ID="95" Type="Watermark"><ofd:Appearance Boundary="1 2 3 4"><ofd:PathObject ID="96" Boundary="0 0 1 1"/></ofd:Appearance></ofd:Annot>`)
	part("D/P.xml", "Page", content)
	return b.pack(tb)
}

func readPage(tb testing.TB, content string) (*ofd.Page, error) {
	tb.Helper()
	p, err := ofd.Open(document(tb, content))
	if err != nil {
		tb.Fatal(err)
	}
	return p.Page(0)
}

const everything = `<ofd:Template TemplateID="90"/><ofd:Content><ofd:Layer ID="2" DrawParam="12">` +
	`<ofd:TextObject ID="3" Boundary="1 2 3 4" Font="13" Size="5" Weight="700" Alpha="51"><ofd:FillColor ColorSpace="10" Index="0"/><ofd:CGTransform CodePosition="1" CodeCount="2" GlyphCount="1"><ofd:Glyphs>77</ofd:Glyphs></ofd:CGTransform>` +
	`<ofd:TextCode X="1" Y="2" DeltaX="g 2 3.5 1">一二三四</ofd:TextCode><ofd:TextCode Y="9">五</ofd:TextCode></ofd:TextObject>` +
	`<ofd:PathObject ID="4" Boundary="0 0 9 9" Fill="true" Rule="Even-Odd" CTM="1 0 0 1 2 3"><ofd:FillColor><ofd:AxialShd><ofd:Segment><ofd:Color Value="1 2 3"/></ofd:Segment></ofd:AxialShd></ofd:FillColor>` +
	`<ofd:Clips><ofd:Clip><ofd:Area><ofd:Path Boundary="0 0 5 5"><ofd:AbbreviatedData>M 0 0 L 5 0 L 5 5 C</ofd:AbbreviatedData></ofd:Path></ofd:Area></ofd:Clip></ofd:Clips><ofd:AbbreviatedData>M 0 0 Q 1 1 2 2 A 1 1 0 0 1 4 4</ofd:AbbreviatedData></ofd:PathObject>` +
	`<ofd:PageBlock ID="5"><ofd:ImageObject ID="6" Boundary="0 0 1 1" ResourceID="14"/></ofd:PageBlock><ofd:CompositeObject ID="7" Boundary="0 0 1 1" ResourceID="15"/></ofd:Layer></ofd:Content>`

func TestPageReadsAllKindsOfObjects(t *testing.T) {
	page, err := readPage(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Layers) != 2 || page.Layers[0].Type != "Background" || len(page.Annotations) != 1 || page.Annotations[0].Box != (ofd.Box{X: 1, Y: 2, Width: 3, Height: 4}) {
		t.Fatalf("%+v", page)
	}
	template := page.Layers[0].Objects[0].(*ofd.Text)
	if template.Runs[0].Text != "模板页" || !slices.Equal(template.Runs[0].DeltaX, []float64{3, 3}) {
		t.Errorf("template: %+v", template)
	}
	objects := page.Layers[1].Objects
	text := objects[0].(*ofd.Text)
	first, second := text.Runs[0], text.Runs[1]
	if !text.Bold || text.Alpha != 0.2 || *text.Fill != (ofd.Color{Alpha: 255}) || !slices.Equal(first.DeltaX, []float64{3.5, 3.5, 1}) || second.X != 1 || second.Y != 9 {
		t.Errorf("text: %+v", text)
	}
	if len(first.Glyphs) != 1 || first.Glyphs[0].Position != 1 || first.Glyphs[0].Count != 2 || first.Glyphs[0].Glyphs[0] != 77 || len(second.Glyphs) != 0 {
		t.Errorf("glyphs: %+v", text.Runs)
	}
	path := objects[1].(*ofd.Path)
	if *path.Fill != (ofd.Color{R: 1, G: 2, B: 3, Alpha: 255, Shading: "AxialShd"}) || *path.Stroke != (ofd.Color{R: 255, B: 16, Alpha: 255}) || !path.EvenOdd ||
		path.Pen.Width != 2 || path.Pen.Join != "Round" || path.Pen.Cap != "Square" || path.CTM[4] != 2 || len(path.Segments) != 3 || len(path.Clips[0][0].Segments) != 4 {
		t.Errorf("path: %+v", path)
	}
	if image := objects[2].(*ofd.Group).Objects[0].(*ofd.Image); page.Resources.Media[image.Media].Path != "D/x.png" {
		t.Errorf("image: %+v", image)
	}
	if unit := objects[3].(*ofd.Group); unit.Objects[0].(*ofd.Path).Segments[0].Op != 'M' {
		t.Errorf("composite: %+v", unit)
	}
}

func TestPageRefuses(t *testing.T) {
	object := func(s string) string { return `<ofd:Content><ofd:Layer>` + s + `</ofd:Layer></ofd:Content>` }
	text := func(s string) string {
		return object(`<ofd:TextObject ID="3" Boundary="0 0 1 1"><ofd:TextCode ` + s + `>字字</ofd:TextCode></ofd:TextObject>`)
	}
	for name, c := range map[string]struct {
		content string
		want    error
	}{
		"no boundary":         {object(`<ofd:PathObject ID="3"/>`), ofd.ErrDocument},
		"not a number":        {object(`<ofd:PathObject ID="3" Boundary="0 0 1 NaN"/>`), ofd.ErrDocument},
		"infinite":            {object(`<ofd:PathObject ID="3" Boundary="0 0 1 1e999"/>`), ofd.ErrDocument},
		"hexadecimal":         {object(`<ofd:PathObject ID="3" Boundary="0 0 1 0x1p2"/>`), ofd.ErrDocument},
		"ID 0":                {object(`<ofd:PathObject ID="0" Boundary="0 0 1 1"/>`), ofd.ErrDocument},
		"short CTM":           {object(`<ofd:PathObject ID="3" Boundary="0 0 1 1" CTM="1 0 0 1"/>`), ofd.ErrDocument},
		"path command":        {object(`<ofd:PathObject ID="3" Boundary="0 0 1 1"><ofd:AbbreviatedData>M 0 0 Z</ofd:AbbreviatedData></ofd:PathObject>`), ofd.ErrDocument},
		"path cut":            {object(`<ofd:PathObject ID="3" Boundary="0 0 1 1"><ofd:AbbreviatedData>M 0</ofd:AbbreviatedData></ofd:PathObject>`), ofd.ErrDocument},
		"colour":              {object(`<ofd:PathObject ID="3" Boundary="0 0 1 1"><ofd:StrokeColor Value="red"/></ofd:PathObject>`), ofd.ErrDocument},
		"boolean":             {object(`<ofd:PathObject ID="3" Boundary="0 0 1 1" Fill="yes"/>`), ofd.ErrDocument},
		"distances":           {text(`DeltaX="g 2"`), ofd.ErrDocument},
		"negative repetition": {text(`DeltaX="g -2 1"`), ofd.ErrDocument},
		"two contents":        {`<ofd:Content/><ofd:Content/>`, ofd.ErrDocument},
		"entity":              {`&x;`, ofd.ErrXML},
		"composite in itself": {object(`<ofd:CompositeObject ID="3" Boundary="0 0 1 1" ResourceID="17"/>`), ofd.ErrLimit},
		"nested blocks":       {object(strings.Repeat(`<ofd:PageBlock>`, 20) + strings.Repeat(`</ofd:PageBlock>`, 20)), ofd.ErrLimit},
		"nested elements":     {strings.Repeat(`<ofd:PageBlock>`, 70) + strings.Repeat(`</ofd:PageBlock>`, 70), ofd.ErrLimit},
	} {
		if page, err := readPage(t, c.content); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, page, err)
		}
	}
	// A repetition far beyond the text costs nothing.
	page, err := readPage(t, text(`DeltaX="g 2000000000 1"`))
	if err != nil || len(page.Layers[0].Objects[0].(*ofd.Text).Runs[0].DeltaX) != 1 {
		t.Errorf("long distances: %v", err)
	}
}

// TestPlacesBelowZeroAreRead: producers write sizes below 0, and where the object is does not depend on them.
func TestPlacesBelowZeroAreRead(t *testing.T) {
	page, err := readPage(t, `<ofd:Content><ofd:Layer><ofd:PathObject ID="3" Boundary="90 58 -3 5"><ofd:Clips><ofd:Clip><ofd:Area><ofd:Path Boundary="1 2 -3 -4"/></ofd:Area></ofd:Clip></ofd:Clips></ofd:PathObject></ofd:Layer></ofd:Content>`)
	if err != nil {
		t.Fatal(err)
	}
	path := page.Layers[0].Objects[0].(*ofd.Path)
	if path.Boundary.X != 90 || path.Boundary.Y != 58 || path.Clips[0][0].Boundary.Y != 2 || len(page.Notes) != 0 {
		t.Errorf("%+v, %v", path, page.Notes)
	}
}

// TestColoursNotStatedAreTheStandards holds the defaults of GB/T 33190: a path is filled with nothing and
// stroked in black, a text is filled in black and stroked with nothing.
func TestColoursNotStatedAreTheStandards(t *testing.T) {
	page, err := readPage(t, `<ofd:Content><ofd:Layer><ofd:PathObject ID="3" Boundary="0 0 1 1" Fill="true"/>`+
		`<ofd:PathObject ID="4" Boundary="0 0 1 1"/><ofd:TextObject ID="5" Boundary="0 0 1 1" Stroke="true"/></ofd:Layer></ofd:Content>`)
	if err != nil {
		t.Fatal(err)
	}
	black := ofd.Color{Alpha: 255}
	objects := page.Layers[0].Objects
	for i, g := range []*ofd.Graphic{&objects[0].(*ofd.Path).Graphic, &objects[1].(*ofd.Path).Graphic} {
		if g.Fill != nil || g.Stroke == nil || *g.Stroke != black {
			t.Errorf("path %d: fill %v, stroke %v", i, g.Fill, g.Stroke)
		}
	}
	if g := objects[2].(*ofd.Text).Graphic; g.Fill == nil || *g.Fill != black || g.Stroke != nil {
		t.Errorf("text: fill %v, stroke %v", g.Fill, g.Stroke)
	}
}

// TestWhatThePageLeavesOutIsNoted: nothing is omitted in silence, and what is left out stops nothing else.
func TestWhatThePageLeavesOutIsNoted(t *testing.T) {
	layer := func(s string) string { return `<ofd:Content><ofd:Layer>` + s + `</ofd:Layer></ofd:Content>` }
	for name, c := range map[string]struct {
		content string
		want    ofd.Note
	}{
		"composite":      {layer(`<ofd:CompositeObject ID="3" Boundary="0 0 1 1" ResourceID="99"/>`), ofd.Note{Code: ofd.NoteCompositeMissing, Object: 3, Subject: "99"}},
		"template":       {`<ofd:Template TemplateID="99"/>`, ofd.Note{Code: ofd.NoteTemplateMissing, Subject: "99"}},
		"page resources": {`<ofd:PageRes>R.xml</ofd:PageRes>`, ofd.Note{Code: ofd.NotePartMissing, Subject: "D/R.xml"}},
		"object":         {layer(`<ofd:VideoObject ID="3" Boundary="0 0 1 1"/>`), ofd.Note{Code: ofd.NoteObjectUnknown, Object: 3, Subject: "VideoObject"}},
		"clip by text":   {layer(`<ofd:PathObject ID="3" Boundary="0 0 1 1"><ofd:Clips><ofd:Clip><ofd:Area><ofd:Text ID="4"/></ofd:Area></ofd:Clip></ofd:Clips></ofd:PathObject>`), ofd.Note{Code: ofd.NoteClipText, Object: 3}},
		"mask":           {layer(`<ofd:ImageObject ID="3" Boundary="0 0 1 1" ResourceID="14" ImageMask="14"/>`), ofd.Note{Code: ofd.NoteImageMask, Object: 3}},
		"border":         {layer(`<ofd:ImageObject ID="3" Boundary="0 0 1 1" ResourceID="14"><ofd:Border/></ofd:ImageObject>`), ofd.Note{Code: ofd.NoteImageBorder, Object: 3}},
	} {
		page, err := readPage(t, c.content)
		if err != nil || !slices.Equal(page.Notes, []ofd.Note{c.want}) {
			t.Errorf("%s: %v, %v", name, page, err)
		}
	}
}

// TestMissingPartsAreNoted takes away parts that a page can be shown without.
func TestMissingPartsAreNoted(t *testing.T) {
	for _, part := range []string{"D/Res.xml", "D/A.xml", "D/Annot.xml", "D/T.xml"} {
		b := unpack(t, document(t, `<ofd:Template TemplateID="90"/><ofd:Content><ofd:Layer><ofd:PathObject ID="3" Boundary="0 0 1 1"/></ofd:Layer></ofd:Content>`))
		b.remove(part)
		p, err := ofd.Open(b.pack(t))
		if err != nil {
			t.Fatal(err)
		}
		page, err := p.Page(0)
		if err != nil || !slices.Equal(page.Notes, []ofd.Note{{Code: ofd.NotePartMissing, Subject: part}}) {
			t.Errorf("%s: %v, %v", part, page, err)
			continue
		}
		if layers := page.Layers; len(layers[len(layers)-1].Objects) != 1 {
			t.Errorf("%s: the rest of the page is gone too", part)
		}
	}
}

func TestDraftNamespaceIsRead(t *testing.T) {
	b := unpack(t, document(t, everything))
	for name, data := range b.data {
		b.put(name, []byte(strings.ReplaceAll(string(data), ofd.Namespace, "http://www.ofdspec.org")))
	}
	p, err := ofd.Open(b.pack(t))
	if err != nil {
		t.Fatal(err)
	}
	page, err := p.Page(0)
	if err != nil || len(page.Layers) != 2 || len(page.Layers[1].Objects) != 4 {
		t.Errorf("%+v, %v", page, err)
	}
	b.edit(t, "D/P.xml", "http://www.ofdspec.org", "http://www.ofdspec.org/2017")
	if p, err = ofd.Open(b.pack(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Page(0); !errors.Is(err, ofd.ErrDocument) {
		t.Errorf("another namespace: %v", err)
	}
}

func TestNotesAreBounded(t *testing.T) {
	var list []ofd.Note
	for i := range 1000 {
		list = ofd.AddNote(list, ofd.Note{Code: ofd.NoteImageMissing, Object: ofd.ID(i + 1)})
		list = ofd.AddNote(list, ofd.Note{Code: ofd.NoteImageMissing, Object: ofd.ID(i + 1)})
	}
	last := list[len(list)-1]
	if len(list) != 51 || last.Code != ofd.NoteMore {
		t.Fatalf("%d notes, the last %v", len(list), last)
	}
	for _, code := range ofd.NoteCodes() {
		if text := (ofd.Note{Code: code}).String(); text == "" || text == string(code) {
			t.Errorf("%s has no text", code)
		}
	}
	if n := ofd.AddNote(nil, ofd.Note{Code: ofd.NotePartMissing, Subject: "图\x1b[2J" + strings.Repeat("x", 500)})[0]; strings.ContainsRune(n.Subject, 0x1b) || len(n.Subject) > 120 {
		t.Errorf("subject %q", n.Subject)
	}
}

// FuzzPage reads pages of any content: nothing may panic, and what is read has
// finite numbers and no more distances than characters.
func FuzzPage(f *testing.F) {
	f.Add(everything)
	f.Add(`<ofd:Content><ofd:Layer><ofd:CompositeObject ID="3" Boundary="0 0 1 1" ResourceID="17"/></ofd:Layer></ofd:Content>`)
	f.Fuzz(func(t *testing.T, content string) {
		page, err := readPage(t, content)
		if err != nil {
			return
		}
		for _, layer := range page.Layers {
			for _, o := range layer.Objects {
				text, ok := o.(*ofd.Text)
				for i := 0; ok && i < len(text.Runs); i++ {
					if run := text.Runs[i]; len(run.DeltaX) >= max(1, len([]rune(run.Text))) {
						t.Fatalf("%d distances in %q", len(run.DeltaX), run.Text)
					}
				}
			}
		}
	})
}

// FuzzSignature puts any bytes in the place of a signature's three files. Valid
// is only what was signed.
func FuzzSignature(f *testing.F) {
	w := newWorld(f)
	good := unpack(f, w.seal(f, small(f, "印"), 0, nil))
	list, description, value := good.data[signatures], good.data[sign0+"Signature.xml"], good.data[sign0+"SignedValue.dat"]
	f.Add(list, description, value)
	plain, err := ofd.Sign(small(f, "印"), ofd.SignSpec{Time: signedAt}, w.signers[0].key, w.signers[0].cert, nil)
	if err != nil {
		f.Fatal(err)
	}
	other := unpack(f, plain)
	f.Add(other.data[signatures], other.data[sign0+"Signature.xml"], other.data[sign0+"SignedValue.dat"])
	f.Fuzz(func(t *testing.T, l, d, v []byte) {
		b := unpack(t, good.pack(t))
		b.put(signatures, l)
		b.put(sign0+"Signature.xml", d)
		b.put(sign0+"SignedValue.dat", v)
		r := w.verify(t, b.pack(t))
		if r.Verdict == ofd.Valid && (string(d) != string(description) || string(v) != string(value)) {
			t.Fatalf("valid: %q", d)
		}
		if r.Verdict != ofd.Invalid && r.Signed != (r.Verdict == ofd.Valid) {
			t.Fatalf("%+v", r)
		}
		if r.Verdict == ofd.Valid && len(steps(r, ses.Failed)) != 0 {
			t.Fatal("valid with a failed step")
		}
	})
}

// FuzzVerify verifies whole files.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	file := w.seal(f, small(f, "印"), 0, nil)
	f.Add(file)
	f.Add(small(f, "印"))
	f.Add(document(f, everything))
	f.Fuzz(func(t *testing.T, changed []byte) {
		r, err := ofd.Verify(changed, ofd.Options{Trust: w.trust, Now: signedAt})
		if err == nil && r.Verdict == ofd.Valid && !same(t, file, changed) {
			t.Fatal("another file is valid")
		}
	})
}
