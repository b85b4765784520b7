package render_test

import (
	"archive/zip"
	"bytes"
	"encoding/asn1"
	"errors"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ofd/render"
)

const (
	// trialFolder names the folder of foreign files that are tried too, e.g. the
	// .ofd files of ofdrw's tests.
	trialFolder = "ONEWINDOW_TEST_OFD"
	// maxRefused is how many of the foreign files may be refused: 4 of 56.
	maxRefused = 4
	// maxHeap is how much memory the process may have taken for all that it painted.
	maxHeap = 1 << 30
)

// outcome is what became of one file.
type outcome struct {
	pages int
	notes []ofd.Note
	err   error
}

// rendered paints every page of a file, with its seals.
func rendered(tb testing.TB, data []byte) (o outcome) {
	tb.Helper()
	p, err := ofd.Open(data)
	if err != nil {
		return outcome{err: err}
	}
	document, err := p.Document()
	if err != nil {
		return outcome{err: err}
	}
	var memory runtime.MemStats
	for i := range document.Pages {
		_, notes, err := render.PNG(p, i, 96, render.Options{Face: noto(tb), Seals: true})
		if err != nil {
			return outcome{pages: i, notes: o.notes, err: err}
		}
		if runtime.ReadMemStats(&memory); memory.HeapSys > maxHeap {
			tb.Fatalf("page %d: %d MiB of memory are taken", i+1, memory.HeapSys>>20)
		}
		o.pages++
		for _, n := range notes {
			if !slices.Contains(o.notes, n) {
				o.notes = append(o.notes, n)
			}
		}
	}
	return o
}

// isNamed reports whether an error says what is wrong with the file.
func isNamed(err error) bool {
	return slices.ContainsFunc([]error{
		ofd.ErrContainer, ofd.ErrLimit, ofd.ErrNotFound, ofd.ErrXML, ofd.ErrDocument, render.ErrLimit,
	}, func(known error) bool { return errors.Is(err, known) })
}

// ofFile repacks a file with changed parts; nil takes one away.
func ofFile(tb testing.TB, file []byte, changed map[string][]byte) []byte {
	tb.Helper()
	r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		tb.Fatal(err)
	}
	return encoded(tb, func(out io.Writer) error {
		w := zip.NewWriter(out)
		for _, f := range r.File {
			data, known := changed[f.Name]
			if !known {
				if err := w.Copy(f); err != nil {
					return err
				}
				continue
			}
			if data == nil {
				continue
			}
			entry, err := w.Create(f.Name)
			if err != nil {
				return err
			}
			if _, err := entry.Write(data); err != nil {
				return err
			}
		}
		return w.Close()
	})
}

// withPicture is a sealed page whose seal has another picture. Its signature
// does not hold any more: painting does not ask.
func withPicture(tb testing.TB, kind string, picture []byte) []byte {
	tb.Helper()
	file := seal(tb, archive(tb, ""), ofd.Stamp{Box: ofd.Box{X: 30, Y: 30, Width: 42, Height: 42}})
	names := open(tb, file).Paths()
	name := names[slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, "SignedValue.dat") })]
	value, err := open(tb, file).Read(name)
	if err != nil {
		tb.Fatal(err)
	}
	return ofFile(tb, file, map[string][]byte{name: repicture(tb, value, kind, picture)})
}

// repicture replaces, in DER, the type "PNG" and the octets that are a PNG.
func repicture(tb testing.TB, der []byte, kind string, picture []byte) (out []byte) {
	tb.Helper()
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			tb.Fatal(err)
		}
		der = rest
		switch {
		case v.IsCompound:
			v.Bytes = repicture(tb, v.Bytes, kind, picture)
		case v.Tag == asn1.TagIA5String && string(v.Bytes) == "PNG":
			v.Bytes = []byte(kind)
		case v.Tag == asn1.TagOctetString && bytes.HasPrefix(v.Bytes, []byte("\x89PNG")):
			v.Bytes = picture
		}
		v.FullBytes = nil
		again, err := asn1.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, again...)
	}
	return out
}

