package render_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ofd/render"
)

const (
	space = `xmlns:ofd="http://www.ofdspec.org/2016"`
	root  = `<ofd:OFD ` + space + ` Version="1.0" DocType="OFD"><ofd:DocBody><ofd:DocInfo><ofd:DocID>0123456789abcdef0123456789abcdef</ofd:DocID></ofd:DocInfo><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot></ofd:DocBody></ofd:OFD>`
	body  = `<ofd:Document ` + space + `><ofd:CommonData><ofd:MaxUnitID>900</ofd:MaxUnitID><ofd:PageArea><ofd:PhysicalBox>0 0 100 100</ofd:PhysicalBox></ofd:PageArea><ofd:PublicRes>Res.xml</ofd:PublicRes><ofd:TemplatePage ID="5" BaseLoc="Template.xml"/></ofd:CommonData><ofd:Pages><ofd:Page ID="1" BaseLoc="Page.xml"/></ofd:Pages><ofd:Annotations>Annotations.xml</ofd:Annotations></ofd:Document>`
	res   = `<ofd:Res ` + space + ` BaseLoc="Res"><ofd:Fonts><ofd:Font ID="10" FontName="Go" FamilyName="Go"><ofd:FontFile>go.ttf</ofd:FontFile></ofd:Font><ofd:Font ID="11" FontName="宋体" FamilyName="宋体"/><ofd:Font ID="12" FontName="Bad"><ofd:FontFile>bad.ttf</ofd:FontFile></ofd:Font></ofd:Fonts>` +
		`<ofd:MultiMedias><ofd:MultiMedia ID="20" Type="Image" Format="PNG"><ofd:MediaFile>a.png</ofd:MediaFile></ofd:MultiMedia><ofd:MultiMedia ID="21" Type="Image" Format="BMP"><ofd:MediaFile>a.bmp</ofd:MediaFile></ofd:MultiMedia><ofd:MultiMedia ID="22" Type="Image"><ofd:MediaFile>a.jpg</ofd:MediaFile></ofd:MultiMedia><ofd:MultiMedia ID="23" Type="Image"><ofd:MediaFile>bad.ttf</ofd:MediaFile></ofd:MultiMedia><ofd:MultiMedia ID="24" Type="Image"><ofd:MediaFile>huge.png</ofd:MediaFile></ofd:MultiMedia><ofd:MultiMedia ID="25" Type="Image" Format="GBIG2"><ofd:MediaFile>a.jb2</ofd:MediaFile></ofd:MultiMedia><ofd:MultiMedia ID="26" Type="Image"><ofd:MediaFile>none.png</ofd:MediaFile></ofd:MultiMedia></ofd:MultiMedias>` +
		`<ofd:CompositeGraphicUnits><ofd:CompositeGraphicUnit ID="30" Width="10" Height="10"><ofd:Content><ofd:PathObject ID="31" Boundary="0 0 10 10" Fill="true" Stroke="false"><ofd:FillColor Value="0 0 255"/><ofd:AbbreviatedData>M 0 0 L 10 0 L 10 10 L 0 10 C</ofd:AbbreviatedData></ofd:PathObject></ofd:Content></ofd:CompositeGraphicUnit><ofd:CompositeGraphicUnit ID="32" Width="10" Height="10"><ofd:Content><ofd:PathObject ID="33" Boundary="0 0 1 1"/><ofd:PathObject ID="34" Boundary="0 0 1 1"/></ofd:Content></ofd:CompositeGraphicUnit></ofd:CompositeGraphicUnits></ofd:Res>`
	template    = `<ofd:Page ` + space + `><ofd:Content><ofd:Layer ID="6"><ofd:PathObject ID="7" Boundary="80 80 10 10" Fill="true" Stroke="false"><ofd:FillColor Value="0 200 0"/><ofd:AbbreviatedData>M 0 0 L 10 0 L 10 10 L 0 10 C</ofd:AbbreviatedData></ofd:PathObject></ofd:Layer></ofd:Content></ofd:Page>`
	annotations = `<ofd:Annotations ` + space + `><ofd:Page PageID="1"><ofd:FileLoc>Annotation.xml</ofd:FileLoc></ofd:Page></ofd:Annotations>`
	annotation  = `<ofd:PageAnnot ` + space + `><ofd:Annot ID="8" Type="Stamp" Creator="t" LastModDate="2026-11-22"><ofd:Appearance Boundary="90 0 10 10"><ofd:PathObject ID="9" Boundary="2 2 6 6" Fill="true" Stroke="false"><ofd:FillColor Value="200 0 200"/><ofd:AbbreviatedData>M 0 0 L 6 0 L 6 6 L 0 6 C</ofd:AbbreviatedData></ofd:PathObject></ofd:Appearance></ofd:Annot></ofd:PageAnnot>`
	box10       = `<ofd:AbbreviatedData>M 0 0 L 10 0 L 10 10 L 0 10 C</ofd:AbbreviatedData>`
)

