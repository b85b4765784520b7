package ofd_test

import (
	"archive/zip"
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ses"
)

// box is a container taken apart, to be put together differently.
type box struct {
	names []string
	data  map[string][]byte
}

func unpack(tb testing.TB, file []byte) *box {
	tb.Helper()
	r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		tb.Fatal(err)
	}
	b := &box{data: map[string][]byte{}}
	for _, f := range r.File {
		rc, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err != nil {
			tb.Fatal(err)
		}
		b.put(f.Name, data)
	}
	return b
}

func (b *box) put(name string, data []byte) {
	if b.data[name] == nil {
		b.names = append(b.names, name)
	}
	b.data[name] = data
}

func (b *box) remove(name string) {
	delete(b.data, name)
	b.names = slices.DeleteFunc(b.names, func(n string) bool { return n == name })
}

// edit replaces the one place where old stands.
func (b *box) edit(tb testing.TB, name, old, new string) {
	tb.Helper()
	if strings.Count(string(b.data[name]), old) != 1 {
		tb.Fatalf("%s holds %q %d times:\n%s", name, old, strings.Count(string(b.data[name]), old), b.data[name])
	}
	b.data[name] = []byte(strings.Replace(string(b.data[name]), old, new, 1))
}

// pack writes with archive/zip, which puts sizes behind the data.
func (b *box) pack(tb testing.TB) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range b.names {
		f, err := w.Create(name)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := f.Write(b.data[name]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

const (
	content    = "Doc_0/Pages/Page_0/Content.xml"
	signatures = "Doc_0/Signs/Signatures.xml"
	sign0      = "Doc_0/Signs/Sign_0/"
)

func TestTamperingFailsItsOwnStep(t *testing.T) {
	w := newWorld(t)
	file := page(t, foodLicense())
	one := w.seal(t, file, 0, nil)
	other := w.seal(t, file, 1, nil)
	two := w.seal(t, one, 1, nil)
	for name, c := range map[string]struct {
		file   []byte
		change func(b *box)
		failed []string
	}{
		"nothing":               {one, func(*box) {}, nil},
		"face":                  {one, func(b *box) { b.edit(t, content, "刘建国", "刘建囯") }, []string{ofd.StepReferences}},
		"custom data":           {one, func(b *box) { b.edit(t, "OFD.xml", "JY14302230012345", "JY14302230012346") }, []string{ofd.StepReferences}},
		"font removed":          {one, func(b *box) { b.remove("Doc_0/Res/font.ttf") }, []string{ofd.StepReferences}},
		"page added, not shown": {one, func(b *box) { b.put("Doc_0/Pages/Page_1/Content.xml", b.data[content]) }, []string{ofd.StepCoverage}},
		"page added": {one, func(b *box) {
			b.put("Doc_0/Pages/Page_1/Content.xml", b.data[content])
			b.edit(t, "Doc_0/Document.xml", "</ofd:Pages>", `<ofd:Page ID="99" BaseLoc="Pages/Page_1/Content.xml"/></ofd:Pages>`)
		}, []string{ofd.StepReferences, ofd.StepCoverage}},
		"annotation added": {one, func(b *box) {
			b.edit(t, "Doc_0/Document.xml", "</ofd:Document>", "<ofd:Annotations>Annotations.xml</ofd:Annotations></ofd:Document>")
			b.put("Doc_0/Annotations.xml", []byte(`<ofd:Annotations xmlns:ofd="`+ofd.Namespace+`"/>`))
		}, []string{ofd.StepReferences, ofd.StepCoverage}},
		"stamp moved": {one, func(b *box) { b.edit(t, sign0+"Signature.xml", `Boundary="124 220`, `Boundary="24 220`) }, []string{ofd.StepDataHash}},
		"reference dropped": {one, func(b *box) {
			text := string(b.data[sign0+"Signature.xml"])
			start := strings.Index(text, `<ofd:Reference FileRef="/`+content)
			end := start + strings.Index(text[start:], "</ofd:Reference>") + len("</ofd:Reference>")
			b.put(sign0+"Signature.xml", []byte(text[:start]+text[end:]))
		}, []string{ofd.StepDataHash, ofd.StepCoverage}},
		"MD5": {
			one, func(b *box) {
				b.edit(t, sign0+"Signature.xml", `CheckMethod="1.2.156.10197.1.401"`, `CheckMethod="MD5"`)
			},
			[]string{ofd.StepAlgorithm, ofd.StepDataHash},
		},
		"no check method": {
			one, func(b *box) { b.edit(t, sign0+"Signature.xml", ` CheckMethod="1.2.156.10197.1.401"`, ``) },
			[]string{ofd.StepAlgorithm, ofd.StepDataHash},
		},
		"seal swapped": {one, func(b *box) { b.put(sign0+"Seal.esl", w.signers[1].seal) }, []string{ofd.StepReferences, ofd.StepSealCopy}},
		"signature of another file": {
			one, func(b *box) { b.put(sign0+"SignedValue.dat", unpack(t, other).data[sign0+"SignedValue.dat"]) },
			[]string{ofd.StepDataHash, ofd.StepSealCopy},
		},
		"signature value cut": {
			one, func(b *box) { b.put(sign0+"SignedValue.dat", b.data[sign0+"SignedValue.dat"][:100]) },
			[]string{ofd.StepSignedValue},
		},
		"signature moved": {one, func(b *box) {
			b.put("Doc_0/Signs/Sign_9/Signature.xml", b.data[sign0+"Signature.xml"])
			b.remove(sign0 + "Signature.xml")
			b.edit(t, signatures, "Sign_0", "Sign_9")
		}, []string{ofd.StepPlace}},
		"signature wrapped": {one, func(b *box) {
			// The old signature is moved aside; the listed one has references to decoys.
			decoy := strings.ReplaceAll(string(b.data[sign0+"Signature.xml"]), "/"+content, "/Decoy.xml")
			b.put("Decoy.xml", b.data[content])
			b.put("Doc_0/Signs/Sign_0/Old.xml", b.data[sign0+"Signature.xml"])
			b.put(sign0+"Signature.xml", []byte(decoy))
			b.edit(t, content, "刘建国", "刘建囯")
		}, []string{ofd.StepNothingRemoved, ofd.StepDataHash, ofd.StepCoverage}},
		"listed twice": {one, func(b *box) {
			b.put("Doc_0/Signs/Sign_1/Signature.xml", b.data[sign0+"Signature.xml"])
			b.edit(t, signatures, "</ofd:Signatures>", `<ofd:Signature ID="s002" BaseLoc="Sign_1/Signature.xml"/></ofd:Signatures>`)
		}, []string{ofd.StepCoverage, ofd.StepPlace}},
		"kind changed": {one, func(b *box) { b.edit(t, signatures, `Type="Seal"`, `Type="Sign"`) }, []string{ofd.StepSignedValue}},
		"list emptied": {one, func(b *box) {
			text := string(b.data[signatures])
			start, end := strings.Index(text, "<ofd:Signature "), strings.LastIndex(text, "</ofd:Signatures>")
			b.put(signatures, []byte(text[:start]+text[end:]))
		}, []string{ofd.StepNothingRemoved}},
		"list damaged": {one, func(b *box) { b.put(signatures, []byte("<x/>")) }, []string{ofd.StepSignatureList}},
		"earlier signature unlisted": {two, func(b *box) {
			text := string(b.data[signatures])
			start := strings.Index(text, `<ofd:Signature ID="s001"`)
			b.put(signatures, []byte(text[:start]+text[start+strings.Index(text[start:], "/>")+2:]))
		}, []string{ofd.StepNothingRemoved}},
		"two seals, face": {two, func(b *box) { b.edit(t, content, "刘建国", "刘建囯") }, []string{ofd.StepReferences}},
		"two documents":   {one, func(b *box) { b.edit(t, "OFD.xml", "</ofd:OFD>", "<ofd:DocBody/></ofd:OFD>") }, []string{ofd.StepDocument}},
	} {
		t.Run(name, func(t *testing.T) {
			b := unpack(t, c.file)
			c.change(b)
			r := w.verify(t, b.pack(t))
			got := steps(r, ses.Failed)
			slices.Sort(got)
			slices.Sort(c.failed)
			if !slices.Equal(got, c.failed) || (r.Verdict == ofd.Valid) != (len(c.failed) == 0) {
				explain(t, r)
				t.Errorf("%s, failed %q; want %q", r.Verdict, got, c.failed)
			}
		})
	}
	// Other people's certificates: the content holds, the people are unknown.
	r, err := ofd.Verify(one, ofd.Options{Trust: newWorld(t).trust, Now: signedAt})
	if want := []string{ses.StepSignerCertificate, ses.StepMakerCertificate}; err != nil || !slices.Equal(steps(r, ses.Failed), want) {
		t.Errorf("foreign trust: %q, %v", steps(r, ses.Failed), err)
	}
}

// small is a file that changes of single bytes are tried on.
func small(tb testing.TB, text string) []byte {
	tb.Helper()
	t, _, err := ofd.Typeset(face(tb), text, ofd.Box{X: 20, Y: 20, Width: 100}, ofd.TextStyle{Size: 5})
	if err != nil {
		tb.Fatal(err)
	}
	draft := &ofd.Draft{Title: text, Created: signedAt, Pages: []ofd.Sheet{{
		Box: ofd.Box{Width: 210, Height: 297}, Layers: []ofd.Layer{{Type: "Body", Objects: []ofd.Object{t}}},
	}}}
	file, err := draft.Write(face(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// Of all changes of single bytes those alone may pass that leave every entry
// as it was.
func TestChangedBytesNeverPass(t *testing.T) {
	w := newWorld(t)
	one := w.seal(t, small(t, "印"), 0, nil)
	plain, err := ofd.Sign(small(t, "签"), ofd.SignSpec{Time: signedAt, Close: true}, w.signers[0].key, w.signers[0].cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := [][]byte{one, w.seal(t, one, 1, nil), plain}
	const changes = 30_000
	var opened, passed atomic.Int64
	var group sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for n := worker; n < changes; n += workers {
				file := files[n%len(files)]
				changed := bytes.Clone(file)
				at := random.IntN(len(file))
				changed[at] ^= byte(1 + random.IntN(255))
				r, err := ofd.Verify(changed, ofd.Options{Trust: w.trust, Now: signedAt})
				if err != nil {
					continue
				}
				opened.Add(1)
				if r.Verdict != ofd.Valid {
					continue
				}
				passed.Add(1)
				if !same(t, file, changed) {
					t.Errorf("a change at %d of %d passes", at, len(file))
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d changes of files of %d, %d and %d bytes: %d opened, %d valid with every entry as it was",
		changes, len(files[0]), len(files[1]), len(files[2]), opened.Load(), passed.Load())
}

// same tells whether two files hold the same entries.
func same(tb testing.TB, a, b []byte) bool {
	tb.Helper()
	before, err := ofd.Open(a)
	if err != nil {
		tb.Fatal(err)
	}
	after, err := ofd.Open(b)
	if err != nil || !slices.Equal(before.Paths(), after.Paths()) {
		return false
	}
	for _, name := range before.Paths() {
		x, err := before.Read(name)
		if err != nil {
			tb.Fatal(err)
		}
		if y, err := after.Read(name); err != nil || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}