// ownSet are small files of our own, one for each thing that a page may leave
// out or that was once left out, with the notes that they must get.
func ownSet(tb testing.TB) map[string]struct {
	file []byte
	want []ofd.Note
} {
	tb.Helper()
	sealed := seal(tb, archive(tb, ""), ofd.Stamp{Box: ofd.Box{X: 30, Y: 30, Width: 42, Height: 42}})
	var list, description string
	for _, name := range open(tb, sealed).Paths() {
		switch {
		case strings.HasSuffix(name, "/Signatures.xml"):
			list = name
		case strings.HasSuffix(name, "/Signature.xml"):
			description = name
		}
	}
	image := func(id string) string {
		return object("ImageObject", `Boundary="0 0 9 9" ResourceID="`+id+`"`, "")
	}
	shading := path(filled+`Boundary="20 20 10 10"`, `<ofd:FillColor><ofd:RadialShd StartPoint="0 0" EndPoint="5 5"><ofd:Segment><ofd:Color Value="1 2 3"/></ofd:Segment></ofd:RadialShd></ofd:FillColor>`+box10)
	return map[string]struct {
		file []byte
		want []ofd.Note
	}{
		"everything drawn":       {archive(tb, path(filled+`Boundary="20 20 10 10"`, red+box10)), nil},
		"box below zero":         {archive(tb, path(filled+`Boundary="20 20 -10 -10"`, red+box10)), nil},
		"seal that is OFD":       {withPicture(tb, "ofd", archive(tb, path(filled+`Boundary="20 20 10 10"`, red+box10))), nil},
		"seal that is OFD, bad":  {withPicture(tb, "ofd", []byte("PK\x03\x04")), []ofd.Note{{Code: ofd.NoteSealPicture, Subject: "ofd"}}},
		"seal that is SVG":       {withPicture(tb, "SVG", []byte("<svg/>")), []ofd.Note{{Code: ofd.NoteSealPicture, Subject: "SVG"}}},
		"seals named in vain":    {ofFile(tb, sealed, map[string][]byte{list: nil}), []ofd.Note{{Code: ofd.NoteSealList, Subject: list}}},
		"seal that has no file":  {ofFile(tb, sealed, map[string][]byte{description: nil}), []ofd.Note{{Code: ofd.NoteSealUnreadable, Subject: description}}},
		"JBIG2":                  {archive(tb, image("25")), []ofd.Note{{Code: ofd.NoteImageFormat, Object: 50, Subject: "JBIG2"}}},
		"broken picture":         {archive(tb, image("23")), []ofd.Note{{Code: ofd.NoteImageUnreadable, Object: 50, Subject: "Doc_0/Res/bad.ttf"}}},
		"huge picture":           {archive(tb, image("24")), []ofd.Note{{Code: ofd.NoteImageTooLarge, Object: 50, Subject: "Doc_0/Res/huge.png"}}},
		"picture without a file": {archive(tb, image("26")), []ofd.Note{{Code: ofd.NoteImageMissing, Object: 50, Subject: "Doc_0/Res/none.png"}}},
		"gradient":               {archive(tb, shading), []ofd.Note{{Code: ofd.NoteShading, Object: 50, Subject: "RadialShd"}}},
		"translucent group": {
			archive(tb, object("CompositeObject", `Boundary="0 0 9 9" Alpha="99" ResourceID="32"`, "")), []ofd.Note{{Code: ofd.NoteGroupOpacity, Object: 50}},
		},
	}
}

// TestTrialSetIsRenderedOrNamed paints small files of our own and, where the
// environment names a folder, all OFD files there. It prints what became of each.
func TestTrialSetIsRenderedOrNamed(t *testing.T) { //nolint:paralleltest // it measures memory
	for name, c := range ownSet(t) {
		o := rendered(t, c.file)
		t.Logf("%-45s %d pages %v %v", name, o.pages, o.notes, o.err)
		if o.err != nil || !slices.Equal(o.notes, c.want) {
			t.Errorf("%s: notes %v, want %v; %v", name, o.notes, c.want, o.err)
		}
	}
	folder := os.Getenv(trialFolder)
	if folder == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.ofd"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no .ofd files in %s: %v", trialFolder, folder, err)
	}
	refused := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o := rendered(t, data)
		if o.err == nil {
			t.Logf("%-45s %d pages %v", filepath.Base(file), o.pages, o.notes)
			continue
		}
		refused++
		t.Logf("%-45s refused: %v", filepath.Base(file), o.err)
		if !isNamed(o.err) {
			t.Errorf("%s: the reason has no name: %v", filepath.Base(file), o.err)
		}
	}
	t.Logf("%d of %d files rendered", len(files)-refused, len(files))
	if refused > maxRefused {
		t.Errorf("%d of %d files are refused, at most %d may be", refused, len(files), maxRefused)
	}
}

// TestSealThatIsADrawingGoesOverThePageLikeInk: the red of the seal is there,
// and the white around it leaves what is below as it was.
func TestSealThatIsADrawingGoesOverThePageLikeInk(t *testing.T) {
	t.Parallel()
	drawing := archive(t, path(filled+`Boundary="40 40 20 20"`, `<ofd:FillColor Value="200 0 0"/><ofd:AbbreviatedData>M 0 0 L 20 0 L 20 20 L 0 20 C</ofd:AbbreviatedData>`))
	file := withPicture(t, "OFD", drawing)
	p := open(t, file)
	img, notes := paint(t, p, 254, "")
	if len(notes) != 0 {
		t.Error(notes)
	}
	for _, probe := range []probe{
		{51, 51, color.RGBA{200, 0, 0, 255}}, // the middle of a drawing of 100 mm in a seal of 42 mm
		{35, 35, white},                      // white within the seal
		{85, 85, color.RGBA{0, 200, 0, 255}}, // the page beside it
		{66, 66, color.RGBA{0, 200, 0, 255}}, // the drawing's own template
	} {
		got := color.RGBAModel.Convert(img.At(int(probe.x*10), int(probe.y*10))).(color.RGBA)
		if distance(got, probe.want) > 6 {
			t.Errorf("at %v, %v is %v, want %v", probe.x, probe.y, got, probe.want)
		}
	}
	checkSVG(t, p)
}
