package ses_test

import (
	"bytes"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"io"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/onewindow/onewindow/signing/ses"
)

func TestPicturesOfEveryTypeAreDecodedWithinBounds(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 30, 20))
	encode := func(f func(io.Writer) error) []byte {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	files := map[string][]byte{
		"gif": encode(func(w io.Writer) error { return gif.Encode(w, m, nil) }),
		"JPG": encode(func(w io.Writer) error { return jpeg.Encode(w, m, nil) }),
		"Bmp": encode(func(w io.Writer) error { return bmp.Encode(w, m) }),
	}
	for kind, data := range files {
		got, err := ses.Picture{Type: kind, Data: data}.Decode()
		if err != nil || got.Bounds().Dx() != 30 || got.Bounds().Dy() != 20 {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := (ses.Picture{Type: kind, Data: data[:len(data)/3]}).Decode(); !errors.Is(err, ses.ErrMalformed) {
			t.Errorf("torn %s: %v", kind, err)
		}
		if _, err := (ses.Picture{Type: "PNG", Data: data}).Config(); !errors.Is(err, ses.ErrMalformed) {
			t.Errorf("%s as PNG: %v", kind, err)
		}
	}
	// The size is in the head of a GIF; no such picture is ever allocated.
	huge := append([]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), files["gif"][13:]...)
	if _, err := (ses.Picture{Type: "GIF", Data: huge}).Decode(); !errors.Is(err, ses.ErrMalformed) {
		t.Errorf("huge: %v", err)
	}
	for _, kind := range []string{"ofd", "SVG", "", "WEBP"} {
		if _, err := (ses.Picture{Type: kind, Data: files["gif"]}).Decode(); !errors.Is(err, ses.ErrSpec) {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

func FuzzPictureDecode(f *testing.F) {
	f.Add("PNG", stampPNG(f, 8))
	f.Add("GIF", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00"))
	f.Add("JPG", []byte("\xff\xd8\xff\xe0"))
	f.Add("BMP", []byte("BM"))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		m, err := ses.Picture{Type: kind, Data: data}.Decode()
		if err != nil {
			if !errors.Is(err, ses.ErrMalformed) && !errors.Is(err, ses.ErrSpec) {
				t.Fatal(err)
			}
			return
		}
		if b := m.Bounds(); b.Dx()*b.Dy() > ses.MaxPixels {
			t.Fatalf("%v pixels", b)
		}
	})
}
