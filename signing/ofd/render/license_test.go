package render_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ofd/render"
	"github.com/onewindow/onewindow/signing/typeface"
)

var loadFace = sync.OnceValues(func() (*typeface.Face, error) { return typeface.Load(os.Getenv("ONEWINDOW_TEST_FONT")) })

// noto is the font of the pages, read once.
func noto(tb testing.TB) *typeface.Face {
	tb.Helper()
	peer.Face(tb) // skips without the font
	face, err := loadFace()
	if err != nil {
		tb.Fatal(err)
	}
	return face
}

// licence is a licence as a county issues it.
func licence() ofd.License {
	return ofd.License{
		Title: "食品经营许可证", Number: "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
		IssuerName: "湘东县行政审批服务局",
		Fields: []ofd.Field{
			{Name: "许可证编号", Value: "JY14302230012345"},
			{Name: "经营者名称", Value: "湘东县渌口老街米粉店"},
			{Name: "统一社会信用代码", Value: "92430223MA4L1AB23X"},
			{Name: "法定代表人（负责人）", Value: "刘建国"},
			{Name: "经营场所", Value: "湘东县渌口镇解放路 128 号一楼"},
			{Name: "主体业态", Value: "餐饮服务经营者（小型餐饮）"},
			{Name: "经营项目", Value: "热食类食品制售；冷食类食品制售（不含裱花蛋糕、生食海产品）；自制饮品制售（普通类）"},
		},
		QR:        "https://hub.example.gov.cn/v/20230000403",
		IssueDate: "2026年11月22日", ValidUntil: "2031年11月21日",
		Created: time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
	}
}

