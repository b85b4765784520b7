package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxCertificate is the size in bytes of the largest certificate or request
// that is read.
const MaxCertificate = 16 << 10

// ParseCertificate reads one X.509 v3 certificate (RFC 5280 §4.1). Beyond what
// smx509 asks for it wants at most MaxCertificate bytes; DER throughout, in
// the standard extensions too; no member after the last one anywhere in the
// frame; signature and key of whole octets; a serial number that is not
// negative and at most 20 octets long; a public key on the list: P-256, P-384
// and SM2 by the name of the curve, with a point on it, Ed25519 that is not of
// small order, RSA of 2048 to 8192 bits; a key usage, basic constraints or
// extended key usage that say something. Errors are ErrMalformed or ErrKey. The
// result shares no memory with data.
//
// Still read, since certificates in use need it: a critical FALSE or CA FALSE
// that is spelled out, names in T61String and BMPString, a key usage
// with needless zero bits.
func ParseCertificate(data []byte) (*smx509.Certificate, error) {
	if len(data) > MaxCertificate {
		return nil, fmt.Errorf("%w: certificate of %d bytes, the limit is %d", ErrMalformed, len(data), MaxCertificate)
	}
	if err := checkDER(data); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err := checkFrame(data); err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	cert, err := smx509.ParseCertificate(bytes.Clone(data))
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	for _, e := range cert.Extensions {
		if err := checkExtension(e.Id, e.Value); err != nil {
			return nil, fmt.Errorf("%w: extension %v: %w", ErrMalformed, e.Id, err)
		}
	}
	if err := checkKey(cert.RawSubjectPublicKeyInfo, cert.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return cert, nil
}

// checkFrame walks the fixed members of a certificate, since smx509 stops
// reading at the last member that it knows:
//
//	SEQUENCE { SEQUENCE { [0] 2, serial, algorithm, issuer, SEQUENCE { time, time }, subject,
//	  SEQUENCE { algorithm, key }, [1]?, [2]?, [3] SEQUENCE OF SEQUENCE { OID, BOOLEAN?, OCTET STRING }? },
//	  algorithm, signature }
func checkFrame(data []byte) error {
	in := cryptobyte.String(data)
	var cert, tbs, version, serial, validity, extensions cryptobyte.String
	var hasExtensions bool
	if !in.ReadASN1(&cert, der.SEQUENCE) || !cert.ReadASN1(&tbs, der.SEQUENCE) || !readAlgorithm(&cert) || !readOctets(&cert) || !cert.Empty() {
		return errors.New("not SEQUENCE { certificate, algorithm, signature }")
	}
	if !tbs.ReadASN1(&version, der.Tag(0).Constructed().ContextSpecific()) || string(version) != "\x02\x01\x02" {
		return errors.New("not of version 3")
	}
	if !tbs.ReadASN1(&serial, der.INTEGER) || serial[0]&0x80 != 0 || len(serial) > 20 {
		return errors.New("serial number negative or longer than 20 octets")
	}
	if !readAlgorithm(&tbs) || !tbs.SkipASN1(der.SEQUENCE) || !tbs.ReadASN1(&validity, der.SEQUENCE) ||
		!readAnyElement(&validity) || !readAnyElement(&validity) || !validity.Empty() || !tbs.SkipASN1(der.SEQUENCE) {
		return errors.New("not { algorithm, issuer, validity, subject }")
	}
	if !readKeyInfo(&tbs) {
		return errors.New("not { algorithm, public key }")
	}
	if !tbs.SkipOptionalASN1(der.Tag(1).ContextSpecific()) || !tbs.SkipOptionalASN1(der.Tag(2).ContextSpecific()) ||
		!tbs.ReadOptionalASN1(&extensions, &hasExtensions, der.Tag(3).Constructed().ContextSpecific()) || !tbs.Empty() {
		return errors.New("members after the extensions")
	}
	if hasExtensions && !onlyExtensions(extensions) {
		return errors.New("extension not { OID, critical, value }")
	}
	return nil
}

// onlyExtensions reports whether in is one SEQUENCE OF Extension and no more.
func onlyExtensions(in cryptobyte.String) bool {
	var list cryptobyte.String
	if !in.ReadASN1(&list, der.SEQUENCE) || !in.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var e cryptobyte.String
		if !list.ReadASN1(&e, der.SEQUENCE) || !e.SkipASN1(der.OBJECT_IDENTIFIER) ||
			!e.SkipOptionalASN1(der.BOOLEAN) || !e.SkipASN1(der.OCTET_STRING) || !e.Empty() {
			return false
		}
	}
	return true
}

