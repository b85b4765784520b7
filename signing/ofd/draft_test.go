package ofd_test

import (
	"bytes"
	"errors"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/typeface"
)

// texts returns all texts of a page, a line each.
func texts(tb testing.TB, file []byte) []string {
	tb.Helper()
	p, err := ofd.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	page, err := p.Page(0)
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	for _, layer := range page.Layers {
		for _, o := range layer.Objects {
			if t, ok := o.(*ofd.Text); ok {
				for _, run := range t.Runs {
					list = append(list, run.Text)
				}
			}
		}
	}
	return list
}

func TestLicensePage(t *testing.T) {
	l := foodLicense()
	file := page(t, l)
	if !bytes.Equal(file, page(t, l)) {
		t.Error("the same licence gives other bytes")
	}
	all := strings.Join(texts(t, file), "")
	for _, want := range []string{l.Title, l.Number, l.IssuerName, l.IssueDate, l.ValidUntil} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	for _, f := range l.Fields {
		if !strings.Contains(all, strings.ReplaceAll(f.Value, "\n", "")) {
			t.Errorf("%q is not on the page", f.Value)
		}
	}
	p, err := ofd.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ZZMC": l.Title, "ZZBS": l.Number, "ZZBFJG": l.IssuerName, "ZZBH": "JY14302230012345"} {
		if got, ok := p.CustomData(name); !ok || got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	d, err := p.Document()
	if err != nil || d.Info.Title != l.Title || len(d.Info.DocID) != 32 || d.Info.Created.Format("20060102") != signedAt.Format("20060102") {
		t.Errorf("%+v, %v", d, err)
	}
	// The embedded font has what is printed, and little else.
	font, err := p.Read("Doc_0/Res/font.ttf")
	if err != nil {
		t.Fatal(err)
	}
	cut, err := typeface.Parse(font)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Glyphs(all); err != nil {
		t.Error(err)
	}
	if cut.Index('龘') != 0 {
		t.Error("the font has characters that nobody needs")
	}
	qrCode(t, p, l.QR)
}

// qrCode compares the picture with the code's modules.
func qrCode(t *testing.T, p *ofd.Package, want string) {
	t.Helper()
	data, err := p.Read("Doc_0/Res/image_0.png")
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(want, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	const quiet, scale = 4, 4
	if img.Bounds().Dx() != (code.Size+2*quiet)*scale {
		t.Fatalf("%d pixels for %d modules", img.Bounds().Dx(), code.Size)
	}
	for y := range code.Size {
		for x := range code.Size {
			r, _, _, _ := img.At((x+quiet)*scale+1, (y+quiet)*scale+1).RGBA()
			if (r == 0) != code.Black(x, y) {
				t.Fatalf("module %d, %d", x, y)
			}
		}
	}
}

func TestLicensePageRefusesWhatCannotBePrinted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *ofd.License)
		want   error
	}{
		"no title":        {func(l *ofd.License) { l.Title = "" }, ofd.ErrDraft},
		"no such glyph":   {func(l *ofd.License) { l.Fields[3].Value = "王\U00030000" }, typeface.ErrMissingGlyph},
		"control":         {func(l *ofd.License) { l.Fields[3].Value = "王\x07" }, typeface.ErrMissingGlyph},
		"note's glyph":    {func(l *ofd.License) { l.CopyNote = "\U00030000" }, typeface.ErrMissingGlyph},
		"metadata":        {func(l *ofd.License) { l.Metadata[0].Value = "\x00" }, ofd.ErrDraft},
		"metadata twice":  {func(l *ofd.License) { l.Metadata[0].Name = l.Metadata[1].Name }, ofd.ErrDraft},
		"too many fields": {func(l *ofd.License) { l.Fields = make([]ofd.Field, 61) }, ofd.ErrDraft},
		"too much text":   {func(l *ofd.License) { l.Fields[3].Value = strings.Repeat("王", 6000) }, ofd.ErrDraft},
		"QR code":         {func(l *ofd.License) { l.QR = strings.Repeat("x", 3000) }, ofd.ErrDraft},
		"long note":       {func(l *ofd.License) { l.CopyNote = strings.Repeat("用", 201) }, ofd.ErrDraft},
	} {
		l := foodLicense()
		c.change(&l)
		draft, err := ofd.LicensePage(l, face(t))
		if err == nil {
			_, err = draft.Write(face(t))
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "no such glyph" && !strings.Contains(err.Error(), "王") {
			t.Errorf("the error does not name the text: %v", err)
		}
	}
}

