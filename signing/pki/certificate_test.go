package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// replace changes the one place where old stands.
func replace(t *testing.T, data []byte, old, by string) []byte {
	t.Helper()
	if bytes.Count(data, []byte(old)) != 1 {
		t.Fatalf("%x is there %d times", old, bytes.Count(data, []byte(old)))
	}
	return bytes.Replace(data, []byte(old), []byte(by), 1)
}

// rebuild puts a certificate together again with another key info, members
// after the extensions, and after the signature.
func rebuild(t *testing.T, cert, spki, afterExtensions, afterSignature []byte) []byte {
	t.Helper()
	c := mustParse(t, cert)
	start := bytes.Index(c.RawTBSCertificate, c.RawSubjectPublicKeyInfo)
	if spki == nil {
		spki = c.RawSubjectPublicKeyInfo
	}
	_, tbs, _, err := splitElement(c.RawTBSCertificate)
	if err != nil {
		t.Fatal(err)
	}
	head := c.RawTBSCertificate[len(c.RawTBSCertificate)-len(tbs) : start]
	tail := c.RawTBSCertificate[start+len(c.RawSubjectPublicKeyInfo):]
	_, outer, _, err := splitElement(cert)
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(head, spki, tail, afterExtensions)) })
		b.AddBytes(outer[len(c.RawTBSCertificate):])
		b.AddBytes(afterSignature)
	})
	return b.BytesOrPanic()
}

