package ofd_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd"
)

// container writes entries with archive/zip, changing each header first.
func container(tb testing.TB, change func(h *zip.FileHeader), names ...string) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		if change != nil {
			change(h)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			tb.Fatal(err)
		}
		if !strings.HasSuffix(name, "/") {
			fmt.Fprintf(f, "the contents of %s, the contents of %s", name, name)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func TestOpenReadsWhatZipProgramsWrite(t *testing.T) {
	for name, change := range map[string]func(h *zip.FileHeader){
		"descriptors": nil,
		"stored":      func(h *zip.FileHeader) { h.Method = zip.Store },
		"extra field": func(h *zip.FileHeader) { h.Extra = []byte{0x55, 0x54, 1, 0, 0} },
	} {
		p, err := ofd.Open(container(t, change, "OFD.xml", "Doc_0/", "Doc_0/Res/图片.png", "Doc_0/A.xml"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := p.Paths(), []string{"OFD.xml", "Doc_0/Res/图片.png", "Doc_0/A.xml"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
		for _, path := range []string{"Doc_0/A.xml", "/Doc_0/A.xml", "doc_0/a.XML"} {
			if data, err := p.Read(path); err != nil || string(data) != "the contents of Doc_0/A.xml, the contents of Doc_0/A.xml" {
				t.Errorf("%s: %s: %q, %v", name, path, data, err)
			}
		}
		for _, path := range []string{"Doc_0/", "Doc_0", "B", "", "/"} {
			if _, err := p.Read(path); !errors.Is(err, ofd.ErrNotFound) {
				t.Errorf("%s: %q: %v", name, path, err)
			}
		}
	}
}

func TestOpenRefusesTwoReadings(t *testing.T) {
	good := container(t, nil, "OFD.xml", "A.xml")
	le := binary.LittleEndian
	end := len(good) - 22
	directory := int(le.Uint32(good[end+16:]))
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	put := func(at int, v byte) []byte { return edit(func(b []byte) []byte { b[at] = v; return b }) }
	bomb := container(t, nil, "x")
	for name, file := range map[string][]byte{
		"empty":                   nil,
		"no zip":                  []byte(strings.Repeat("x", 100)),
		"bytes behind":            append(bytes.Clone(good), 0),
		"bytes before":            append([]byte{0}, good...),
		"bytes before, corrected": edit(func(b []byte) []byte { le.PutUint32(b[end+16:], uint32(directory)+1); return append([]byte{0}, b...) }),
		"comment":                 edit(func(b []byte) []byte { b[end+20] = 1; return append(b, 'c') }),
		"count too small":         edit(func(b []byte) []byte { b[end+8], b[end+10] = 1, 1; return b }),
		"count too large":         edit(func(b []byte) []byte { b[end+8], b[end+10] = 3, 3; return b }),
		"second disk":             put(end+4, 1),
		"local name differs":      put(30, 'o'),
		"local method differs":    put(8, 0),
		"encrypted":               edit(func(b []byte) []byte { b[6] |= 1; b[directory+8] |= 1; return b }),
		"unknown method":          edit(func(b []byte) []byte { b[8], b[directory+10] = 12, 12; return b }),
		"descriptor changed":      put(int(le.Uint32(good[directory+20:]))+30+7+5, 0xff),
		"entry comment":           put(directory+32, 1),
		"offset":                  put(directory+42, 1),
		"same name":               container(t, nil, "OFD.xml", "OFD.xml"),
		"same but for case":       container(t, nil, "OFD.xml", "ofd.XML"),
		"file and folder":         container(t, nil, "a", "a/"),
		"parent":                  container(t, nil, "../OFD.xml"),
		"parent inside":           container(t, nil, "a/../OFD.xml"),
		"absolute":                container(t, nil, "/OFD.xml"),
		"dot":                     container(t, nil, "./OFD.xml"),
		"backslash":               container(t, nil, `a\OFD.xml`),
		"NUL":                     container(t, nil, "OFD.xml\x00"),
		"drive":                   container(t, nil, "c:OFD.xml"),
		"double slash":            container(t, nil, "a//b"),
		"no name":                 container(t, nil, ""),
		"not marked as UTF-8":     container(t, func(h *zip.FileHeader) { h.NonUTF8 = true }, "图.xml"),
		"another name":            container(t, func(h *zip.FileHeader) { h.Extra = []byte{0x75, 0x70, 1, 0, 0} }, "OFD.xml"),
		"extra field cut":         container(t, func(h *zip.FileHeader) { h.Extra = []byte{1, 2, 9, 0, 0} }, "OFD.xml"),
	} {
		if _, err := ofd.Open(file); !errors.Is(err, ofd.ErrContainer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Limits are those of what the directory states, before anything is inflated.
	start := int(le.Uint32(bomb[len(bomb)-22+16:]))
	for name, size := range map[string]uint32{"entry": ofd.MaxEntry + 1, "ratio": 10 << 20} {
		b := bytes.Clone(bomb)
		le.PutUint32(b[start+24:], size)
		if _, err := ofd.Open(b); !errors.Is(err, ofd.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var many []string
	for i := range ofd.MaxEntries + 1 {
		many = append(many, fmt.Sprint(i))
	}
	if _, err := ofd.Open(container(t, nil, many...)); !errors.Is(err, ofd.ErrLimit) {
		t.Errorf("entries: %v", err)
	}
	// What only inflating shows.
	p, err := ofd.Open(put(30+7+5, good[30+7+5]^0xff))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := p.Read("OFD.xml"); !errors.Is(err, ofd.ErrContainer) {
		t.Errorf("damaged data: %q, %v", data, err)
	}
}

// FuzzOpen opens containers and reads every entry; what opens must be found by
// archive/zip with the same contents.
func FuzzOpen(f *testing.F) {
	f.Add(container(f, nil, "OFD.xml", "Doc_0/", "Doc_0/Res/图片.png"))
	f.Add(container(f, func(h *zip.FileHeader) { h.Method = zip.Store }, "a", "b"))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := ofd.Open(file)
		if err != nil {
			return
		}
		r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("archive/zip: %v", err)
		}
		for _, name := range p.Paths() {
			data, err := p.Read(name)
			if err != nil {
				continue
			}
			theirs, err := r.Open(name)
			if err != nil {
				t.Fatalf("archive/zip does not find %q: %v", name, err)
			}
			var got bytes.Buffer
			if _, err := got.ReadFrom(theirs); err != nil || !bytes.Equal(got.Bytes(), data) {
				t.Fatalf("%q: archive/zip reads %q, %v; we %q", name, got.Bytes(), err, data)
			}
			_ = theirs.Close()
		}
	})
}
