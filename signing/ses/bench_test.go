package ses_test

import (
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing/ses"
)

func BenchmarkRawSM2Sign(b *testing.B) {
	key, message := newKey(b), make([]byte, 20<<10)
	for b.Loop() {
		signSM2(b, key, message)
	}
}

func BenchmarkRawSM2Verify(b *testing.B) {
	w, message := newWorld(b), make([]byte, 20<<10)
	value := signSM2(b, w.signer, message)
	public, err := sm2.NewPublicKey(readCert(b, w.signerCert).RawSubjectPublicKeyInfo[26:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !sm2.VerifyASN1WithSM2(public, nil, message, value) {
			b.Fatal("not verified")
		}
	}
}

// bigSeal is a seal with the usual 15 KiB of picture.
func (w *world) bigSeal(b *testing.B) []byte {
	return form{version: 4, picture: append(stampPNG(b, 400), make([]byte, 14<<10)...)}.seal(b, w)
}

func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	seal := w.bigSeal(b)
	for b.Loop() {
		w.sign(b, seal, nil)
	}
}

func BenchmarkParseSignature(b *testing.B) {
	w := newWorld(b)
	der := w.sign(b, w.bigSeal(b), nil)
	for b.Loop() {
		if _, err := ses.ParseSignature(der); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	trust := w.trust(b)
	g, err := ses.ParseSignature(w.sign(b, w.bigSeal(b), nil))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, s := range g.Check(trust, ses.Options{Now: later}) {
			if s.Err != nil {
				b.Fatal(s)
			}
		}
	}
}

func BenchmarkMakeSeal(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		w.seal(b)
	}
}