func TestParseCertificateRefuses(t *testing.T) {
	w := newWorld(t, kindP256)
	key := newKey(t, kindP256)
	good := w.issue(t, UsageSeal, key.Public())
	parsed := mustParse(t, good)
	serial := "\x02\x11\x00" + string(parsed.SerialNumber.Bytes())
	with := func(id int, value string) []byte {
		return forge(t, func(c *x509.Certificate) {
			c.KeyUsage, c.BasicConstraintsValid, c.MaxPathLen = 0, false, 0
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, id}, Critical: true, Value: []byte(value)}}
		}, nil, key, key.Public())
	}
	for name, data := range map[string][]byte{
		"empty":                     {},
		"too large":                 make([]byte, MaxCertificate+1),
		"cut off":                   good[:len(good)-1],
		"byte after":                append(slices.Clone(good), 0),
		"length in three octets":    slices.Concat([]byte{0x30, 0x83, 0}, good[2:]),
		"indefinite length":         slices.Concat([]byte{0x30, 0x80}, good[4:], []byte{0, 0}),
		"version 2":                 replace(t, good, "\xa0\x03\x02\x01\x02", "\xa0\x03\x02\x01\x01"),
		"negative serial":           replace(t, good, serial, "\x02\x11\x80"+string(parsed.SerialNumber.Bytes())),
		"serial not minimal":        replace(t, good, serial, "\x02\x11\x00\x00"+string(parsed.SerialNumber.Bytes()[1:])),
		"serial of 21 octets":       forge(t, func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 160) }, nil, key, key.Public()),
		"boolean of another value":  replace(t, good, "\x55\x1d\x0f\x01\x01\xff", "\x55\x1d\x0f\x01\x01\x01"),
		"member after extensions":   rebuild(t, good, nil, []byte{5, 0}, nil),
		"member after signature":    rebuild(t, good, nil, nil, []byte{5, 0}),
		"key usage with a tail":     with(15, "\x03\x02\x07\x80\x05\x00"),
		"key usage of no use":       with(15, "\x03\x02\x07\x00"),
		"key usage, dirty padding":  with(15, "\x03\x02\x07\x81"),
		"path length without CA":    with(19, "\x30\x03\x02\x01\x00"),
		"constraints with a tail":   with(19, "\x30\x08\x01\x01\xff\x02\x01\x00\x05\x00"),
		"no purpose":                with(37, "\x30\x00"),
		"purpose not in DER":        with(37, "\x30\x81\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"),
		"names in indefinite form":  with(17, "\x30\x80\x82\x01\x61\x00\x00"),
		"nested too deep":           with(31, nested(maxDepth+2)),
		"certificate request":       mustCSR(t),
		"outer algorithm different": swapLast(good, "\x04\x03\x02", "\x04\x03\x03"),
	} {
		if _, err := ParseCertificate(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"as issued":             good,
		"explicit CA FALSE":     with(19, "\x30\x03\x01\x01\x00"),
		"key usage, extra bits": with(15, "\x03\x02\x00\x80"),
		"nested deep":           with(31, nested(maxDepth)),
		"rebuilt":               rebuild(t, good, nil, nil, nil),
	} {
		if _, err := ParseCertificate(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nested returns SEQUENCEs within each other that smx509 has no use for.
func nested(depth int) string {
	out := ""
	for range depth {
		out = "\x30" + string(rune(len(out))) + out
	}
	return out
}

// swapLast replaces the last place where old stands.
func swapLast(data []byte, old, by string) []byte {
	i := bytes.LastIndex(data, []byte(old))
	return slices.Concat(data[:i], []byte(by), data[i+len(old):])
}

func mustCSR(tb testing.TB) []byte {
	tb.Helper()
	csr, err := CreateCSR(newKey(tb, kindP256), Subject{CommonName: "局"}, UsageServer)
	if err != nil {
		tb.Fatal(err)
	}
	return csr
}

func TestParseCertificateRefusesKeys(t *testing.T) {
	w := newWorld(t, kindP256)
	good := w.issue(t, UsageSeal, newKey(t, kindP256).Public())
	marshal := func(key any) []byte {
		t.Helper()
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return spki
	}
	ec := func(curve elliptic.Curve) []byte {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return marshal(key.Public())
	}
	rsaKey := func(bits, e int) []byte {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits)-1)
		return marshal(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: e})
	}
	sm2Key, err := smx509.MarshalPKIXPublicKey(newKey(t, kindSM2).Public())
	if err != nil {
		t.Fatal(err)
	}
	point := ec(elliptic.P256())
	offCurve := slices.Clone(point)
	offCurve[len(offCurve)-1] ^= 1
	ed := func(text string) []byte {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return marshal(ed25519.PublicKey(key))
	}
	// id-ecPublicKey replaced by the SM2 algorithm identifier of the same
	// standard, one octet longer.
	_, info, _, err := splitElement(sm2Key)
	if err != nil {
		t.Fatal(err)
	}
	_, _, bits, err := splitElement(info)
	if err != nil {
		t.Fatal(err)
	}
	oid := "\x06\x08\x2a\x81\x1c\xcf\x55\x01\x82\x2d"
	renamed := append([]byte("\x30\x5a\x30\x14"+oid+oid), bits...)

	for name, c := range map[string]struct {
		spki []byte
		want error
	}{
		"SM2":                        {sm2Key, nil},
		"P-384":                      {ec(elliptic.P384()), nil},
		"RSA 2048":                   {rsaKey(2048, 65537), nil},
		"Ed25519 (RFC 8032 test 1)":  {ed("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"), nil},
		"Ed25519 (RFC 8032 test 2)":  {ed("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"), nil},
		"P-224":                      {ec(elliptic.P224()), ErrKey},
		"P-521":                      {ec(elliptic.P521()), ErrKey},
		"RSA 1024":                   {rsaKey(1024, 65537), ErrKey},
		"RSA 16384":                  {rsaKey(16384, 65537), ErrKey},
		"RSA, exponent 1":            {rsaKey(2048, 1), ErrKey},
		"P-256, point off the curve": {offCurve, ErrMalformed},
		"P-256 by parameters":        {explicitP256(t, point), ErrKey},
		"SM2 under another name":     {renamed, ErrKey},
		"Ed25519, order 1":           {ed("01" + strings.Repeat("00", 31)), ErrKey},
		"Ed25519, order 2":           {ed("ec" + strings.Repeat("ff", 30) + "7f"), ErrKey},
		"Ed25519, order 4":           {ed(strings.Repeat("00", 31) + "80"), ErrKey},
		"Ed25519, order 8":           {ed("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), ErrKey},
		"Ed25519, order 8, other":    {ed("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"), ErrKey},
		"Ed25519, y = p":             {ed("ed" + strings.Repeat("ff", 30) + "7f"), ErrKey},
		"Ed25519, off the curve":     {ed("02" + strings.Repeat("00", 31)), ErrKey},
	} {
		if _, err := ParseCertificate(rebuild(t, good, c.spki, nil, nil)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for range 50 {
		if !usableEd25519(newKey(t, kindEd25519).Public().(ed25519.PublicKey)) {
			t.Fatal("a good Ed25519 key was refused")
		}
	}
}

// explicitP256 writes the key of point with the parameters of the curve
// instead of its name (RFC 3279 §2.3.5), which smx509 reads.
func explicitP256(t *testing.T, spki []byte) []byte {
	t.Helper()
	params := elliptic.P256().Params()
	type field struct {
		Type  asn1.ObjectIdentifier
		Prime *big.Int
	}
	type curve struct{ A, B []byte }
	type parameters struct {
		Version int
		Field   field
		Curve   curve
		Base    []byte
		Order   *big.Int
	}
	type algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters parameters
	}
	base := slices.Concat([]byte{4}, params.Gx.FillBytes(make([]byte, 32)), params.Gy.FillBytes(make([]byte, 32)))
	a := new(big.Int).Sub(params.P, big.NewInt(3))
	out, err := asn1.Marshal(struct {
		Algorithm algorithm
		Key       asn1.BitString
	}{
		algorithm{asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, parameters{
			1,
			field{asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}, params.P},
			curve{a.Bytes(), params.B.FillBytes(make([]byte, 32))},
			base, params.N,
		}},
		asn1.BitString{Bytes: spki[len(spki)-65:], BitLength: 65 * 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRandomChanges changes one byte at a random place of everything that is
// signed: nothing may hold any more, and nothing may panic.
func TestRandomChanges(t *testing.T) {
	const changes = 2500
	random := mathrand.New(mathrand.NewPCG(38540, 31))
	change := func(data []byte) []byte {
		out := slices.Clone(data)
		out[random.IntN(len(out))] ^= byte(1 + random.IntN(255))
		return out
	}
	for _, k := range []kind{kindSM2, kindP256} {
		w := newWorld(t, k)
		key := newKey(t, k)
		cert := w.issue(t, UsageSeal, key.Public())
		csr, err := CreateCSR(key, Subject{CommonName: "局"}, UsageSeal)
		if err != nil {
			t.Fatal(err)
		}
		lists := w.lists(t)
		trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}, CRLs: lists, RequireRevocation: true})
		if err := trust.Check(cert, w.ca.Chain(), epoch, UsageSeal).Err(); err != nil {
			t.Fatal(err)
		}
		for range changes {
			if r := trust.Check(change(cert), w.ca.Chain(), epoch, UsageSeal); r.Chain == nil {
				t.Fatalf("kind %d: a changed certificate passed", k)
			}
			if r := trust.Check(cert, [][]byte{change(w.ca.Certificate())}, epoch, UsageSeal); r.Chain == nil {
				t.Fatalf("kind %d: a changed authority passed", k)
			}
			// A root whose two names differ is one that is not self-signed:
			// its signature is for nobody to check.
			root := change(w.root)
			if _, err := NewTrust(TrustConfig{Roots: [][]byte{root}}); err == nil && bytes.Equal(mustParse(t, root).RawSubject, mustParse(t, root).RawIssuer) {
				t.Fatalf("kind %d: a changed root passed", k)
			}
			if _, err := ParseCSR(change(csr)); err == nil {
				t.Fatalf("kind %d: a changed request passed", k)
			}
			changed, err := NewTrust(TrustConfig{Roots: [][]byte{w.ca.Certificate()}, CRLs: [][]byte{change(lists[1])}, RequireRevocation: true})
			if err == nil && changed.Check(cert, nil, epoch, UsageSeal).Revocation == nil {
				t.Fatalf("kind %d: a changed list was believed", k)
			}
		}
	}
}

func TestParseCSR(t *testing.T) {
	for _, k := range []kind{kindSM2, kindP256, kindP384, kindEd25519} {
		key := newKey(t, k)
		want := Subject{Country: "CN", Province: "湖南省", Locality: "长沙市", Organization: "某局", OrganizationalUnit: "审批科", OrganizationID: "11430000006122244L", CommonName: "某局印章"}
		data, err := CreateCSR(key, want, UsageTimestamp)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := ParseCSR(data)
		if err != nil {
			t.Fatalf("kind %d: %v", k, err)
		}
		if got := SubjectOf(csr.Subject); got != want || !sameKey(csr.PublicKey, key.Public()) || len(csr.Extensions) != 2 {
			t.Errorf("kind %d: %+v with %d extensions", k, got, len(csr.Extensions))
		}
		for name, bad := range map[string][]byte{
			"cut off": data[:len(data)-1], "byte after": append(slices.Clone(data), 0), "too large": make([]byte, MaxCertificate+1), "empty": nil,
		} {
			if _, err := ParseCSR(bad); !errors.Is(err, ErrMalformed) {
				t.Errorf("kind %d, %s: %v", k, name, err)
			}
		}
		// The signature of another key under this key's request.
		other := newKey(t, k)
		second, err := CreateCSR(other, want, UsageTimestamp)
		if err != nil {
			t.Fatal(err)
		}
		mine, err := smx509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := smx509.MarshalPKIXPublicKey(other.Public())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseCSR(bytes.Replace(second, theirs, mine, 1)); !errors.Is(err, ErrKey) {
			t.Errorf("kind %d, stolen key: %v", k, err)
		}
	}
	if _, err := CreateCSR(newKey(t, kindSM2), Subject{}, UsageSeal); !errors.Is(err, ErrProfile) {
		t.Errorf("request without a name: %v", err)
	}
	if _, err := CreateCSR(newKey(t, kindSM2), Subject{CommonName: "a"}, 0); !errors.Is(err, ErrProfile) {
		t.Errorf("request without a use: %v", err)
	}
}

func TestImportChain(t *testing.T) {
	w, other := newWorld(t, kindSM2), newWorld(t, kindSM2)
	key := newKey(t, kindSM2)
	leaf := w.issue(t, UsageSeal, key.Public())
	second := w.issue(t, UsageSeal, newKey(t, kindSM2).Public())
	issuing := w.ca.Certificate()
	block := func(kind string, data []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
	}
	certs := func(ders ...[]byte) (out []byte) {
		for _, data := range ders {
			out = append(out, "subject=某某\n\n"...)
			out = append(out, block("CERTIFICATE", data)...)
		}
		return out
	}
	for name, c := range map[string]struct {
		data []byte
		n    int
		want error
	}{
		"in order":             {certs(leaf, issuing, w.root), 3, nil},
		"root first":           {certs(w.root, issuing, leaf), 3, nil},
		"leaf alone":           {certs(leaf), 1, nil},
		"without the root":     {certs(issuing, leaf), 2, nil},
		"twice":                {certs(leaf, issuing, leaf, issuing), 2, nil},
		"DER":                  {leaf, 1, nil},
		"DER, several":         {slices.Concat(w.root, leaf, issuing), 3, nil},
		"nothing":              {nil, 0, ErrKey},
		"no PEM":               {[]byte("dear sir or madam"), 0, ErrMalformed},
		"another's":            {certs(second, issuing, w.root), 0, ErrKey},
		"link missing":         {certs(leaf, w.root), 0, ErrChain},
		"another chain's root": {certs(leaf, issuing, other.root), 0, ErrChain},
		"one too many":         {certs(leaf, issuing, second), 0, ErrChain},
		"with a private key":   {append(certs(leaf), block("PRIVATE KEY", leaf)...), 0, ErrMalformed},
		"damaged block":        {append([]byte("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), certs(leaf)...), 0, ErrMalformed},
		"half a block":         {append(certs(leaf), block("CERTIFICATE", issuing)[:200]...), 0, ErrMalformed},
		"too large":            {make([]byte, maxBundle+1), 0, ErrMalformed},
	} {
		chain, err := ImportChain(c.data, key.Public())
		if !errors.Is(err, c.want) || len(chain) != c.n {
			t.Errorf("%s: %d certificates, %v; want %d, %v", name, len(chain), err, c.n, c.want)
		}
		for i, want := range [][]byte{leaf, issuing, w.root} {
			if i < len(chain) && !bytes.Equal(chain[i], want) {
				t.Errorf("%s: certificate %d is not in its place", name, i)
			}
		}
	}
}
