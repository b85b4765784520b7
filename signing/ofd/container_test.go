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

func stored(h *zip.FileHeader) { h.Method = zip.Store }

// directoryOf is where the directory of a container without comment begins.
func directoryOf(b []byte) int { return int(binary.LittleEndian.Uint32(b[len(b)-22+16:])) }

// localFlag changes the second byte of the first local record's flags, directoryFlag
// that of the first directory record's. 8 marks the name as UTF-8.
func localFlag(b []byte, flag byte) []byte     { b[7] = flag; return b }
func directoryFlag(b []byte, flag byte) []byte { b[directoryOf(b)+9] = flag; return b }

// zip64 states the sizes of the only entry, stored, in an extra field of its local
// record, as .NET writes it. The record's own sum replaces the descriptor.
func zip64(b []byte, id uint16, inflated, deflated uint64) []byte {
	le := binary.LittleEndian
	directory := directoryOf(b)
	nameEnd := 30 + int(le.Uint16(b[26:]))
	data := b[nameEnd : nameEnd+int(le.Uint32(b[directory+20:]))]
	extra := le.AppendUint16(le.AppendUint16(nil, id), 16)
	extra = le.AppendUint64(le.AppendUint64(extra, inflated), deflated)
	out := slices.Concat(b[:nameEnd], extra, data)
	out[6] &^= 8
	copy(out[14:18], b[directory+16:])
	le.PutUint32(out[18:], 1<<32-1)
	le.PutUint32(out[22:], 1<<32-1)
	le.PutUint16(out[28:], uint16(len(extra)))
	start := len(out)
	out = append(out, b[directory:]...)
	out[start+8] &^= 8
	le.PutUint32(out[len(out)-22+16:], uint32(start))
	return out
}

// TestContainersOfOtherWritersAreRead holds what other producers write and what
// nevertheless has one reading only.
func TestContainersOfOtherWritersAreRead(t *testing.T) {
	le := binary.LittleEndian
	good := container(t, stored, "A.xml")
	commented := append(bytes.Clone(good), "KRC"...)
	commented[len(good)-2] = 3
	longest := append(bytes.Clone(good), strings.Repeat("K", 65535)...)
	longest[len(good)-2], longest[len(good)-1] = 0xff, 0xff
	entry := bytes.Clone(good)
	entry[directoryOf(good)+32] = 3
	entry = slices.Insert(entry, len(entry)-22, []byte("abc")...)
	le.PutUint32(entry[len(entry)-22+12:], uint32(len(entry)-22-directoryOf(good)))
	for name, file := range map[string][]byte{
		"UTF-8 flag in the local record only": localFlag(bytes.Clone(good), 8),
		"UTF-8 flag in the directory only":    directoryFlag(bytes.Clone(good), 8),
		"local sizes in zip64":                zip64(bytes.Clone(good), 1, 44, 44),
		"archive comment":                     commented,
		"longest archive comment":             longest,
		"entry comment":                       entry,
	} {
		p, err := ofd.Open(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if data, err := p.Read("A.xml"); err != nil || string(data) != "the contents of A.xml, the contents of A.xml" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil || len(r.File) != 1 || r.File[0].Name != "A.xml" {
			t.Errorf("%s: archive/zip reads something else: %v", name, err)
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
		"comment too long":        edit(func(b []byte) []byte { b[end+20] = 1; return append(b, "cc"...) }),
		"comment too short":       edit(func(b []byte) []byte { b[end+20] = 2; return append(b, 'c') }),
		"comment with an end":     edit(func(b []byte) []byte { b[end+20] = 22; return append(b, b[end:]...) }),
		"comment with a start":    edit(func(b []byte) []byte { b[end+20] = 5; return append(b, "PK\x05\x06x"...) }),
		"count too small":         edit(func(b []byte) []byte { b[end+8], b[end+10] = 1, 1; return b }),
		"count too large":         edit(func(b []byte) []byte { b[end+8], b[end+10] = 3, 3; return b }),
		"second disk":             put(end+4, 1),
		"local name differs":      put(30, 'o'),
		"local method differs":    put(8, 0),
		"encrypted":               edit(func(b []byte) []byte { b[6] |= 1; b[directory+8] |= 1; return b }),
		"unknown method":          edit(func(b []byte) []byte { b[8], b[directory+10] = 12, 12; return b }),
		"descriptor changed":      put(int(le.Uint32(good[directory+20:]))+30+7+5, 0xff),
		"entry comment cut":       put(directory+32, 1),
		"entry on another disk":   put(directory+34, 1),
		"zip64 in the directory":  edit(func(b []byte) []byte { le.PutUint32(b[directory+24:], 1<<32-1); return b }),
		"flag differs":            put(6, 1<<1|good[6]),
		"UTF-8 by one of two":     localFlag(container(t, stored, "图.xml"), 0),
		"UTF-8 by the other":      directoryFlag(container(t, stored, "图.xml"), 0),
		"zip64, other sizes":      zip64(container(t, stored, "A.xml"), 1, 45, 44),
		"zip64, none":             zip64(container(t, stored, "A.xml"), 2, 44, 44),
		"zip64, huge":             zip64(container(t, stored, "A.xml"), 1, 44|1<<32, 44|1<<32),
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
	f.Add(zip64(container(f, stored, "A.xml"), 1, 44, 44))
	f.Add(localFlag(container(f, stored, "A.xml"), 8))
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
