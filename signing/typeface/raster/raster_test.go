package raster

import (
	"errors"
	"image"
	"image/draw"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/vector"

	"github.com/onewindow/onewindow/signing/typeface"
)

// picture fills a path into a mask.
func picture(path typeface.Path, rule Rule, bounds image.Rectangle) *image.Alpha {
	mask := image.NewAlpha(bounds)
	Fill(path, rule, bounds, func(x, y int, coverage []uint8) {
		copy(mask.Pix[mask.PixOffset(x, y):], coverage)
	})
	return mask
}

// area adds up a mask, in pixels.
func area(mask *image.Alpha) float64 {
	sum := 0.0
	for _, v := range mask.Pix {
		sum += float64(v) / 255
	}
	return sum
}

func polygon(points ...float64) typeface.Path {
	var p typeface.Path
	p.Move(points[0], points[1])
	for i := 2; i < len(points); i += 2 {
		p.Line(points[i], points[i+1])
	}
	p.Close()
	return p
}

func TestFillAgreesWithAnotherRasterizer(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		// Above 512 pixels the other one calculates with floating point.
		width, height := 513+random.IntN(20), 20+random.IntN(200)
		at := func() (float64, float64) { // a third outside
			return (random.Float64()*1.5 - 0.25) * float64(width), (random.Float64()*1.5 - 0.25) * float64(height)
		}
		var path typeface.Path
		theirs := vector.NewRasterizer(width, height)
		for range 1 + random.IntN(3) {
			x, y := at()
			path.Move(x, y)
			theirs.MoveTo(float32(x), float32(y))
			for range 2 + random.IntN(6) {
				x, y := at()
				path.Line(x, y)
				theirs.LineTo(float32(x), float32(y))
			}
			path.Close()
			theirs.ClosePath()
		}
		want := image.NewAlpha(image.Rect(0, 0, width, height))
		theirs.Draw(want, want.Rect, image.Opaque, image.Point{})
		got := picture(path, NonZero, want.Rect)
		off := 0
		for i := range got.Pix {
			if math.Abs(float64(got.Pix[i])-float64(want.Pix[i])) > 4 {
				off++
			}
		}
		if off > 0 {
			t.Fatalf("round %d: %d pixels differ, areas %v and %v", round, off, area(got), area(want))
		}
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	bounds := image.Rect(0, 0, 40, 30)
	square := polygon(5, 5, 25, 5, 25, 25, 5, 25)
	hole := polygon(10, 10, 20, 10, 20, 20, 10, 20) // the same direction
	ring := append(append(typeface.Path{}, square...), hole...)
	var circle typeface.Path
	const k = 0.5522847498
	circle.Move(30, 15)
	circle.Cube(30, 15+10*k, 20+10*k, 25, 20, 25)
	circle.Cube(20-10*k, 25, 10, 15+10*k, 10, 15)
	circle.Cube(10, 15-10*k, 20-10*k, 5, 20, 5)
	circle.Cube(20+10*k, 5, 30, 15-10*k, 30, 15)
	circle.Close()
	var parabola typeface.Path
	parabola.Move(0, 0)
	parabola.Quad(20, 60, 40, 0)
	tests := []struct {
		name   string
		path   typeface.Path
		rule   Rule
		bounds image.Rectangle
		want   float64
	}{
		{"square", square, NonZero, bounds, 400},
		{"part of a pixel", polygon(1.25, 1.25, 1.75, 1.25, 1.75, 1.75, 1.25, 1.75), NonZero, bounds, 0.25},
		{"both count", ring, NonZero, bounds, 400},
		{"hole", ring, EvenOdd, bounds, 300},
		{"circle", circle, NonZero, bounds, 100 * math.Pi},
		{"parabola", parabola, NonZero, image.Rect(0, 0, 40, 40), 800},
		{"half outside", square, NonZero, image.Rect(15, 0, 40, 30), 200},
		{"corner", square, NonZero, image.Rect(0, 0, 10, 15), 50},
		{"all outside", square, NonZero, image.Rect(26, 0, 40, 30), 0},
		{"beyond all rims", polygon(-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300), NonZero, bounds, 1200},
		{"no numbers", polygon(math.NaN(), 0, math.Inf(1), 0, math.Inf(1), math.Inf(-1)), NonZero, bounds, 0},
		{"line", polygon(1, 1, 20, 20), NonZero, bounds, 0},
		{"nothing", nil, NonZero, bounds, 0},
	}
	for _, test := range tests {
		if got := area(picture(test.path, test.rule, test.bounds)); math.Abs(got-test.want) > 1 {
			t.Errorf("%s: area %v, want %v", test.name, got, test.want)
		}
	}
}

// TestBands fills a shape that needs several bands: no row may differ.
func TestBands(t *testing.T) {
	t.Parallel()
	bounds := image.Rect(0, 0, 3000, 1000)
	mask := image.NewAlpha(bounds)
	draw.Draw(mask, bounds, image.Transparent, image.Point{}, draw.Src)
	rows := 0
	Fill(polygon(10, 0, 2990, 0, 2990, 1000, 10, 1000), NonZero, bounds, func(x, y int, coverage []uint8) {
		if x != 10 || y != rows || len(coverage) != 2980 || coverage[0] != 255 || coverage[2979] != 255 {
			t.Fatalf("row %d: %d pixels at %d,%d", rows, len(coverage), x, y)
		}
		rows++
	})
	if rows != 1000 {
		t.Fatalf("%d rows", rows)
	}
}

