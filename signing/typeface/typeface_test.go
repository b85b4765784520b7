package typeface

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

// loadNoto loads the font of the pages.
func loadNoto(tb testing.TB) *Face {
	tb.Helper()
	face, err := Load(peer.Face(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return face
}

func goRegular(tb testing.TB) *Face {
	tb.Helper()
	face, err := Parse(goregular.TTF)
	if err != nil {
		tb.Fatal(err)
	}
	return face
}

// samePicture compares an outline with what golang.org/x/image reads from the
// same font: the same operations, the points within one font unit (it rounds
// halves to whole units) and the same advance.
func samePicture(tb testing.TB, ours *Face, id uint16, theirs *sfnt.Font, theirID sfnt.GlyphIndex) {
	tb.Helper()
	units := float64(theirs.UnitsPerEm())
	ppem := fixed.Int26_6(theirs.UnitsPerEm())
	advance, err := theirs.GlyphAdvance(nil, theirID, ppem, font.HintingNone)
	if err != nil {
		tb.Fatal(err)
	}
	if got := ours.Advance(id) * units; math.Round(got) != float64(advance) {
		tb.Fatalf("glyph %d: advance %v, want %v", id, got, advance)
	}
	want, err := theirs.LoadGlyph(nil, theirID, ppem, nil)
	if err != nil {
		tb.Fatalf("glyph %d: %v", theirID, err)
	}
	path, err := ours.Outline(id)
	if err != nil {
		tb.Fatal(err)
	}
	var got Path // without the straight lines that close a contour
	for _, s := range path {
		if s.Op != Close {
			got = append(got, s)
		}
	}
	i := 0
	for _, w := range want {
		ops := map[sfnt.SegmentOp]Op{sfnt.SegmentOpMoveTo: MoveTo, sfnt.SegmentOpLineTo: LineTo, sfnt.SegmentOpQuadTo: QuadTo}
		if i == len(got) || got[i].Op != ops[w.Op] {
			if w.Op == sfnt.SegmentOpLineTo { // theirs closes with a line
				continue
			}
			tb.Fatalf("glyph %d: segment %d: %v, want %v", id, i, got[min(i, len(got)-1)], w)
		}
		for j := range got[i].Op.points() {
			x, y := float64(w.Args[j].X), -float64(w.Args[j].Y)
			if math.Abs(got[i].Points[j].X*units-x) > 1.01 || math.Abs(got[i].Points[j].Y*units-y) > 1.01 {
				if w.Op == sfnt.SegmentOpLineTo {
					i--
					break
				}
				tb.Fatalf("glyph %d: segment %d: point %v, want %v %v", id, i, got[i].Points[j], x/units, y/units)
			}
		}
		i++
	}
	if i != len(got) {
		tb.Fatalf("glyph %d: %d segments, theirs ended after %d", id, len(got), i)
	}
}

func TestOutlinesAgreeWithAnotherReader(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]func() ([]byte, error){
		"Go Regular": func() ([]byte, error) { return goregular.TTF, nil }, // composites
		"Noto":       func() ([]byte, error) { return os.ReadFile(peer.Face(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := data()
			if err != nil {
				t.Fatal(err)
			}
			ours, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := sfnt.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if ours.glyphs != theirs.NumGlyphs() {
				t.Fatalf("%d glyphs, want %d", ours.glyphs, theirs.NumGlyphs())
			}
			step := 1 + ours.glyphs/3000
			for id := 0; id < ours.glyphs; id += step {
				samePicture(t, ours, uint16(id), theirs, sfnt.GlyphIndex(id))
			}
			for r := rune(1); r < 0x30000; r++ {
				want, err := theirs.GlyphIndex(nil, r)
				if err != nil || uint16(want) != ours.Index(r) {
					t.Fatalf("U+%04X: glyph %d, want %d (%v)", r, ours.Index(r), want, err)
				}
			}
		})
	}
}

func TestSubsetIsReadByAnotherReader(t *testing.T) {
	t.Parallel()
	noto := loadNoto(t)
	const text = "湘东县行政审批局 电子证照（副本）ABCxyz0123456789，。：；“”—·㙍𠮷Åé"
	for _, face := range []*Face{noto, goRegular(t)} {
		var use []rune
		for _, r := range text {
			if face.Index(r) != 0 {
				use = append(use, r)
			}
		}
		if len(use) < 15 {
			t.Fatalf("only %d characters", len(use))
		}
		data, err := face.Subset(use)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := sfnt.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if again.Ascent() != face.Ascent() || again.Descent() != face.Descent() || again.Family() != face.Family() || again.Family() == "" {
			t.Fatalf("metrics or name changed: %q, was %q", again.Family(), face.Family())
		}
		for _, r := range use {
			id, err := theirs.GlyphIndex(nil, r)
			if err != nil || id == 0 || again.Index(r) != uint16(id) {
				t.Fatalf("%c: glyph %d, ours %d (%v)", r, id, again.Index(r), err)
			}
			samePicture(t, face, face.Index(r), theirs, id)
			samePicture(t, again, again.Index(r), theirs, id)
		}
		if id, err := theirs.GlyphIndex(nil, '鬱'); err != nil || id != 0 {
			t.Fatalf("a character that was not asked for has glyph %d (%v)", id, err)
		}
		if len(data) > 100<<10 {
			t.Fatalf("%d bytes for %d characters", len(data), len(use))
		}
		reversed := append([]rune(nil), use...)
		for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
			reversed[i], reversed[j] = reversed[j], reversed[i]
		}
		same, err := face.Subset(append(reversed, use...))
		if err != nil || !bytes.Equal(same, data) {
			t.Fatalf("the same characters in another order give other bytes (%v)", err)
		}
		if sum := checksum(append([]byte(nil), data...)); sum != 0xB1B0AFBA {
			t.Fatalf("checksum of the file %#x", sum)
		}
	}
}

func TestGlyphs(t *testing.T) {
	t.Parallel()
	face := loadNoto(t)
	glyphs, err := face.Glyphs("证A1")
	if err != nil {
		t.Fatal(err)
	}
	if len(glyphs) != 3 || glyphs[0].Rune != '证' || glyphs[0].Advance != 1 || glyphs[1].Advance <= 0.3 || glyphs[1].Advance >= 1 {
		t.Fatalf("glyphs %+v", glyphs)
	}
	for _, text := range []string{"甲\n乙", "甲\U000F0000乙", "\uFFFF"} {
		if _, err := face.Glyphs(text); !errors.Is(err, ErrMissingGlyph) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := face.Subset([]rune(text)); !errors.Is(err, ErrMissingGlyph) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := face.Outline(0xFFFF); !errors.Is(err, ErrMissingGlyph) {
		t.Errorf("outline of no glyph: %v", err)
	}
	if face.Advance(0xFFFF) != 0 {
		t.Error("advance of no glyph")
	}
	if face.Family() != "Noto Serif SC" || face.Ascent() < 0.8 || face.Descent() > -0.1 {
		t.Errorf("%q %v %v", face.Family(), face.Ascent(), face.Descent())
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	file := filepath.Join(base, "node_modules", "@expo-google-fonts", "noto-serif-sc", "400Regular", "NotoSerifSC_400Regular.ttf")
	if _, err := Find("", base, t.TempDir()); !errors.Is(err, ErrFontMissing) {
		t.Fatalf("nothing there: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, goregular.TTF, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := Find("", t.TempDir(), base)
	if err != nil || found != file {
		t.Fatalf("found %q (%v)", found, err)
	}
	if _, err := Find(filepath.Join(base, "other.ttf"), base); !errors.Is(err, ErrFontMissing) {
		t.Fatalf("an explicit path that is wrong: %v", err)
	}
	if found, err := Find(file); err != nil || found != file {
		t.Fatalf("explicit: %q (%v)", found, err)
	}
	if _, err := Load(filepath.Join(base, "other.ttf")); !errors.Is(err, ErrFontMissing) {
		t.Fatalf("load of nothing: %v", err)
	}
}

// change returns a copy of Go Regular with a table changed in place.
func change(t *testing.T, tag string, edit func(table []byte)) []byte {
	t.Helper()
	data := bytes.Clone(goregular.TTF)
	tables, err := readDirectory(data)
	if err != nil {
		t.Fatal(err)
	}
	edit(tables[tag])
	return data
}

func TestRefusedFonts(t *testing.T) {
	t.Parallel()
	put := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) }
	}
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrMalformed},
		{"PostScript outlines", append([]byte("OTTO"), goregular.TTF[4:]...), ErrUnsupported},
		{"collection", append([]byte("ttcf"), goregular.TTF[4:]...), ErrUnsupported},
		{"cut off", goregular.TTF[:len(goregular.TTF)/2], ErrMalformed},
		{"no units", change(t, "head", put(18, 0)), ErrMalformed},
		{"loca format", change(t, "head", put(50, 2)), ErrMalformed},
		{"more glyphs than places", change(t, "maxp", put(4, 0xFFFF)), ErrMalformed},
		{"no glyphs", change(t, "maxp", put(4, 0)), ErrMalformed},
		{"no advances", change(t, "hhea", put(34, 0)), ErrMalformed},
		{"glyph outside", change(t, "loca", put(100, 0xFFFF)), ErrMalformed},
		{"too large", make([]byte, maxFontBytes+1), ErrLimit},
	}
	for _, test := range tests {
		if _, err := Parse(test.data); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// TestCompositeBudget makes a composite glyph that would draw itself without
// end, then one that would draw 8^8 parts.
func TestCompositeBudget(t *testing.T) {
	t.Parallel()
	face := goRegular(t)
	composite := func(parts int, glyph uint16) []byte {
		b := []byte{0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0}
		for i := range parts {
			flags := uint16(partOffsets)
			if i+1 < parts {
				flags |= partMore
			}
			b = binary.BigEndian.AppendUint16(b, flags)
			b = binary.BigEndian.AppendUint16(b, glyph)
			b = append(b, 0, 0)
		}
		return b
	}
	for _, parts := range []int{1, 8} {
		var glyf, loca []byte
		for id := range 10 {
			loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
			glyf = append(glyf, composite(parts, uint16(min(id+1, 8)))...)
		}
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		tables := map[string][]byte{
			"head": bytes.Clone(face.tables["head"]), "hhea": bytes.Clone(face.tables["hhea"]), "maxp": bytes.Clone(face.tables["maxp"]),
			"hmtx": face.tables["hmtx"], "glyf": glyf, "loca": loca,
		}
		binary.BigEndian.PutUint16(tables["head"][50:], 1)
		binary.BigEndian.PutUint16(tables["hhea"][34:], 10)
		binary.BigEndian.PutUint16(tables["maxp"][4:], 10)
		hostile, err := Parse(assemble(tables))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hostile.Outline(0); !errors.Is(err, ErrLimit) {
			t.Errorf("%d parts: %v", parts, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	face := loadNoto(t)
	want, err := face.Subset([]rune("行政许可证"))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 20 {
				got, err := face.Subset([]rune("证可许政行"))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("subset differs (%v)", err)
				}
				if _, err := face.Outline(face.Index('证')); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestPath(t *testing.T) {
	t.Parallel()
	var p Path
	p.Move(0, 0)
	p.Line(1, -0.0001)
	p.Quad(1, 1, 2, 2.5)
	p.Cube(1, 2, 3, 4, -100.10, 6)
	p.Close()
	if got, want := string(p.AppendSVG(nil)), "M0 0L1 0Q1 1 2 2.5C1 2 3 4 -100.1 6Z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	quarter := Matrix{0, 1, -1, 0, 0, 0} // x to y
	m := Translate(1, 0).Then(quarter).Then(Scale(2, 3))
	if got := m.Apply(Point{1, 0}); got != (Point{0, 6}) {
		t.Errorf("mapped to %v", got)
	}
	if got := p.Map(m)[0].Points[0]; got != (Point{0, 3}) {
		t.Errorf("mapped to %v", got)
	}
}

func FuzzFont(f *testing.F) {
	face, err := Parse(goregular.TTF)
	if err != nil {
		f.Fatal(err)
	}
	for _, characters := range []string{"i", "aÅ", "0123"} { // Å is composite
		seed, err := face.Subset([]rune(characters))
		if err != nil {
			f.Fatal(err)
		}
		tables, err := readDirectory(seed)
		if err != nil {
			f.Fatal(err)
		}
		for _, tag := range []string{"cvt ", "fpgm", "prep", "OS/2", "post"} {
			delete(tables, tag) // a small seed goes further
		}
		f.Add(assemble(tables))
		delete(tables, "cmap")
		f.Add(assemble(tables))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		face, err := Parse(data)
		if err != nil {
			return
		}
		for id := range min(face.glyphs, 64) {
			if path, err := face.Outline(uint16(id)); err == nil && len(path) > 2*maxPoints+2*maxComponents {
				t.Fatalf("%d segments", len(path))
			}
		}
		var runes []rune
		for _, r := range face.characters {
			if r.last < r.first || int(r.glyph)+int(r.last-r.first) >= face.glyphs {
				t.Fatalf("run %+v of %d glyphs", r, face.glyphs)
			}
			runes = append(runes, r.first)
		}
		subset, err := face.Subset(runes[:min(len(runes), 100)])
		if err != nil {
			return
		}
		if _, err := Parse(subset); err != nil {
			t.Fatalf("our own subset: %v", err)
		}
	})
}

func BenchmarkSubset(b *testing.B) {
	face := loadNoto(b)
	text := []rune("中华人民共和国湘东县行政审批服务局电子证照食品经营许可证编号有效期至年月日法定代表人经营场所主体业态统一社会信用代码0123456789")
	for b.Loop() {
		if _, err := face.Subset(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		loadNoto(b)
	}
}
