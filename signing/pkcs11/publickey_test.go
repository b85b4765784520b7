package pkcs11

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"
)

// The points are the base point of P-256 and P-384 (SP 800-186 §3.2.1) and the
// public key of RFC 8032 §7.1, test 1.
const (
	pointP256 = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
	pointP384 = "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7" +
		"3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
	pointEd25519 = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	oidP256      = "06082a8648ce3d030107"
	oidP384      = "06052b81040022"
	oidEd25519   = "06032b6570"
)

func TestPublicKey(t *testing.T) {
	offCurve := pointP256[:len(pointP256)-2] + "f6"
	for name, test := range map[string]struct {
		params, point, algorithm string
		want                     error
	}{
		"P-256 in an OCTET STRING":    {oidP256, "0441" + pointP256, "ES256", nil},
		"P-256 bare":                  {oidP256, pointP256, "ES256", nil},
		"P-384 in an OCTET STRING":    {oidP384, "0461" + pointP384, "ES384", nil},
		"P-384 bare":                  {oidP384, pointP384, "ES384", nil},
		"Ed25519 in an OCTET STRING":  {oidEd25519, "0420" + pointEd25519, "EdDSA", nil},
		"Ed25519 bare":                {oidEd25519, pointEd25519, "EdDSA", nil},
		"Ed25519 by name":             {"130c656477617264733235353139", "0420" + pointEd25519, "EdDSA", nil},
		"SM2":                         {"06082a811ccf5501822d", "0441" + pointP256, "", ErrAlgorithm},
		"secp256k1":                   {"06052b8104000a", "0441" + pointP256, "", ErrAlgorithm},
		"explicit parameters":         {"3003020101", "0441" + pointP256, "", ErrAlgorithm},
		"no parameters":               {"", "0441" + pointP256, "", ErrAlgorithm},
		"bytes after the parameters":  {oidP256 + "00", "0441" + pointP256, "", ErrAlgorithm},
		"no point":                    {oidP256, "", "", ErrKey},
		"point of another curve":      {oidP256, "0461" + pointP384, "", ErrKey},
		"not on the curve":            {oidP256, "0441" + offCurve, "", ErrKey},
		"infinity":                    {oidP256, "00", "", ErrKey},
		"compressed":                  {oidP256, "042103" + pointP256[2:66], "", ErrKey},
		"bytes after the point":       {oidP256, "0441" + pointP256 + "00", "", ErrKey},
		"long form of the length":     {oidP256, "048141" + pointP256, "", ErrKey},
		"BIT STRING":                  {oidP256, "0341" + pointP256, "", ErrKey},
		"wrong length":                {oidP256, "0440" + pointP256, "", ErrKey},
		"hybrid form":                 {oidP256, "07" + pointP256[2:], "", ErrKey},
		"Ed25519 with a P-256 point":  {oidEd25519, "0441" + pointP256, "", ErrKey},
		"P-256 with an Ed25519 point": {oidP256, "0420" + pointEd25519, "", ErrKey},
	} {
		a, key, err := parsePublicKey(unhex(t, test.params), unhex(t, test.point))
		if !errors.Is(err, test.want) || a.name != test.algorithm || (key == nil) != (test.want != nil) {
			t.Errorf("%s: %q, %v, %v", name, a.name, key, err)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzPublicKey: what is read is a public key on its curve, and writing it gives
// the bytes that were read.
func FuzzPublicKey(f *testing.F) {
	for _, seed := range [][2]string{
		{oidP256, "0441" + pointP256},
		{oidP256, pointP256},
		{oidP384, "0461" + pointP384},
		{oidP384, pointP384},
		{oidEd25519, "0420" + pointEd25519},
		{"130c656477617264733235353139", pointEd25519},
		{"06082a811ccf5501822d", "0441" + pointP256},
		{oidP256, "00"},
	} {
		params, _ := hex.DecodeString(seed[0])
		point, _ := hex.DecodeString(seed[1])
		f.Add(params, point)
	}
	f.Fuzz(func(t *testing.T, params, point []byte) {
		a, key, err := parsePublicKey(params, point)
		if err != nil {
			if !errors.Is(err, ErrKey) && !errors.Is(err, ErrAlgorithm) {
				t.Fatalf("an error without a sentinel: %v", err)
			}
			return
		}
		var written []byte
		switch key := key.(type) {
		case *ecdsa.PublicKey:
			if written, err = key.Bytes(); err != nil || key.Curve != a.curve {
				t.Fatalf("%s: not a key of its curve: %v", a.name, err)
			}
		case ed25519.PublicKey:
			written = key
		}
		wrapped := append([]byte{4, byte(len(written))}, written...)
		if !bytes.Equal(point, written) && !bytes.Equal(point, wrapped) {
			t.Fatalf("%x was read as %x", point, written)
		}
	})
}

// FuzzSignature: what a token returns for r‖s becomes the DER of the same two
// numbers or is refused, and whatever it is, verifying it does not panic.
func FuzzSignature(f *testing.F) {
	n := elliptic.P256().Params().N
	for _, seed := range [][]byte{
		nil, make([]byte, 64), make([]byte, 96), bytes.Repeat([]byte{0xff}, 64), bytes.Repeat([]byte{0x7f}, 96),
		append(n.Bytes(), n.Bytes()...), append(make([]byte, 31), append([]byte{1}, n.Bytes()...)...), make([]byte, 63),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for i, point := range []string{pointP256, pointP384, pointEd25519} {
			a := algorithms()[i]
			_, public, err := parsePublicKey(a.params, unhex(t, point))
			if err != nil {
				t.Fatal(err)
			}
			der, err := a.encodeSignature(raw)
			if err != nil {
				if !errors.Is(err, ErrDevice) {
					t.Fatalf("an error without a sentinel: %v", err)
				}
				continue
			}
			if a.verify(public, make([]byte, 32), der) {
				t.Fatalf("%s: a signature that nobody made matches: %x", a.name, raw)
			}
			if a.curve == nil {
				continue
			}
			var numbers struct{ R, S *big.Int }
			if rest, err := asn1.Unmarshal(der, &numbers); err != nil || len(rest) > 0 {
				t.Fatalf("%x: %v", der, err)
			}
			half := len(raw) / 2
			if !bytes.Equal(numbers.R.FillBytes(make([]byte, half)), raw[:half]) || !bytes.Equal(numbers.S.FillBytes(make([]byte, half)), raw[half:]) {
				t.Fatalf("%x became %x", raw, der)
			}
		}
	})
}
