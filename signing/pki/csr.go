package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// CreateCSR makes a certificate request (PKCS #10, RFC 2986) in DER that asks
// another authority for the key usage and purpose of usage.
func CreateCSR(signer crypto.Signer, subject Subject, usage Usage) ([]byte, error) {
	p, ok := usage.profile()
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrProfile, usage)
	}
	if k, err := keyKind(signer.Public()); err != nil || k == kindRSA {
		return nil, fmt.Errorf("%w: nothing is signed with %T here", ErrKey, signer.Public())
	}
	name, err := subject.marshal()
	if err != nil {
		return nil, err
	}
	extensions, err := p.extensions()
	if err != nil {
		return nil, err
	}
	return smx509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: name, ExtraExtensions: extensions}, signer)
}

// extensions are the key usage and the purpose as they are written.
func (p profile) extensions() ([]pkix.Extension, error) {
	bits := asn1.BitString{Bytes: make([]byte, 1)}
	for i := range 7 { // no profile uses the bits 7 and 8
		if p.keyUsage&(1<<i) != 0 {
			bits.Bytes[0] |= 0x80 >> i
			bits.BitLength = i + 1
		}
	}
	value, err := asn1.Marshal(bits)
	if err != nil {
		return nil, err
	}
	list := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: value}}
	if p.purpose != nil {
		value, err := asn1.Marshal([]asn1.ObjectIdentifier{p.purpose})
		if err != nil {
			return nil, err
		}
		list = append(list, pkix.Extension{Id: oidPurposes, Critical: p.alone, Value: value})
	}
	return list, nil
}

// ParseCSR reads one certificate request in DER as strictly as ParseCertificate
// reads certificates, and checks its signature, which proves that the sender
// holds the key. What it asks for is for the reader to decide: an authority
// takes the key, and the name only after somebody has checked it.
func ParseCSR(data []byte) (*smx509.CertificateRequest, error) {
	if len(data) > MaxCertificate {
		return nil, fmt.Errorf("%w: request of %d bytes, the limit is %d", ErrMalformed, len(data), MaxCertificate)
	}
	if err := checkDER(data); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if err := checkRequestFrame(data); err != nil {
		return nil, fmt.Errorf("%w: request: %w", ErrMalformed, err)
	}
	csr, err := smx509.ParseCertificateRequest(bytes.Clone(data))
	if err != nil {
		return nil, fmt.Errorf("%w: request: %w", ErrMalformed, err)
	}
	for _, e := range csr.Extensions {
		if err := checkExtension(e.Id, e.Value); err != nil {
			return nil, fmt.Errorf("%w: request: extension %v: %w", ErrMalformed, e.Id, err)
		}
	}
	if err := checkKey(csr.RawSubjectPublicKeyInfo, csr.PublicKey); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if k, err := keyKind(csr.PublicKey); err != nil || !k.signs(csr.SignatureAlgorithm) {
		return nil, fmt.Errorf("%w: request is signed with %v", ErrKey, csr.SignatureAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: request: its signature does not hold: %w", ErrKey, err)
	}
	return csr, nil
}

// checkRequestFrame walks the fixed members of a request, as checkFrame does:
// SEQUENCE { SEQUENCE { 0, subject, key, [0] attributes }, algorithm, signature }.
func checkRequestFrame(data []byte) error {
	in := cryptobyte.String(data)
	var csr, body, version, attributes cryptobyte.String
	if !in.ReadASN1(&csr, der.SEQUENCE) || !csr.ReadASN1(&body, der.SEQUENCE) || !readAlgorithm(&csr) || !readOctets(&csr) || !csr.Empty() {
		return errors.New("not SEQUENCE { request, algorithm, signature }")
	}
	if !body.ReadASN1(&version, der.INTEGER) || string(version) != "\x00" || !body.SkipASN1(der.SEQUENCE) || !readKeyInfo(&body) ||
		!body.ReadASN1(&attributes, der.Tag(0).Constructed().ContextSpecific()) || !body.Empty() {
		return errors.New("not { version 1, subject, key, attributes }")
	}
	for !attributes.Empty() {
		var attribute cryptobyte.String
		if !attributes.ReadASN1(&attribute, der.SEQUENCE) || !attribute.SkipASN1(der.OBJECT_IDENTIFIER) || !attribute.SkipASN1(der.SET) || !attribute.Empty() {
			return errors.New("attribute not { OID, values }")
		}
	}
	return nil
}