// A long value shrinks the table and stays whole; a copy is marked all over.
func TestLicensePageFitsLongTexts(t *testing.T) {
	l := foodLicense()
	l.Fields[6].Value = strings.Repeat("许可项目：餐饮服务；食品销售（依法须经批准的项目，经相关部门批准后方可开展经营活动）。", 24)
	l.Title = "湖南省株洲市攸县建设工程消防验收备案及临时占用道路许可证"
	l.CopyNote = "仅供办理“开办餐饮店”一件事使用，攸县政务服务大厅综合窗口 2026年11月22日制作，有效期至2026年12月22日"
	file := page(t, l)
	all := strings.Join(texts(t, file), "")
	for _, want := range []string{l.Title, l.Fields[6].Value, "加注件 仅供办理"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	p, err := ofd.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	page, err := p.Page(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range page.Layers {
		for _, o := range layer.Objects {
			if text, ok := o.(*ofd.Text); ok && layer.Type == "Body" {
				b := text.Boundary
				if b.X < 12 || b.X+b.Width > 198 || b.Y < 12 || b.Y+b.Height > 285 {
					t.Errorf("%q is not within the frame: %v", text.Runs[0].Text, b)
				}
			}
		}
	}
}

func TestTypesetBreaksLinesAsChineseDoes(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"一二三四五六七八九十", []string{"一二三四五六", "七八九十"}},
		{"一二三四五六，七八", []string{"一二三四五", "六，七八"}},
		{"一二三四五（六）七", []string{"一二三四五", "（六）七"}},
		{"统一 uniform 信用", []string{"统一", "uniform 信", "用"}},
		{"一\n\n二", []string{"一", "二"}},
		{"11430000006122244L43", []string{"11430000006", "122244L43"}},
		{"", nil},
	} {
		text, height, err := ofd.Typeset(face(t), c.text, ofd.Box{Width: 30.5}, ofd.TextStyle{Size: 5, Leading: 8})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, run := range text.Runs {
			got = append(got, run.Text)
			width := 0.0
			for _, d := range run.DeltaX {
				width += d
			}
			if width > 30.5 {
				t.Errorf("%q is %g mm wide", run.Text, width)
			}
		}
		if !slices.Equal(got, c.want) || height != 8*math.Max(1, float64(strings.Count(c.text, "\n")+1)) && len(got) == 1 {
			t.Errorf("%q: %q, %g mm", c.text, got, height)
		}
	}
	if _, _, err := ofd.Typeset(face(t), "一", ofd.Box{Width: 1}, ofd.TextStyle{Size: 5}); !errors.Is(err, ofd.ErrDraft) {
		t.Errorf("a box narrower than a character: %v", err)
	}
}