func writeLicence(tb testing.TB, l ofd.License) []byte {
	tb.Helper()
	draft, err := ofd.LicensePage(l, noto(tb))
	if err != nil {
		tb.Fatal(err)
	}
	file, err := draft.Write(noto(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func open(tb testing.TB, file []byte) *ofd.Package {
	tb.Helper()
	p, err := ofd.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// paint renders the first page and keeps a sample for people to look at.
func paint(tb testing.TB, p *ofd.Package, dpi float64, sample string) (image.Image, []ofd.Note) {
	tb.Helper()
	o := render.Options{Face: noto(tb), Seals: true}
	data, notes, err := render.PNG(p, 0, dpi, o)
	if err != nil {
		tb.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	if dir := os.Getenv("ONEWINDOW_TEST_SAMPLES"); dir != "" && sample != "" {
		svg, _, err := render.SVG(p, 0, o)
		if err != nil {
			tb.Fatal(err)
		}
		for name, data := range map[string][]byte{sample + ".png": data, sample + ".svg": svg} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return img, notes
}

// share is how much of a box of the page, in millimetres, has a colour.
func share(img image.Image, box ofd.Box, is func(c color.RGBA) bool) float64 {
	scale := float64(img.Bounds().Dx()) / 210
	n, sum := 0, 0
	for y := int(box.Y * scale); y < int((box.Y+box.Height)*scale); y++ {
		for x := int(box.X * scale); x < int((box.X+box.Width)*scale); x++ {
			n++
			if is(color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)) {
				sum++
			}
		}
	}
	return float64(sum) / float64(n)
}

func isInk(c color.RGBA) bool { return int(c.R)+int(c.G)+int(c.B) < 600 }

// isStamp is the red of seals, which the page itself does not have.
func isStamp(c color.RGBA) bool { return c.R > 180 && c.G < 60 && c.B < 70 }

func TestSealedLicence(t *testing.T) {
	t.Parallel()
	file := writeLicence(t, licence())
	place := ofd.SealPlace(42, 42)
	p := open(t, seal(t, file, place))
	img, notes := paint(t, p, 200, "licence-sealed")
	if len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	regions := []struct {
		name        string
		box         ofd.Box
		least, most float64
	}{
		{"title", ofd.Box{X: 40, Y: 38, Width: 130, Height: 18}, 0.08, 0.4},
		{"frame", ofd.Box{X: 11.6, Y: 100, Width: 0.8, Height: 100}, 0.95, 1},
		{"margin", ofd.Box{X: 0, Y: 0, Width: 210, Height: 11}, 0, 0},
		{"table", ofd.Box{X: 64, Y: 80, Width: 60, Height: 10}, 0.02, 0.3},
		{"below the table", ofd.Box{X: 30, Y: 217, Width: 60, Height: 7}, 0, 0},
		{"issuer", ofd.Box{X: 115, Y: 233, Width: 60, Height: 18}, 0.05, 0.5},
	}
	for _, r := range regions {
		if got := share(img, r.box, isInk); got < r.least || got > r.most {
			t.Errorf("%s: %v ink, want %v to %v", r.name, got, r.least, r.most)
		}
	}
	checkCode(t, p, img)
	checkStamp(t, img, place.Box)
	bare, _, err := render.PNG(p, 0, 100, render.Options{Face: noto(t)})
	if err != nil {
		t.Fatal(err)
	}
	unsealed, err := png.Decode(bytes.NewReader(bare))
	if err != nil {
		t.Fatal(err)
	}
	if got := share(unsealed, ofd.Box{Width: 210, Height: 297}, isStamp); got != 0 {
		t.Errorf("a stamp where none was asked for: %v", got)
	}
	checkSVG(t, p)
}

// checkStamp looks for the ring and the star of the seal, and for the issuer's
// name, black under the red.
func checkStamp(t *testing.T, img image.Image, box ofd.Box) {
	t.Helper()
	all := ofd.Box{Width: 210, Height: 297}
	inside := share(img, box, isStamp) * box.Width * box.Height
	if red := share(img, all, isStamp) * all.Width * all.Height; math.Abs(red-inside) > 1 || red < 200 || red > 600 {
		t.Errorf("%v mm² of red, %v of them in their place", red, inside)
	}
	star := ofd.Box{X: box.X + 20, Y: box.Y + 20, Width: 2, Height: 2}
	if got := share(img, star, isStamp); got < 0.9 {
		t.Errorf("the star is %v red", got)
	}
	ring := ofd.Box{X: box.X + 20.5, Y: box.Y + 41, Width: 1, Height: 0.7}
	if got := share(img, ring, isStamp); got < 0.9 {
		t.Errorf("the ring is %v red", got)
	}
	dark := func(c color.RGBA) bool { return int(c.R)+int(c.G)+int(c.B) < 200 }
	if got := share(img, box, dark); got < 0.01 {
		t.Errorf("the text under the seal has %v ink", got)
	}
}

// checkCode compares each module of the QR code with what it says.
func checkCode(t *testing.T, p *ofd.Package, img image.Image) {
	t.Helper()
	page, err := p.Page(0)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(licence().QR, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, layer := range page.Layers {
		for _, object := range layer.Objects {
			picture, ok := object.(*ofd.Image)
			if !ok {
				continue
			}
			found = true
			const quiet = 4
			box, scale := picture.Boundary, float64(img.Bounds().Dx())/210
			module := box.Width / float64(code.Size+2*quiet)
			for row := -quiet; row < code.Size+quiet; row++ {
				for column := -quiet; column < code.Size+quiet; column++ {
					x, y := box.X+(float64(column+quiet)+0.5)*module, box.Y+(float64(row+quiet)+0.5)*module
					c := color.RGBAModel.Convert(img.At(int(x*scale), int(y*scale))).(color.RGBA)
					if want := code.Black(column, row); want != isInk(c) {
						t.Fatalf("module %d, %d is %v, want black %v", column, row, c, want)
					}
				}
			}
		}
	}
	if !found {
		t.Error("no QR code on the page")
	}
}

// TestClippedStamp shows the left half of a seal only, as one page of a riding
// seal does.
func TestClippedStamp(t *testing.T) {
	t.Parallel()
	box := ofd.Box{X: 100, Y: 100, Width: 42, Height: 42}
	p := open(t, seal(t, writeLicence(t, licence()), ofd.Stamp{Box: box, Clip: &ofd.Box{Width: 21, Height: 42}}))
	img, notes := paint(t, p, 100, "")
	if len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	left := share(img, ofd.Box{X: 100, Y: 100, Width: 21, Height: 42}, isStamp)
	right := share(img, ofd.Box{X: 121.3, Y: 100, Width: 21, Height: 42}, isStamp)
	if left < 0.1 || right > 0 {
		t.Errorf("%v red to the left, %v to the right", left, right)
	}
	checkSVG(t, p)
}

// TestCopy shows an annotated copy: its watermark is pale, the text readable.
func TestCopy(t *testing.T) {
	t.Parallel()
	l := licence()
	l.CopyNote = "仅用于办理食品经营许可变更 湘东县政务服务中心 有效期至2026年12月22日"
	img, notes := paint(t, open(t, seal(t, writeLicence(t, l), ofd.SealPlace(42, 42))), 150, "licence-copy")
	if len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	watermark := func(c color.RGBA) bool { return c.R > 225 && c.G < 240 && c.G > 180 }
	if got := share(img, ofd.Box{X: 30, Y: 195, Width: 150, Height: 30}, watermark); got < 0.01 {
		t.Errorf("watermark has %v", got)
	}
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	p := open(t, writeLicence(t, licence()))
	face := noto(t)
	tests := []struct {
		name string
		page int
		dpi  float64
		face *typeface.Face
		want error
	}{
		{"no face", 0, 96, nil, render.ErrOptions},
		{"no such page", 1, 96, face, ofd.ErrNotFound},
		{"negative page", -1, 96, face, ofd.ErrNotFound},
		{"no resolution", 0, 0, face, render.ErrOptions},
		{"no number", 0, math.NaN(), face, render.ErrOptions},
		{"too fine", 0, 1200, face, render.ErrLimit},
	}
	for _, test := range tests {
		if _, _, err := render.PNG(p, test.page, test.dpi, render.Options{Face: test.face}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func BenchmarkPNG(b *testing.B) {
	p := open(b, writeLicence(b, licence()))
	for b.Loop() {
		if _, _, err := render.PNG(p, 0, 150, render.Options{Face: noto(b)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSVG(b *testing.B) {
	p := open(b, writeLicence(b, licence()))
	for b.Loop() {
		if _, _, err := render.SVG(p, 0, render.Options{Face: noto(b)}); err != nil {
			b.Fatal(err)
		}
	}
}
