package tsa

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"fmt"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// signer is what an authority puts into every token.
type signer struct {
	key            crypto.Signer
	scheme         signatureScheme
	issuer, serial []byte   // DER of Name; content of the INTEGER
	certificateSum []byte   // by the scheme's hash
	certificates   [][]byte // sorted
}

func newSigner(key crypto.Signer) (signer, error) {
	scheme, err := signingAlgorithm(key.Public())
	return signer{key: key, scheme: scheme}, err
}

// setCertificate takes the names of the certificate as they stand in it:
// SEQUENCE { [0] 2, serialNumber, … }.
func (s *signer) setCertificate(leaf *smx509.Certificate) error {
	in := cryptobyte.String(leaf.RawTBSCertificate)
	var tbs, serial cryptobyte.String
	if !in.ReadASN1(&tbs, der.SEQUENCE) || !tbs.SkipOptionalASN1(contextSet(0)) || !tbs.ReadASN1(&serial, der.INTEGER) {
		return fmt.Errorf("%w: certificate without a serial number", ErrConfig)
	}
	s.issuer, s.serial, s.certificateSum = leaf.RawIssuer, serial, s.scheme.hash.Sum(leaf.Raw)
	return nil
}

// token signs the DER of a TSTInfo.
func (s *signer) token(content []byte, withCertificates bool) ([]byte, error) {
	attributes, err := s.attributes(content)
	if err != nil {
		return nil, err
	}
	signature, err := sign(s.key, s.scheme, attributes)
	if err != nil {
		return nil, err
	}
	outer := oidSignedData
	if s.scheme.family == familySM2 {
		outer = oidSignedDataSM2
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(outer)
		b.AddASN1(contextSet(0), func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(3)
				b.AddASN1(der.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, s.scheme.hash.oid()) })
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidTSTInfo)
					b.AddASN1(contextSet(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
				})
				if withCertificates {
					b.AddASN1(contextSet(0), func(b *cryptobyte.Builder) { addAll(b, s.certificates) })
				}
				b.AddASN1(der.SET, func(b *cryptobyte.Builder) { s.addInfo(b, attributes, signature) })
			})
		})
	})
	return b.Bytes()
}

// attributes encodes the signed attributes as the SET OF that is signed.
func (s *signer) attributes(content []byte) ([]byte, error) {
	var members [][]byte
	for _, attribute := range []struct {
		oid   asn1.ObjectIdentifier
		value cryptobyte.BuilderContinuation
	}{
		{oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidTSTInfo) }},
		{oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.scheme.hash.Sum(content)) }},
		{oidSigningCertificateV2, s.addSigningCertificate},
	} {
		var b cryptobyte.Builder
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(attribute.oid)
			b.AddASN1(der.SET, attribute.value)
		})
		member, err := b.Bytes()
		if err != nil {
			return nil, err
		}
		members = append(members, member)
	}
	sortSet(members)
	var b cryptobyte.Builder
	b.AddASN1(der.SET, func(b *cryptobyte.Builder) { addAll(b, members) })
	return b.Bytes()
}

// addSigningCertificate writes SigningCertificateV2 with one identifier.
func (s *signer) addSigningCertificate(b *cryptobyte.Builder) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				if s.scheme.hash != SHA256 { // the DEFAULT
					addAlgorithm(b, s.scheme.hash.oid())
				}
				b.AddASN1OctetString(s.certificateSum)
			})
		})
	})
}

// addInfo writes SignerInfo.
func (s *signer) addInfo(b *cryptobyte.Builder, attributes, signature []byte) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(s.issuer)
			b.AddASN1(der.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(s.serial) })
		})
		addAlgorithm(b, s.scheme.hash.oid())
		implicit := bytes.Clone(attributes)
		implicit[0] = byte(contextSet(0))
		b.AddBytes(implicit)
		addAlgorithm(b, s.scheme.oid)
		b.AddASN1OctetString(signature)
	})
}

func addAll(b *cryptobyte.Builder, elements [][]byte) {
	for _, e := range elements {
		b.AddBytes(e)
	}
}