// What is written is read as it was meant.
func TestWrittenObjectsAreReadAgain(t *testing.T) {
	text, _, err := ofd.Typeset(face(t), "a<b>&\"印 章", ofd.Box{X: 10, Y: 20, Width: 100}, ofd.TextStyle{Size: 5, Spacing: 1, Align: ofd.Right, Color: ofd.Color{R: 1, G: 2, B: 3, Alpha: 4}})
	if err != nil {
		t.Fatal(err)
	}
	lines := ofd.Lines(0.5, ofd.Color{R: 255, Alpha: 255}, ofd.Rectangle(ofd.Box{X: 10, Y: 10, Width: 20, Height: 30})...)
	curve := ofd.Area(ofd.Color{B: 9, Alpha: 128}, ofd.Segment{Op: 'M'}, ofd.Segment{Op: 'B', Args: [7]float64{1, 2, 3, 4, 5, 6}}, ofd.Segment{Op: 'Q', Args: [7]float64{7, 8, 9, 10}}, ofd.Segment{Op: 'C'})
	curve.Alpha = 0.2
	code, err := ofd.QRCode("x")
	if err != nil {
		t.Fatal(err)
	}
	group := &ofd.Group{Objects: []ofd.Object{ofd.Show(1, ofd.Box{X: 1, Y: 2, Width: 30, Height: 40})}}
	draft := &ofd.Draft{
		DocID: strings.Repeat("0a", 16), Title: "t & <t>", Created: signedAt, Pictures: []ofd.Picture{code},
		Custom:      []ofd.CustomData{{Name: "KZ_备注", Value: "一 < \"二\""}},
		Attachments: []ofd.File{{Name: "说明.txt", Data: []byte("附件")}},
		Pages: []ofd.Sheet{{
			Box: ofd.Box{Width: 100, Height: 200}, Layers: []ofd.Layer{{Type: "Body", Objects: []ofd.Object{text, lines, curve, group}}},
		}},
	}
	file, err := draft.Write(face(t))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ofd.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Document()
	if err != nil {
		t.Fatal(err)
	}
	if d.Info.DocID != draft.DocID || d.Info.Title != draft.Title || !slices.Equal(d.Info.Custom, draft.Custom) {
		t.Errorf("%+v", d.Info)
	}
	if data, err := p.Read(d.Attachments[0].Path); err != nil || string(data) != "附件" || d.Attachments[0].Name != "说明.txt" {
		t.Errorf("attachment: %q, %v", data, err)
	}
	page, err := p.Page(0)
	if err != nil {
		t.Fatal(err)
	}
	objects := page.Layers[0].Objects
	if page.Box != draft.Pages[0].Box || len(objects) != 4 {
		t.Fatalf("%+v", page)
	}
	gotText, gotLines, gotCurve := objects[0].(*ofd.Text), objects[1].(*ofd.Path), objects[2].(*ofd.Path)
	if r, want := gotText.Runs[0], text.Runs[0]; r.Text != want.Text || !near(r.X, want.X) || !near(r.Y, want.Y) || !slices.EqualFunc(r.DeltaX, want.DeltaX, near) ||
		*gotText.Fill != *text.Fill || gotText.Stroke != nil || gotText.Size != 5 {
		t.Errorf("text: %+v, want %+v", gotText, text)
	}
	if gotLines.Pen.Width != 0.5 || *gotLines.Stroke != *lines.Stroke || gotLines.Fill != nil || !slices.Equal(gotLines.Segments, lines.Segments) || gotLines.Boundary != lines.Boundary {
		t.Errorf("lines: %+v, want %+v", gotLines, lines)
	}
	if !near(gotCurve.Alpha, 0.2) || *gotCurve.Fill != *curve.Fill || gotCurve.Stroke != nil || !slices.Equal(gotCurve.Segments, curve.Segments) {
		t.Errorf("curve: %+v, want %+v", gotCurve, curve)
	}
	image := objects[3].(*ofd.Group).Objects[0].(*ofd.Image)
	if image.CTM != (ofd.Matrix{30, 0, 0, 40, 0, 0}) || page.Resources.Media[image.Media].Format != "PNG" {
		t.Errorf("image: %+v", image)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 0.002 }

func TestRidingStampsShowTheSealOnce(t *testing.T) {
	for _, n := range []int{2, 3, 21, 22, 45} {
		stamps := riding(t, pages(t, n))
		if len(stamps) != n {
			t.Fatalf("%d pages, %d stamps", n, len(stamps))
		}
		// Slices follow each other and each lies at the right edge of its page.
		left, wholes := 0.0, 0
		for i, s := range stamps {
			if !near(s.Clip.X, left) || s.Clip.Width < 2 || !near(s.Box.X+s.Clip.X+s.Clip.Width, 210) || s.Page != i || s.Box.Width != 42 || s.Clip.Height != 42 {
				t.Fatalf("%d pages: stamp %d is %+v, clip %+v", n, i, s, s.Clip)
			}
			if left += s.Clip.Width; near(left, 42) {
				left = 0
				wholes++
			}
		}
		if left != 0 || wholes != (n+20)/21 {
			t.Errorf("%d pages show %d seals and %g mm", n, wholes, left)
		}
	}
	p, err := ofd.Open(pages(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.RidingStamps(42, 42); !errors.Is(err, ofd.ErrDraft) {
		t.Errorf("one page: %v", err)
	}
}