// chequers is a picture of 2 × 2 pixels: red, green; blue, clear (or white).
func chequers(background color.Color) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	img.Set(0, 0, color.NRGBA{255, 0, 0, 255})
	img.Set(1, 0, color.NRGBA{0, 255, 0, 255})
	img.Set(0, 1, color.NRGBA{0, 0, 255, 255})
	img.Set(1, 1, background)
	return img
}

func encoded(tb testing.TB, encode func(io.Writer) error) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// archive makes a file of one page of 100 × 100 mm with the given objects.
func archive(tb testing.TB, objects string) []byte {
	tb.Helper()
	plain := image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for i := range plain.Pix {
		plain.Pix[i] = 255
	}
	picture := encoded(tb, func(w io.Writer) error { return png.Encode(w, chequers(color.Transparent)) })
	huge := bytes.Clone(picture)
	copy(huge[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0}) // 65536 × 65536
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	parts := []struct{ name, data string }{
		{"OFD.xml", root},
		{"Doc_0/Document.xml", body},
		{"Doc_0/Res.xml", res},
		{"Doc_0/Template.xml", template},
		{"Doc_0/Annotations.xml", annotations},
		{"Doc_0/Annotation.xml", annotation},
		{"Doc_0/Page.xml", `<ofd:Page ` + space + `><ofd:Template TemplateID="5" ZOrder="Background"/><ofd:Content><ofd:Layer ID="2">` + objects + `</ofd:Layer></ofd:Content></ofd:Page>`},
		{"Doc_0/Res/go.ttf", string(goregular.TTF)},
		{"Doc_0/Res/bad.ttf", "no font"},
		{"Doc_0/Res/a.jb2", "\x97JB2\r\n\x1a\n\x01\x00\x00\x00\x01"},
		{"Doc_0/Res/a.png", string(picture)},
		{"Doc_0/Res/huge.png", string(huge)},
		{"Doc_0/Res/a.bmp", string(encoded(tb, func(w io.Writer) error { return bmp.Encode(w, chequers(color.White)) }))},
		{"Doc_0/Res/a.jpg", string(encoded(tb, func(w io.Writer) error { return jpeg.Encode(w, plain, nil) }))},
	}
	return encoded(tb, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, part := range parts {
			f, err := z.CreateHeader(&zip.FileHeader{Name: part.name, Method: zip.Store})
			if err != nil {
				return err
			}
			if _, err := f.Write([]byte(part.data)); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

func object(kind, attributes, inner string) string {
	return fmt.Sprintf(`<ofd:%s ID="50" %s>%s</ofd:%s>`, kind, attributes, inner, kind)
}

func path(attributes, inner string) string { return object("PathObject", attributes, inner) }

const (
	filled = `Fill="true" Stroke="false" `
	red    = `<ofd:FillColor Value="255 0 0"/>`
)

var (
	white = color.RGBA{255, 255, 255, 255}
	black = color.RGBA{0, 0, 0, 255}
	reds  = color.RGBA{255, 0, 0, 255}
)

// probe is what a place of the page must look like, in millimetres.
type probe struct {
	x, y float64
	want color.RGBA
}

func TestObjects(t *testing.T) {
	t.Parallel()
	clipped := `<ofd:Clips><ofd:Clip><ofd:Area><ofd:Path ID="51" Boundary="0 0 10 10"><ofd:AbbreviatedData>M 0 0 L 5 0 L 5 10 L 0 10 C</ofd:AbbreviatedData></ofd:Path></ofd:Area><ofd:Area><ofd:Path ID="52" Boundary="8 0 2 10"><ofd:AbbreviatedData>M 0 0 L 2 0 L 2 10 L 0 10 C</ofd:AbbreviatedData></ofd:Path></ofd:Area></ofd:Clip>` +
		`<ofd:Clip><ofd:Area CTM="1 0 0 1 0 5"><ofd:Path ID="53" Boundary="0 0 10 5"><ofd:AbbreviatedData>M 0 0 L 10 0 L 10 5 L 0 5 C</ofd:AbbreviatedData></ofd:Path></ofd:Area></ofd:Clip></ofd:Clips>`
	tests := []struct {
		name, objects string
		probes        []probe
		note          string
	}{
		{"filled", path(filled+`Boundary="20 20 10 10"`, red+box10), []probe{{25, 25, reds}, {19.5, 25, white}, {30.5, 25, white}}, ""},
		{"template and annotation", "", []probe{{85, 85, color.RGBA{0, 200, 0, 255}}, {95, 5, color.RGBA{200, 0, 200, 255}}, {91, 1, white}, {50, 50, white}}, ""},
		{"transformed", path(filled+`Boundary="40 40 10 10" CTM="0 2 -1 0 0 0"`, red+box10), []probe{{35, 55, reds}, {45, 45, white}, {35, 61, white}}, ""},
		{"translucent", path(filled+`Boundary="20 20 10 10" Alpha="128"`, `<ofd:FillColor Value="255 0 0" Alpha="128"/>`+box10), []probe{{25, 25, color.RGBA{255, 191, 191, 255}}}, ""},
		{"hole", path(filled+`Boundary="20 20 10 10" Rule="Even-Odd"`, red+`<ofd:AbbreviatedData>M 0 0 L 10 0 L 10 10 L 0 10 C M 3 3 L 7 3 L 7 7 L 3 7 C</ofd:AbbreviatedData>`), []probe{{25, 25, white}, {21, 25, reds}}, ""},
		{"no hole", path(filled+`Boundary="20 20 10 10"`, red+`<ofd:AbbreviatedData>M 0 0 L 10 0 L 10 10 L 0 10 C M 3 3 L 7 3 L 7 7 L 3 7 C</ofd:AbbreviatedData>`), []probe{{25, 25, reds}}, ""},
		{"line", path(`Boundary="20 20 60 2" LineWidth="2"`, `<ofd:StrokeColor Value="255 0 0"/><ofd:AbbreviatedData>M 0 1 L 60 1</ofd:AbbreviatedData>`), []probe{{50, 21, reds}, {50, 20.2, reds}, {50, 19.5, white}, {19.5, 21, white}}, ""},
		{"round line", path(`Boundary="20 20 60 2" LineWidth="4" Cap="Round"`, `<ofd:StrokeColor Value="255 0 0"/><ofd:AbbreviatedData>M 0 1 L 60 1</ofd:AbbreviatedData>`), []probe{{18.6, 21, reds}}, ""},
		{"dashes", path(`Boundary="20 20 60 2" LineWidth="2" DashPattern="10 5" DashOffset="5"`, `<ofd:AbbreviatedData>M 0 1 L 60 1</ofd:AbbreviatedData>`), []probe{{22, 21, black}, {27, 21, white}, {33, 21, black}, {42, 21, white}}, ""},
		{"circle", path(filled+`Boundary="20 20 20 20"`, red+`<ofd:AbbreviatedData>M 0 10 A 10 10 0 0 1 20 10 A 10 10 0 0 1 0 10 C</ofd:AbbreviatedData>`), []probe{{30, 30, reds}, {30, 20.4, reds}, {30, 39.6, reds}, {21, 21, white}, {39, 39, white}, {36.6, 23.4, reds}}, ""},
		{"arcs", path(`Boundary="20 20 20 20" LineWidth="1"`, `<ofd:AbbreviatedData>M 0 10 A 10 5 90 1 0 20 10</ofd:AbbreviatedData>`), []probe{{30, 50, black}, {30, 10, white}}, ""},
		{"curves", path(filled+`Boundary="20 20 20 20"`, red+`<ofd:AbbreviatedData>M 0 0 Q 10 20 20 0 B 20 -10 0 -10 0 0 C</ofd:AbbreviatedData>`), []probe{{30, 29, reds}, {30, 31, white}, {30, 13, reds}, {30, 11.5, white}}, ""},
		{"clips", path(filled+`Boundary="20 20 10 10"`, clipped+red+box10), []probe{{22, 27, reds}, {26.5, 27, white}, {29, 27, reds}, {22, 23, white}}, ""},
		{"clipped picture", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="21"`, clipped), []probe{{42, 47, reds}, {46, 47, white}, {49, 47, reds}, {42, 43, white}}, ""},
		{"hidden", path(filled+`Boundary="20 20 10 10" Visible="false"`, red+box10), []probe{{25, 25, white}}, ""},
		{"group", object("PageBlock", "", path(filled+`Boundary="20 20 10 10"`, red+box10)), []probe{{25, 25, reds}}, ""},
		{"composite", object("CompositeObject", `Boundary="30 30 20 20" CTM="2 0 0 2 0 0" ResourceID="30"`, ""), []probe{{31, 31, color.RGBA{0, 0, 255, 255}}, {49, 49, color.RGBA{0, 0, 255, 255}}, {29, 31, white}}, ""},
		{"picture", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="20"`, ""), []probe{{45, 45, reds}, {55, 45, color.RGBA{0, 255, 0, 255}}, {45, 55, color.RGBA{0, 0, 255, 255}}, {55, 55, white}, {49.7, 45, reds}, {50.3, 45, color.RGBA{0, 255, 0, 255}}}, ""},
		{"small picture", object("ImageObject", `Boundary="40 40 20 20" CTM="0.1 0 0 0.1 0 0" ResourceID="21"`, ""), []probe{{40.05, 40.05, color.RGBA{127, 127, 127, 255}}}, ""},
		{"turned picture", object("ImageObject", `Boundary="40 40 20 20" CTM="0 20 -20 0 20 0" ResourceID="21"`, ""), []probe{{55, 45, reds}, {55, 55, color.RGBA{0, 255, 0, 255}}, {45, 45, color.RGBA{0, 0, 255, 255}}}, ""},
		{"translucent picture", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="20" Alpha="51"`, ""), []probe{{45, 45, color.RGBA{255, 204, 204, 255}}}, ""},
		{"jpeg", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="22"`, ""), []probe{{45, 45, white}}, ""},
		{"broken picture", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="23"`, ""), []probe{{45, 45, white}}, "图片"},
		{"huge picture", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="24"`, ""), []probe{{45, 45, white}}, "图片"},
		{"missing picture", object("ImageObject", `Boundary="40 40 20 20" CTM="20 0 0 20 0 0" ResourceID="99"`, ""), []probe{{45, 45, white}}, "图片"},
		{"embedded font", object("TextObject", `Boundary="20 20 60 60" Font="10" Size="40"`, red+`<ofd:TextCode X="0" Y="40" DeltaX="30">||</ofd:TextCode>`), []probe{{stem(), 45, reds}, {stem() + 30, 45, reds}, {stem() + 15, 45, white}}, ""},
		{"glyph by number", object("TextObject", `Boundary="20 20 60 60" Font="10" Size="40"`, red+`<ofd:CGTransform CodePosition="0" CodeCount="1" GlyphCount="1"><ofd:Glyphs>`+bar()+`</ofd:Glyphs></ofd:CGTransform><ofd:TextCode X="0" Y="40">口</ofd:TextCode>`), []probe{{stem(), 45, reds}, {stem() + 8, 45, white}}, ""},
		{"turned character", object("TextObject", `Boundary="20 20 60 60" Font="10" Size="40" CharDirection="90"`, red+`<ofd:TextCode X="0" Y="0">|</ofd:TextCode>`), []probe{{35, stem(), reds}, {35, stem() + 5, white}}, ""},
		{"reader's font", object("TextObject", `Boundary="20 20 60 60" Font="11" Size="40"`, red+`<ofd:TextCode X="0" Y="40" DeltaX="40">■□</ofd:TextCode>`), []probe{{40, 45, reds}, {80, 45, white}, {18, 45, white}}, ""},
		{"broken font", object("TextObject", `Boundary="20 20 60 60" Font="12" Size="40"`, red+`<ofd:TextCode X="0" Y="40">■</ofd:TextCode>`), []probe{{40, 45, reds}}, "字体"},
		{"no such character", object("TextObject", `Boundary="20 20 60 60" Font="10" Size="40"`, `<ofd:TextCode X="0" Y="40">`+"\U000F0000"+`</ofd:TextCode>`), []probe{{40, 45, white}}, "U+F0000"},
		{"far away", path(filled+`Boundary="20 20 10 10" CTM="1000000 0 0 1000000 0 0"`, red+box10), []probe{{25, 25, white}}, "坐标"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := open(t, archive(t, test.objects))
			img, notes := paint(t, p, 254, "")
			if told := fmt.Sprint(notes); (test.note == "") != (len(notes) == 0) || !strings.Contains(told, test.note) {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
			for _, probe := range test.probes {
				got := color.RGBAModel.Convert(img.At(int(probe.x*10), int(probe.y*10))).(color.RGBA)
				if distance(got, probe.want) > 4 {
					t.Errorf("at %v, %v is %v, want %v", probe.x, probe.y, got, probe.want)
				}
			}
			checkSVG(t, p)
		})
	}
}

