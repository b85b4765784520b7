package stamp

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/typeface"
)

func loadFace(tb testing.TB) *typeface.Face {
	tb.Helper()
	face, err := typeface.Load(peer.Face(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return face
}

// ink is the share of inked pixels in a ring about the centre, in the sector
// from one angle to the other: degrees clockwise from the top, -180 to 180;
// radii in millimetres of a 42 mm seal.
func ink(img image.Image, inner, outer, from, to float64) float64 {
	n, sum := 0, 0.0
	size := img.Bounds().Dx()
	for y := range size {
		for x := range size {
			dx, dy := (float64(x)+0.5)/float64(size)*42-21, (float64(y)+0.5)/float64(size)*42-21
			r, angle := math.Hypot(dx, dy), math.Atan2(dx, -dy)*180/math.Pi
			if r < inner || r >= outer || angle < from || angle >= to {
				continue
			}
			n++
			sum += float64(color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA).A) / 255
		}
	}
	return sum / float64(n)
}

func TestRound(t *testing.T) {
	t.Parallel()
	face := loadFace(t)
	tests := []struct {
		name string
		spec RoundSpec
		// arcs are sectors that must have ink, or must be free of it.
		nameSpan      float64 // degrees either side of the top
		label, number bool
	}{
		{"county organ", RoundSpec{Name: "湘东县行政审批服务局", Center: Star, Diameter: 42}, 135, false, false},
		{"with label", RoundSpec{Name: "湘东县行政审批服务局", Center: Star, Label: "行政审批专用章", Diameter: 42}, 118, true, false},
		{"with number", RoundSpec{Name: "湘东县市场监督管理局", Center: Star, Label: "电子证照专用章", Code: "4303000012345", Diameter: 45}, 118, true, true},
		{"shortest", RoundSpec{Name: "湘东税务", Center: Star, Diameter: 40}, 54, false, false},
		{"longest", RoundSpec{Name: "中华人民共和国湘东省湘东自治县经济技术开发区管委", Center: Star, Code: "4303000012345", Diameter: 42}, 131, false, true},
		{"no star", RoundSpec{Name: "湘东县人民政府", Label: "业务专用章", Diameter: 42}, 94.5, true, false},
	}
	for _, test := range tests {
		svg, picture, err := Round(test.spec, face)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		img, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		if want := int(math.Round(test.spec.Diameter / 25.4 * 300)); img.Bounds().Dx() != want || img.Bounds().Dy() != want {
			t.Errorf("%s: %v, want %d pixels", test.name, img.Bounds(), want)
		}
		if v := ink(img, 20, 20.8, -180, 180); v < 0.99 {
			t.Errorf("%s: ring has %v ink", test.name, v)
		}
		if v := ink(img, 19.3, 19.6, -180, 180); v > 0.01 {
			t.Errorf("%s: between ring and text is ink %v", test.name, v)
		}
		if v := ink(img, 0, 2.5, -180, 180); (v > 0.99) != (test.spec.Center == Star) {
			t.Errorf("%s: centre has %v ink", test.name, v)
		}
		for _, side := range []float64{-1, 1} { // each quarter of the name, and nothing beyond it
			step := test.nameSpan / 4
			for at := 0.0; at < test.nameSpan-1; at += step {
				a, b := side*at, side*(at+step)
				if v := ink(img, 14, 18.8, min(a, b), max(a, b)); v < 0.08 || v > 0.6 {
					t.Errorf("%s: name from %v to %v° has %v ink", test.name, a, b, v)
				}
			}
			a, b := side*(test.nameSpan+1), side*(test.nameSpan+9)
			if v := ink(img, 14, 18.8, min(a, b), max(a, b)); v > 0.01 && !test.label {
				t.Errorf("%s: beyond the name is ink %v", test.name, v)
			}
		}
		if v := max(ink(img, 9.5, 11.5, 160, 180), ink(img, 9.5, 11.5, -180, -160)); (v > 0.1) != test.label {
			t.Errorf("%s: label has %v ink", test.name, v)
		}
		if v := max(ink(img, 17.4, 19.2, 155, 179), ink(img, 17.4, 19.2, -179, -155)); (v > 0.1) != test.number {
			t.Errorf("%s: number has %v ink", test.name, v)
		}
		checkSVG(t, test.name, svg, test.spec.Diameter)
		if dir := os.Getenv("ONEWINDOW_TEST_SAMPLES"); dir != "" { // for people to look at
			if err := os.WriteFile(filepath.Join(dir, "stamp-"+strings.ReplaceAll(test.name, " ", "-")+".png"), picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if len(picture) > 40<<10 {
			t.Errorf("%s: %d bytes", test.name, len(picture))
		}
		if again, same, err := Round(test.spec, face); err != nil || !bytes.Equal(again, svg) || !bytes.Equal(same, picture) {
			t.Errorf("%s: not the same twice (%v)", test.name, err)
		}
	}
}

// checkSVG makes sure that the drawing is one path inside its box, without
// fonts, links or scripts.
func checkSVG(t *testing.T, name string, svg []byte, diameter float64) {
	t.Helper()
	shape := regexp.MustCompile(`^<svg xmlns="http://www\.w3\.org/2000/svg" width="[0-9.]+mm" height="[0-9.]+mm" viewBox="[-0-9. ]+"><path fill="#E60012" d="([MLQCZ0-9 .-]+)"/></svg>$`)
	match := shape.FindSubmatch(svg)
	if match == nil {
		t.Errorf("%s: unexpected SVG %.200s", name, svg)
		return
	}
	for _, number := range regexp.MustCompile(`[-0-9.]+`).FindAllString(string(match[1]), -1) {
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || math.Abs(v) > diameter/2 {
			t.Errorf("%s: %s lies outside (%v)", name, number, err)
			return
		}
	}
}

func TestRefusedSpecs(t *testing.T) {
	t.Parallel()
	face := loadFace(t)
	good := RoundSpec{Name: "湘东县人民政府", Center: Star, Diameter: 42}
	tests := []struct {
		name   string
		change func(*RoundSpec)
		want   error
	}{
		{"short name", func(s *RoundSpec) { s.Name = "湘东县" }, ErrSpec},
		{"long name", func(s *RoundSpec) { s.Name = strings.Repeat("县", 25) }, ErrSpec},
		{"space", func(s *RoundSpec) { s.Name = "湘东县 人民政府" }, ErrSpec},
		{"line end", func(s *RoundSpec) { s.Label = "专用\n章" }, ErrSpec},
		{"no text", func(s *RoundSpec) { s.Name = "湘东县\xff政府" }, ErrSpec},
		{"long label", func(s *RoundSpec) { s.Label = strings.Repeat("章", 13) }, ErrSpec},
		{"centre", func(s *RoundSpec) { s.Center = "☆" }, ErrSpec},
		{"short code", func(s *RoundSpec) { s.Code = "123" }, ErrSpec},
		{"no digits", func(s *RoundSpec) { s.Code = "430300001234X" }, ErrSpec},
		{"no size", func(s *RoundSpec) { s.Diameter = 0 }, ErrSpec},
		{"no number", func(s *RoundSpec) { s.Diameter = math.NaN() }, ErrSpec},
		{"rare character", func(s *RoundSpec) { s.Name = "湘东县\U000F0000局" }, typeface.ErrMissingGlyph},
	}
	for _, test := range tests {
		spec := good
		test.change(&spec)
		if _, _, err := Round(spec, face); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func BenchmarkRound(b *testing.B) {
	face := loadFace(b)
	for b.Loop() {
		if _, _, err := Round(RoundSpec{Name: "湘东县行政审批服务局", Center: Star, Label: "行政审批专用章", Diameter: 42}, face); err != nil {
			b.Fatal(err)
		}
	}
}
