package render_test

import (
	"crypto"
	"crypto/rand"
	"image"
	"image/png"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/stamp"
	"github.com/onewindow/onewindow/signing/typeface"
)

// stem is where on the page the bar | of Go Regular, set at 20 mm with 40 mm
// an em, has its middle.
func stem() float64 {
	face, err := typeface.Parse(goregular.TTF)
	if err != nil {
		panic(err)
	}
	path, err := face.Outline(face.Index('|'))
	if err != nil {
		panic(err)
	}
	least, most := 1.0, 0.0
	for _, s := range path {
		if s.Op != typeface.Close {
			least, most = min(least, s.Points[0].X), max(most, s.Points[0].X)
		}
	}
	return 20 + 40*(least+most)/2
}

// bar is the number of the glyph | in Go Regular.
func bar() string {
	face, err := typeface.Parse(goregular.TTF)
	if err != nil {
		panic(err)
	}
	return strconv.Itoa(int(face.Index('|')))
}

// seal puts a seal on a file, made and signed by an authority of the test's own.
func seal(tb testing.TB, file []byte, places ...ofd.Stamp) []byte {
	tb.Helper()
	now := licence().Created
	newKey := func() crypto.Signer {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		return key
	}
	root, maker, signer := newKey(), newKey(), newKey()
	subject := func(name string) pki.Subject { return pki.Subject{Country: "CN", CommonName: name} }
	const day = 24 * time.Hour
	rootCert, err := pki.NewRoot(root, subject("湘东县测试根"), 3000*day, now.Add(-100*day))
	if err != nil {
		tb.Fatal(err)
	}
	authority, err := pki.OpenAuthority(pki.Config{Dir: tb.TempDir(), Certificate: rootCert, Signer: root, Now: func() time.Time { return now }})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := authority.Close(); err != nil {
			tb.Error(err)
		}
	}()
	certify := func(key crypto.Signer, name string, usage pki.Usage) []byte {
		cert, err := authority.Issue(tb.Context(), pki.Request{Public: key.Public(), Subject: subject(name), Usage: usage, NotBefore: now.Add(-10 * day), Validity: 1000 * day})
		if err != nil {
			tb.Fatal(err)
		}
		return cert
	}
	cert := certify(signer, "湘东县行政审批服务局", pki.UsageSeal)
	_, picture, err := stamp.Round(stamp.RoundSpec{Name: "湘东县行政审批服务局", Center: stamp.Star, Label: "行政审批专用章", Code: "4303000012345", Diameter: 42}, noto(tb))
	if err != nil {
		tb.Fatal(err)
	}
	made, err := ses.MakeSeal(ses.SealSpec{
		Kind: ses.KindUnit, Name: "湘东县行政审批服务局行政审批专用章", Certificates: [][]byte{cert},
		Created: now.Add(-5 * day), ValidFrom: now.Add(-5 * day), ValidUntil: now.Add(300 * day),
		Picture: ses.Picture{Type: "PNG", Data: picture, Width: 42, Height: 42},
	}, maker, certify(maker, "湘东县制章中心", pki.UsageSealMaker))
	if err != nil {
		tb.Fatal(err)
	}
	sealed, err := ofd.Sign(file, ofd.SignSpec{Seal: made, Stamps: places, Time: now}, signer, cert, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

// blackPNG is a picture of 8 × 8 black pixels.
func blackPNG(tb testing.TB) []byte {
	tb.Helper()
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	return encoded(tb, func(w io.Writer) error { return png.Encode(w, img) })
}