func distance(a, b color.RGBA) float64 {
	return math.Max(math.Abs(float64(a.R)-float64(b.R)), math.Max(math.Abs(float64(a.G)-float64(b.G)), math.Abs(float64(a.B)-float64(b.B))))
}

// checkSVG makes sure that the SVG is well-formed and holds nothing but shapes.
func checkSVG(t *testing.T, p *ofd.Package) {
	t.Helper()
	svg, _, err := render.SVG(p, 0, render.Options{Face: noto(t), Seals: true})
	if err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in %.300s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if !slices.Contains([]string{"svg", "path", "g", "clipPath", "defs", "image", "use"}, token.Name.Local) {
				t.Fatalf("element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if a.Name.Local == "href" && !strings.HasPrefix(a.Value, "data:image/") && !strings.HasPrefix(a.Value, "#p") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("%s=%.100s", a.Name.Local, a.Value)
				}
			}
		case xml.CharData, xml.EndElement:
		default:
			t.Fatalf("%T in the SVG", token)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("L 1 1 ", maxPath+1)
	wide := `<ofd:AbbreviatedData>M 0 0 L 100 0 L 100 100 L 0 100 C</ofd:AbbreviatedData>`
	tests := []struct{ name, objects string }{
		{"a long path", path(filled+`Boundary="0 0 10 10"`, `<ofd:AbbreviatedData>M 0 0 `+many+`</ofd:AbbreviatedData>`)},
		{"many dashes", path(`Boundary="0 0 10 10" LineWidth="1" DashPattern="0.01 0.01"`, `<ofd:AbbreviatedData>M 0 0 L 90000 0</ofd:AbbreviatedData>`)},
		{"a long text", object("TextObject", `Boundary="0 0 10 10" Font="11" Size="1"`, `<ofd:TextCode X="0" Y="0">`+strings.Repeat("字", 200_001)+`</ofd:TextCode>`)},
		{"much to paint", strings.Repeat(path(filled+`Boundary="0 0 100 100"`, red+wide), 2000)},
		{"nested clips", strings.Repeat(object("CompositeObject", `Boundary="0 0 1 1" ResourceID="30"`, `<ofd:Clips><ofd:Clip><ofd:Area><ofd:Path ID="51" Boundary="0 0 100 100">`+wide+`</ofd:Path></ofd:Area></ofd:Clip></ofd:Clips>`), 2000)},
	}
	for _, test := range tests {
		p := open(t, archive(t, test.objects))
		if _, _, err := render.PNG(p, 0, 254, render.Options{Face: noto(t)}); !errors.Is(err, render.ErrLimit) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// maxPath is the longest path that is painted.
const maxPath = 50_000

func FuzzPage(f *testing.F) {
	f.Add(path(filled+`Boundary="20 20 10 10" Rule="Even-Odd" CTM="1 2 3 4 5 6"`, red+`<ofd:AbbreviatedData>M 0 0 Q 1 2 3 4 B 1 2 3 4 5 6 A 1 2 3 1 0 4 5 C</ofd:AbbreviatedData>`))
	f.Add(path(`Boundary="20 20 60 2" LineWidth="2" DashPattern="10 5" DashOffset="5" Join="Round" Cap="Square"`, `<ofd:AbbreviatedData>M 0 1 L 60 1 L 3 4</ofd:AbbreviatedData>`))
	f.Add(object("ImageObject", `Boundary="40 40 20 20" CTM="20 1 2 20 3 4" ResourceID="20" Alpha="7"`, `<ofd:Clips><ofd:Clip><ofd:Area><ofd:Path ID="51" Boundary="0 0 10 10">`+box10+`</ofd:Path></ofd:Area></ofd:Clip></ofd:Clips>`))
	f.Add(object("TextObject", `Boundary="20 20 60 60" Font="10" Size="4" HScale="2" CharDirection="90" ReadDirection="180"`, `<ofd:CGTransform CodePosition="0" CodeCount="1" GlyphCount="1"><ofd:Glyphs>5</ofd:Glyphs></ofd:CGTransform><ofd:TextCode X="0" Y="40" DeltaX="g 3 1">ab字d</ofd:TextCode>`))
	face := noto(f)
	f.Fuzz(func(t *testing.T, objects string) {
		p, err := ofd.Open(archive(t, objects))
		if err != nil {
			return
		}
		o := render.Options{Face: face, Seals: true}
		if svg, _, err := render.SVG(p, 0, o); err == nil {
			var tree struct{}
			if err := xml.Unmarshal(svg, &tree); err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		if data, _, err := render.PNG(p, 0, 20, o); err == nil {
			if _, err := png.DecodeConfig(bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