func TestStroke(t *testing.T) {
	t.Parallel()
	bounds := image.Rect(0, 0, 200, 200)
	open := func(points ...float64) typeface.Path {
		p := polygon(points...)
		return p[:len(p)-1]
	}
	square := polygon(50, 50, 150, 50, 150, 150, 50, 150)
	corner := open(50, 150, 50, 50, 150, 50)
	tests := []struct {
		name string
		path typeface.Path
		pen  Pen
		want float64
	}{
		{"butt", open(20, 50, 120, 50), Pen{Width: 4}, 400},
		{"slanted", open(20, 20, 50, 60), Pen{Width: 4}, 200},
		{"square caps", open(20, 50, 120, 50), Pen{Width: 4, Cap: SquareCap}, 416},
		{"round caps", open(20, 50, 120, 50), Pen{Width: 4, Cap: RoundCap}, 400 + 4*math.Pi},
		{"dot", open(20, 50, 20, 50), Pen{Width: 10, Cap: RoundCap}, 25 * math.Pi},
		{"no dot", open(20, 50, 20, 50), Pen{Width: 10}, 0},
		{"miter", corner, Pen{Width: 20, MiterLimit: 4}, 2*20*100 - 100 + 100},
		{"miter cut", corner, Pen{Width: 20, MiterLimit: 1}, 2*20*100 - 100 + 50},
		{"bevel", corner, Pen{Width: 20, Join: BevelJoin}, 2*20*100 - 100 + 50},
		{"round", corner, Pen{Width: 20, Join: RoundJoin}, 2*20*100 - 100 + 25*math.Pi},
		{"closed", square, Pen{Width: 10, MiterLimit: 4}, 110*110 - 90*90},
		{"dashes", open(20, 50, 120, 50), Pen{Width: 4, Dashes: []float64{10, 10}}, 200},
		{"odd dashes", open(20, 50, 80, 50), Pen{Width: 4, Dashes: []float64{10}}, 120},
		{"phase", open(20, 50, 30, 50), Pen{Width: 4, Dashes: []float64{10, 10}, Phase: 15}, 20},
		{"dashes round a corner", corner, Pen{Width: 4, MiterLimit: 4, Dashes: []float64{30, 10}}, 5*30*4 - 4 + 4},
		{"no pattern", open(20, 50, 120, 50), Pen{Width: 4, Dashes: []float64{0, 0}}, 400},
		{"closed dashes", square, Pen{Width: 4, Dashes: []float64{50, 50}, Phase: 25}, 800 - 4 - 3*2},
	}
	for _, test := range tests {
		shape, err := Stroke(test.path, test.pen)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := area(picture(shape, NonZero, bounds)); math.Abs(got-test.want) > 0.01*test.want+2 {
			t.Errorf("%s: area %v, want %v", test.name, got, test.want)
		}
	}
}

func TestStrokeLimits(t *testing.T) {
	t.Parallel()
	long := polygon(0, 0, 1e6, 0)
	if _, err := Stroke(long, Pen{Width: 1, Dashes: []float64{0.1, 0.1}}); !errors.Is(err, ErrLimit) {
		t.Errorf("a million dashes: %v", err)
	}
	var many typeface.Path
	many.Move(0, 0)
	for i := range maxStrokes + 1 {
		many.Line(float64(i%7), float64(i%5))
	}
	if _, err := Stroke(many, Pen{Width: 1}); !errors.Is(err, ErrLimit) {
		t.Errorf("a long path: %v", err)
	}
}

func FuzzPath(f *testing.F) {
	f.Add(10.0, 10.0, 20.0, 30.0, 5.0, 50.0, 3.0, 2.0, uint8(0))
	f.Add(math.Inf(1), math.NaN(), -1e308, 1e308, 0.0, 0.0, 1e-9, 0.0, uint8(0xFF))
	f.Fuzz(func(t *testing.T, x0, y0, x1, y1, x2, y2, width, dashed float64, options uint8) {
		var path typeface.Path
		path.Move(x0, y0)
		path.Line(x1, y1)
		path.Quad(x2, y2, y0, x1)
		if options&1 != 0 {
			path.Close()
			path.Cube(x0, y1, x2, y0, x1, y2)
		}
		pen := Pen{Width: width, Cap: Cap(options >> 1 % 3), Join: Join(options >> 3 % 3), MiterLimit: 4}
		if options&0x80 != 0 {
			pen.Dashes = []float64{dashed, width}
		}
		bounds := image.Rect(0, 0, 64, 64)
		paint := func(x, y int, coverage []uint8) {
			if row := image.Rect(x, y, x+len(coverage), y+1); !row.In(bounds) {
				t.Fatalf("row %v", row)
			}
		}
		Fill(path, Rule(options>>5&1), bounds, paint)
		shape, err := Stroke(path, pen)
		if err == nil {
			Fill(shape, NonZero, bounds, paint)
		}
	})
}