// readAlgorithm reads SEQUENCE { OID, parameters? }.
func readAlgorithm(in *cryptobyte.String) bool {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, der.SEQUENCE) || !seq.SkipASN1(der.OBJECT_IDENTIFIER) {
		return false
	}
	return seq.Empty() || readAnyElement(&seq) && seq.Empty()
}

// readKeyInfo reads SEQUENCE { algorithm, BIT STRING }.
func readKeyInfo(in *cryptobyte.String) bool {
	var spki cryptobyte.String
	return in.ReadASN1(&spki, der.SEQUENCE) && readAlgorithm(&spki) && readOctets(&spki) && spki.Empty()
}

// readOctets reads a BIT STRING without unused bits.
func readOctets(in *cryptobyte.String) bool {
	var bits cryptobyte.String
	return in.ReadASN1(&bits, der.BIT_STRING) && len(bits) > 1 && bits[0] == 0
}

func readAnyElement(in *cryptobyte.String) bool {
	var element cryptobyte.String
	var tag der.Tag
	return in.ReadAnyASN1Element(&element, &tag)
}

// checkExtension holds the standard extensions (RFC 5280 §4.2) to one reading.
// Others may hold anything; if critical, they refuse the path later.
func checkExtension(id asn1.ObjectIdentifier, value []byte) error {
	if len(id) != 4 || id[0] != 2 || id[1] != 5 || id[2] != 29 {
		return nil
	}
	if err := checkDER(value); err != nil {
		return err
	}
	in := cryptobyte.String(value)
	switch id[3] {
	case 15: // keyUsage
		var bits asn1.BitString
		if !in.ReadASN1BitString(&bits) || len(bits.Bytes) > 2 {
			return errors.New("not a key usage")
		}
		for i := range 9 {
			if bits.At(i) != 0 {
				return nil
			}
		}
		return errors.New("key usage without a use")
	case 19: // basicConstraints
		var seq cryptobyte.String
		isCA := false
		if !in.ReadASN1(&seq, der.SEQUENCE) || seq.PeekASN1Tag(der.BOOLEAN) && !seq.ReadASN1Boolean(&isCA) {
			return errors.New("not basic constraints")
		}
		if isCA && !seq.SkipOptionalASN1(der.INTEGER) || !seq.Empty() {
			return errors.New("path length without CA, or a member too many")
		}
	case 37: // extKeyUsage
		var seq cryptobyte.String
		if !in.ReadASN1(&seq, der.SEQUENCE) || seq.Empty() {
			return errors.New("no purpose")
		}
	}
	return nil
}

// usesKey reports whether the certificate's signature algorithm is one that
// belongs to the issuer's key, so that one key never signs in two schemes.
func usesKey(algorithm smx509.SignatureAlgorithm, issuer *smx509.Certificate) bool {
	kind, err := keyKind(issuer.PublicKey)
	return err == nil && kind.signs(algorithm)
}

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// checkAuthority refuses an issuer that smx509 would let pass.
func checkAuthority(ca *smx509.Certificate) error {
	if !ca.BasicConstraintsValid || !ca.IsCA {
		return fmt.Errorf("%q is no certification authority", ca.Subject.CommonName)
	}
	if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("%q may not sign certificates", ca.Subject.CommonName)
	}
	if ca.RequireExplicitPolicy > 0 || ca.RequireExplicitPolicyZero {
		return fmt.Errorf("%q asks for certificate policies, which are not processed here", ca.Subject.CommonName)
	}
	for _, e := range ca.Extensions {
		if e.Id.Equal(oidNameConstraints) && !e.Critical {
			// smx509 skips kinds of names that it does not know if the
			// extension is not critical; RFC 5280 §4.2.1.10 says it must be.
			return fmt.Errorf("%q has name constraints that are not critical", ca.Subject.CommonName)
		}
	}
	return nil
}
