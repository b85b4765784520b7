package render_test

import (
	"image/color"
	"os"
	"path/filepath"
	"testing"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

// TestOfdrw paints a page that ofdrw made: its canvas of 140 × 100 mm starts
// at 31.7, 30.892.
func TestOfdrw(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	picture, file := filepath.Join(dir, "black.png"), filepath.Join(dir, "drawing.ofd")
	if err := os.WriteFile(picture, blackPNG(t), 0o600); err != nil {
		t.Fatal(err)
	}
	peer.Java(t, filepath.Join("testdata", "Drawing.java"), file, picture)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, data)
	img, notes := paint(t, p, 127, "ofdrw")
	if len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	blue := color.RGBA{0, 100, 200, 255}
	for _, probe := range []probe{
		{15, 15, blue}, {35, 20, blue}, {60, 15, color.RGBA{179, 209, 239, 255}}, // 76 of 255 over white
		{97.32, 50, reds}, {65.86, 25.86, color.RGBA{179, 30, 60, 255}}, {94.14, 25.86, white}, // three quarters of a circle
		{110, 60, black}, {98, 60, white}, {121, 60, white}, {110, 48, white}, // the clip
	} {
		got := color.RGBAModel.Convert(img.At(int((probe.x+31.7)*5), int((probe.y+30.892)*5))).(color.RGBA)
		if distance(got, probe.want) > 6 {
			t.Errorf("at %v, %v is %v, want %v", probe.x, probe.y, got, probe.want)
		}
	}
	checkSVG(t, p)
}
