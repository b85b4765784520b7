package ses_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"image"
	"image/color"
	"image/png"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/ses"
)

var (
	made   = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	signed = time.Date(2026, 6, 1, 8, 30, 15, 0, time.UTC)
	ends   = time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)
	hash   = sm3.Sum([]byte("Signature.xml"))
)

const property = "/Doc_0/Signs/Sign_0/Signature.xml"

func newKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// stampPNG is a picture of the size that asks little of the tests.
func stampPNG(tb testing.TB, side int) []byte {
	tb.Helper()
	m := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.Transparent, color.NRGBA{230, 0, 18, 255}})
	for i := range side {
		m.SetColorIndex(i, i, 1)
		m.SetColorIndex(i, side-1-i, 1)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) spec(tb testing.TB) ses.SealSpec {
	return ses.SealSpec{
		ID: "43022300000001", Kind: ses.KindUnit, Name: "攸县行政审批服务局行政审批专用章",
		Certificates: [][]byte{w.signerCert},
		Created:      made, ValidFrom: made, ValidUntil: ends,
		Picture: ses.Picture{Type: "PNG", Data: stampPNG(tb, 24), Width: 42, Height: 42},
	}
}

func (w *world) seal(tb testing.TB) []byte {
	tb.Helper()
	der, err := ses.MakeSeal(w.spec(tb), w.maker, w.makerCert)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func (w *world) sign(tb testing.TB, seal []byte, stamp func([]byte) ([]byte, error)) []byte {
	tb.Helper()
	spec := ses.SignSpec{Seal: seal, DataHash: hash[:], Property: property, Time: signed}
	der, err := ses.Sign(spec, w.signer, w.signerCert, stamp)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// form says how a sample of any generation is written; it is a writer of its
// own, so that the tests do not read with the eyes that wrote.
type form struct {
	version    int    // 1, 4, 5; what the shape follows
	header     int    // the version number written, if not zero
	digests    string // certListType 2 with this label
	extensions int    // 0 none, 1 plain, 2 explicit
	critical   bool
	signerExts bool
	badHash    bool // of the certificate in the list
	octets     bool // v1: OCTET STRING for BIT STRING
	general    bool // v1: GeneralizedTime for UTCTime
	timeInfo   []byte
	timestamp  []byte // of the signature
	sealStamp  []byte // of the seal
	picture    []byte
	algorithm  asn1.ObjectIdentifier
}

type builder = cryptobyte.Builder

func build(f func(b *builder)) []byte {
	var b builder
	f(&b)
	return b.BytesOrPanic()
}

func seq(b *builder, f func(b *builder)) { b.AddASN1(cbasn1.SEQUENCE, f) }

func str(b *builder, tag cbasn1.Tag, s string) {
	b.AddASN1(tag, func(b *builder) { b.AddBytes([]byte(s)) })
}

func explicit0(b *builder, f func(b *builder)) {
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), f)
}

var oidSM2SM3 = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}

func (f form) oid() asn1.ObjectIdentifier {
	if f.algorithm != nil {
		return f.algorithm
	}
	return oidSM2SM3
}

func (f form) times(b *builder, times ...time.Time) {
	for _, t := range times {
		if f.version == 1 && !f.general {
			str(b, cbasn1.UTCTime, t.Format("060102150405Z"))
		} else {
			str(b, cbasn1.GeneralizedTime, t.Format("20060102150405Z"))
		}
	}
}

func (f form) exts(b *builder) {
	seq(b, func(b *builder) {
		seq(b, func(b *builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 7, 2, 2, 1})
			b.AddASN1Boolean(f.critical)
			b.AddASN1OctetString([]byte("2.1"))
		})
	})
}

