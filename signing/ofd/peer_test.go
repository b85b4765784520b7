package ofd_test

import (
	"crypto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ses"
)

func save(tb testing.TB, dir, name string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func saveKey(tb testing.TB, dir, name string, key crypto.Signer, cert []byte) {
	tb.Helper()
	der, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	save(tb, dir, name+".key", der)
	save(tb, dir, name+".cer", cert)
}

// ours makes one file of each kind.
func ours(tb testing.TB, w *world) map[string][]byte {
	tb.Helper()
	file := page(tb, foodLicense())
	one := w.seal(tb, file, 0, nil)
	files := map[string][]byte{
		"license.ofd": file,
		"one.ofd":     one,
		"two.ofd":     w.seal(tb, one, 1, func(s *ofd.SignSpec) { s.Close = true }),
		"riding.ofd": w.seal(tb, pages(tb, 3), 0, func(s *ofd.SignSpec) {
			s.Stamps = riding(tb, pages(tb, 3))
		}),
	}
	plain, err := ofd.Sign(file, ofd.SignSpec{Time: signedAt}, w.signers[0].key, w.signers[0].cert, nil)
	if err != nil {
		tb.Fatal(err)
	}
	files["plain.ofd"] = plain
	return files
}

// pages is a file of n pages.
func pages(tb testing.TB, n int) []byte {
	tb.Helper()
	draft := &ofd.Draft{Title: "多页", Created: signedAt}
	for range n {
		t, _, err := ofd.Typeset(face(tb), "行政许可决定书", ofd.Box{X: 30, Y: 30, Width: 150}, ofd.TextStyle{Size: 6})
		if err != nil {
			tb.Fatal(err)
		}
		draft.Pages = append(draft.Pages, ofd.Sheet{
			Box: ofd.Box{Width: 210, Height: 297}, Layers: []ofd.Layer{{Type: "Body", Objects: []ofd.Object{t}}},
		})
	}
	file, err := draft.Write(face(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func riding(tb testing.TB, file []byte) []ofd.Stamp {
	tb.Helper()
	p, err := ofd.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	stamps, err := p.RidingStamps(42, 42)
	if err != nil {
		tb.Fatal(err)
	}
	return stamps
}

// ofdrw reads and validates our files, and we read and verify its own.
func TestOfdrw(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for name, file := range ours(t, w) {
		save(t, dir, name, file)
	}
	saveKey(t, dir, "signer", w.signers[0].key, w.signers[0].cert)
	saveKey(t, dir, "maker", w.maker, w.makerCert)
	save(t, dir, "seal.esl", w.signers[0].seal)
	save(t, dir, "stamp.png", ring(t))
	out := peer.Java(t, filepath.Join("testdata", "Ofdrw.java"), dir)
	for _, want := range []string{
		"license.ofd pages 1", "license.ofd text 食品经营许可证|证照标识：1.2.156.3005.2.", "license.ofd seals 0",
		"one.ofd seals 1", "one.ofd validated", "two.ofd seals 2", "two.ofd validated",
		"riding.ofd pages 3", "riding.ofd seals 1", "riding.ofd validated", "plain.ofd validated",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("ofdrw does not say %q:\n%s", want, out)
		}
	}
	for _, c := range []struct {
		name       string
		signatures int
		failed     []string
		version    int
	}{
		{"doc.ofd", 0, nil, 0},
		{"v4.ofd", 1, nil, ses.V4},
		{"v4v4.ofd", 2, nil, ses.V4},
		{"v1.ofd", 1, nil, ses.V1},
		{"ours_theirs.ofd", 2, nil, ses.V4},
		{"cms.ofd", 1, nil, 0},
		{"cms9.ofd", 1, nil, 0},
		{"raw.ofd", 1, []string{ofd.StepSignedValue}, 0},
	} {
		file, err := os.ReadFile(filepath.Join(dir, c.name))
		if err != nil {
			t.Fatal(err)
		}
		r, err := ofd.Verify(file, ofd.Options{Trust: w.trust, Now: time.Now()})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := steps(r, ses.Failed); !slices.Equal(got, c.failed) || len(r.Signatures) != c.signatures || len(r.Unsigned) > 0 && c.signatures > 0 {
			t.Errorf("%s: %d signatures, failed %q, uncovered %v", c.name, len(r.Signatures), got, r.Unsigned)
			explain(t, r)
		}
		for _, s := range r.Signatures {
			if c.version != 0 && (s.Seal == nil || s.Seal.Version != c.version || len(s.Stamps) == 0) {
				t.Errorf("%s: %+v", c.name, s.Seal)
			}
		}
	}
	readForeign(t, filepath.Join(dir, "doc.ofd"))
}

// readForeign reads what ofdrw's layout wrote.
func readForeign(t *testing.T, path string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ofd.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Document()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var images int
	for i := range d.Pages {
		page, err := p.Page(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range page.Layers {
			for _, o := range layer.Objects {
				switch o := o.(type) {
				case *ofd.Text:
					for _, run := range o.Runs {
						text.WriteString(run.Text)
						if len(run.DeltaX) != len([]rune(run.Text))-1 || page.Resources.Fonts[o.Font] == nil {
							t.Errorf("run %q: %v, font %d", run.Text, run.DeltaX, o.Font)
						}
					}
				case *ofd.Image:
					images++
					if m := page.Resources.Media[o.Media]; m == nil || o.CTM[0] != 40 {
						t.Errorf("image: %+v", o)
					} else if _, err := p.Read(m.Path); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
	if !strings.Contains(text.String(), "你好呀，OFD Reader & Writer <2>！") || !strings.Contains(text.String(), "第 59 段") || images != 1 {
		t.Errorf("%d images, text %q", images, text.String())
	}
	if len(d.Pages) < 2 || len(d.Attachments) != 1 || d.Attachments[0].Name != "note.txt" {
		t.Errorf("%d pages, attachments %+v", len(d.Pages), d.Attachments)
	}
}

// Bouncy Castle alone finds every digest and signature of ours right.
func TestBouncyCastle(t *testing.T) {
	dir := t.TempDir()
	save(t, dir, "two.ofd", ours(t, newWorld(t))["two.ofd"])
	out := strings.TrimSpace(peer.Java(t, filepath.Join("testdata", "BouncyCastle.java"), filepath.Join(dir, "two.ofd")))
	const want = "references 8 of 8 hash true place true signer true maker true copy true\n" +
		"references 12 of 12 hash true place true signer true maker true copy true"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}
