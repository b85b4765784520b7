package pki

import (
	"bytes"
	"encoding/pem"
	"testing"

	"github.com/emmansun/gmsm/smx509"
)

func fuzzCertificates(f *testing.F) (*world, [][]byte) {
	f.Helper()
	var all [][]byte
	var last *world
	for _, k := range []kind{kindEd25519, kindP384, kindP256, kindSM2} {
		w := newWorld(f, k)
		all = append(all, w.root, w.ca.Certificate())
		for _, u := range usages {
			all = append(all, w.issue(f, u, newKey(f, k).Public()))
		}
		last = w
	}
	return last, all
}

// FuzzParseCertificate: what is read encodes to the same key again and can be
// judged without a panic; nobody trusts it but for the seeds' own root.
func FuzzParseCertificate(f *testing.F) {
	w, seeds := fuzzCertificates(f)
	for _, seed := range seeds {
		f.Add(seed)
	}
	trust := newTrust(f, TrustConfig{Roots: [][]byte{newWorld(f, kindSM2).root}, Intermediates: [][]byte{w.ca.Certificate()}})
	f.Fuzz(func(t *testing.T, data []byte) {
		cert, err := ParseCertificate(data)
		if err != nil {
			return
		}
		if !bytes.Equal(cert.Raw, data) || cert.SerialNumber.Sign() < 0 || cert.SerialNumber.BitLen() > 160 {
			t.Fatalf("serial number %v, %d of %d bytes", cert.SerialNumber, len(cert.Raw), len(data))
		}
		spki, err := smx509.MarshalPKIXPublicKey(cert.PublicKey)
		if err != nil || !bytes.Equal(spki, cert.RawSubjectPublicKeyInfo) {
			t.Fatalf("the key encodes otherwise: %v", err)
		}
		for _, usage := range append(usages, UsageCA) {
			if r := trust.Check(data, [][]byte{w.ca.Certificate()}, epoch, usage); r.Chain == nil {
				t.Fatal("a stranger's certificate is trusted")
			}
		}
	})
}

// FuzzParseCSR: what is read proves possession of an allowed key.
func FuzzParseCSR(f *testing.F) {
	for _, k := range []kind{kindEd25519, kindP384, kindP256, kindSM2} {
		for _, u := range append(usages, UsageCA) {
			csr, err := CreateCSR(newKey(f, k), Subject{Country: "CN", CommonName: "某局"}, u)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(csr)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		csr, err := ParseCSR(data)
		if err != nil {
			return
		}
		if k, err := keyKind(csr.PublicKey); err != nil || !k.signs(csr.SignatureAlgorithm) || !bytes.Equal(csr.Raw, data) {
			t.Fatalf("kind %d, %v, %v", k, csr.SignatureAlgorithm, err)
		}
	})
}

// FuzzParseRevocationList: what is read is bounded and can be asked.
func FuzzParseRevocationList(f *testing.F) {
	w := newWorld(f, kindSM2)
	cert := mustParse(f, w.issue(f, UsageSeal, newKey(f, kindSM2).Public()))
	if err := w.ca.Revoke(f.Context(), cert.SerialNumber, KeyCompromise, w.now); err != nil {
		f.Fatal(err)
	}
	for _, seed := range w.lists(f) {
		f.Add(seed)
	}
	issuer := mustParse(f, w.ca.Certificate())
	genuine := w.lists(f)[1]
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseRevocationList(data)
		if err != nil {
			return
		}
		if list.signedBy(issuer) && !bytes.Equal(data, genuine) {
			t.Fatal("a forged list is believed")
		}
		if list.nextUpdate.Before(list.thisUpdate) || len(list.entries) > len(data)/8 {
			t.Fatalf("%v to %v, %d entries", list.thisUpdate, list.nextUpdate, len(list.entries))
		}
		verdict([]*revocationList{list}, cert, epoch)
		list.scope.covers(cert)
	})
}

// FuzzImportChain: what is read starts with the key's certificate and is linked.
func FuzzImportChain(f *testing.F) {
	w := newWorld(f, kindP256)
	key := newKey(f, kindP256)
	leaf := w.issue(f, UsageSeal, key.Public())
	var text []byte
	for _, data := range [][]byte{w.root, leaf, w.ca.Certificate()} {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data})...)
	}
	f.Add(text)
	f.Add(append(bytes.Clone(leaf), w.root...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		chain, err := ImportChain(data, key.Public())
		if err != nil {
			return
		}
		if !sameKey(mustParse(t, chain[0]).PublicKey, key.Public()) {
			t.Fatal("another key's certificate comes first")
		}
		for i := range chain[1:] {
			if err := checkLink(mustParse(t, chain[i]), mustParse(t, chain[i+1])); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzParseRevocations: what is read is written back to the same meaning.
func FuzzParseRevocations(f *testing.F) {
	f.Add([]byte(`{"number":3,"revoked":[{"serial":"80ff","at":"2026-01-01T00:00:00Z","reason":1}]}`))
	f.Add([]byte(`{"number":0,"revoked":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRevocations(data)
		if err != nil {
			return
		}
		out, err := r.marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRevocations(out)
		if err != nil || again.number != r.number || len(again.entries) != len(r.entries) {
			t.Fatalf("%s became %s: %v", data, out, err)
		}
	})
}