func (f form) info(tb testing.TB, w *world) []byte {
	header := f.version
	if f.header != 0 {
		header = f.header
	}
	picture := f.picture
	if picture == nil {
		picture = stampPNG(tb, 24)
	}
	return build(func(b *builder) {
		seq(b, func(b *builder) {
			seq(b, func(b *builder) {
				str(b, cbasn1.IA5String, "ES")
				b.AddASN1Int64(int64(header))
				str(b, cbasn1.IA5String, "SAMPLE")
			})
			str(b, cbasn1.IA5String, "50011200000399")
			seq(b, func(b *builder) {
				b.AddASN1Int64(3)
				str(b, cbasn1.UTF8String, "测试专用章")
				if f.version != 1 {
					b.AddASN1Int64(map[bool]int64{false: 1, true: 2}[f.digests != ""])
				}
				seq(b, func(b *builder) { f.list(b, w.signerCert) })
				f.times(b, made, made, ends)
			})
			seq(b, func(b *builder) {
				str(b, cbasn1.IA5String, "png")
				b.AddASN1OctetString(picture)
				b.AddASN1Int64(40)
				b.AddASN1Int64(40)
			})
			switch f.extensions {
			case 1:
				f.exts(b)
			case 2:
				explicit0(b, f.exts)
			}
		})
	})
}

func (f form) list(b *builder, cert []byte) {
	if f.digests == "" {
		b.AddASN1OctetString(cert)
		return
	}
	digest := sm3.Sum(cert)
	if f.badHash {
		digest[0]++
	}
	seq(b, func(b *builder) {
		str(b, cbasn1.PrintableString, f.digests)
		b.AddASN1OctetString(digest[:])
	})
}

func (f form) seal(tb testing.TB, w *world) []byte {
	tb.Helper()
	info := f.info(tb, w)
	if f.version == 1 {
		tbs := build(func(b *builder) {
			seq(b, func(b *builder) {
				b.AddBytes(info)
				b.AddASN1OctetString(w.makerCert)
				b.AddASN1ObjectIdentifier(f.oid())
			})
		})
		return build(func(b *builder) {
			seq(b, func(b *builder) {
				b.AddBytes(info)
				seq(b, func(b *builder) {
					b.AddASN1OctetString(w.makerCert)
					b.AddASN1ObjectIdentifier(f.oid())
					b.AddASN1BitString(signSM2(tb, w.maker, tbs))
				})
			})
		})
	}
	return build(func(b *builder) {
		seq(b, func(b *builder) {
			b.AddBytes(info)
			b.AddASN1OctetString(w.makerCert)
			b.AddASN1ObjectIdentifier(f.oid())
			b.AddASN1BitString(signSM2(tb, w.maker, info))
			if f.sealStamp != nil {
				explicit0(b, func(b *builder) { b.AddASN1BitString(f.sealStamp) })
			}
		})
	})
}

func (f form) signature(tb testing.TB, w *world) []byte {
	tb.Helper()
	seal := f.seal(tb, w)
	bits := (*builder).AddASN1BitString
	if f.octets {
		bits = (*builder).AddASN1OctetString
	}
	tbs := build(func(b *builder) {
		seq(b, func(b *builder) {
			b.AddASN1Int64(int64(f.version))
			b.AddBytes(seal)
			if f.version == 1 {
				bits(b, f.time())
				bits(b, hash[:])
			} else {
				f.times(b, signed)
				b.AddASN1BitString(hash[:])
			}
			str(b, cbasn1.IA5String, property)
			if f.version == 1 {
				b.AddASN1OctetString(w.signerCert)
				b.AddASN1ObjectIdentifier(f.oid())
			} else if f.signerExts {
				explicit0(b, f.exts)
			}
		})
	})
	return build(func(b *builder) {
		seq(b, func(b *builder) {
			b.AddBytes(tbs)
			if f.version != 1 {
				b.AddASN1OctetString(w.signerCert)
				b.AddASN1ObjectIdentifier(f.oid())
			}
			b.AddASN1BitString(signSM2(tb, w.signer, tbs))
			if f.timestamp != nil {
				explicit0(b, func(b *builder) { b.AddASN1BitString(f.timestamp) })
			}
		})
	})
}

func (f form) time() []byte {
	if f.timeInfo != nil {
		return f.timeInfo
	}
	return build(func(b *builder) { f.times(b, signed) })
}

func signSM2(tb testing.TB, key crypto.Signer, message []byte) []byte {
	tb.Helper()
	value, err := key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		tb.Fatal(err)
	}
	return value
}
