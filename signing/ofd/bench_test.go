package ofd_test

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/rand"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/onewindow/onewindow/signing/ofd"
)

// The raw work beside what is made of it: write and seal is one SM2 signature,
// its own check, and deflating; verify is five SM2 signatures of which two are
// remembered, inflating, and SM3.

func BenchmarkWriteAndSeal(b *testing.B) {
	w, f, l := newWorld(b), face(b), foodLicense()
	b.ReportAllocs()
	for b.Loop() {
		draft, err := ofd.LicensePage(l, f)
		if err != nil {
			b.Fatal(err)
		}
		file, err := draft.Write(f)
		if err != nil {
			b.Fatal(err)
		}
		w.seal(b, file, 0, nil)
	}
}

func BenchmarkSeal(b *testing.B) {
	w, file := newWorld(b), page(b, foodLicense())
	b.ReportAllocs()
	for b.Loop() {
		w.seal(b, file, 0, nil)
	}
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	file := w.seal(b, page(b, foodLicense()), 0, nil)
	b.ReportAllocs()
	for b.Loop() {
		if r := w.verify(b, file); r.Verdict != ofd.Valid {
			b.Fatal(r.Verdict)
		}
	}
}

func BenchmarkRawSM2Sign(b *testing.B) {
	key, message := newKey(b), make([]byte, 8192)
	for b.Loop() {
		if _, err := key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRawSM2Verify(b *testing.B) {
	key, message := newKey(b), make([]byte, 8192)
	signature, err := key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !sm2.VerifyASN1WithSM2(key.Public().(*ecdsa.PublicKey), nil, message, signature) {
			b.Fatal("does not verify")
		}
	}
}

// BenchmarkRawDeflate and BenchmarkRawSM3 work on the parts of one licence.
func BenchmarkRawDeflate(b *testing.B) {
	parts := unpack(b, page(b, foodLicense()))
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, data := range parts.data {
			out.Reset()
			z.Reset(&out)
			if _, err := z.Write(data); err != nil {
				b.Fatal(err)
			}
			if err := z.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkRawSM3(b *testing.B) {
	parts := unpack(b, page(b, foodLicense()))
	for b.Loop() {
		for _, data := range parts.data {
			sm3.Sum(data)
		}
	}
}

func BenchmarkRawSubset(b *testing.B) {
	f := face(b)
	var characters []rune
	for _, s := range texts(b, page(b, foodLicense())) {
		characters = append(characters, []rune(s)...)
	}
	for b.Loop() {
		if _, err := f.Subset(characters); err != nil {
			b.Fatal(err)
		}
	}
}
