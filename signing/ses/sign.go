package ses

import (
	"bytes"
	"crypto"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/pki"
)

// SignSpec says what is sealed.
type SignSpec struct {
	Seal     []byte    // SESeal of GB/T 38540-2020, DER; put in byte for byte
	DataHash []byte    // SM3 of the sealed data, 32 bytes; in OFD of Signature.xml
	Property string    // in OFD the absolute path of Signature.xml
	Time     time.Time // signing time, kept in whole seconds
}

// Sign makes a seal signature of GB/T 38540-2020 (V4) and returns its DER.
// signerCert must be in the seal's list and belong to signer; the time must lie
// within the seal's period and the certificate's (GM/T 0031-2014, 6.2.2). It
// refuses the rest with ErrSpec, ErrNotListed or ErrPeriod before the key is
// used. Whether the seal itself holds, its maker above all, is Seal.Check's
// question, to be asked when a seal is taken into use.
//
// stamp, if not nil, is given the signature value and returns an RFC 3161
// token over it. Its error fails Sign: a caller that can do without a
// timestamp signs again with nil.
func Sign(spec SignSpec, signer crypto.Signer, signerCert []byte, stamp func(signature []byte) (token []byte, err error)) ([]byte, error) {
	seal, err := ParseSeal(spec.Seal)
	if err != nil {
		return nil, err
	}
	spec.Time = spec.Time.UTC().Truncate(time.Second)
	if err := spec.check(seal, signer, signerCert); err != nil {
		return nil, err
	}
	tbs, err := spec.encode()
	if err != nil {
		return nil, err
	}
	value, err := sign(signer, tbs)
	if err != nil {
		return nil, fmt.Errorf("ses: signer's key: %w", err)
	}
	// A token or a driver can answer with a faulty signature; it must not leave.
	if err := verify(signerCert, AlgorithmSM2SM3, tbs, value); err != nil {
		return nil, fmt.Errorf("ses: own signature: %w", err)
	}
	var token []byte
	if stamp != nil {
		if token, err = stamp(value); err != nil {
			return nil, fmt.Errorf("ses: timestamp: %w", err)
		}
		if len(token) == 0 || len(token) > maxToken {
			return nil, fmt.Errorf("%w: timestamp token of %d bytes", ErrSpec, len(token))
		}
	}
	return encodeSignature(tbs, signerCert, value, token)
}

func (spec *SignSpec) check(seal *Seal, signer crypto.Signer, signerCert []byte) error {
	switch {
	case seal.Version != V4:
		return fmt.Errorf("%w: seal of generation %d; only those of GB/T 38540-2020 are signed with", ErrSpec, seal.Version)
	case len(spec.DataHash) != sm3.Size:
		return fmt.Errorf("%w: digest of %d bytes, SM3 has %d", ErrSpec, len(spec.DataHash), sm3.Size)
	case !isText(spec.Property, unicode.MaxASCII) || len(spec.Property) > maxString:
		return fmt.Errorf("%w: property must be 1 to %d ASCII characters", ErrSpec, maxString)
	}
	cert, err := checkSigner(signer, signerCert, pki.UsageSeal)
	if err != nil {
		return err
	}
	if err := seal.lists(signerCert); err != nil {
		return err
	}
	if err := inPeriod(spec.Time, cert); err != nil {
		return fmt.Errorf("signer's certificate: %w", err)
	}
	if err := seal.holdsAt(spec.Time); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

// encode writes TBS_Sign (GB/T 38540).
func (spec *SignSpec) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(V4)
		b.AddBytes(spec.Seal)
		addText(b, asn1.GeneralizedTime, spec.Time.Format(generalizedLayout))
		b.AddASN1BitString(spec.DataHash)
		addText(b, asn1.IA5String, spec.Property)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("ses: signature: %w", err)
	}
	return der, nil
}

func encodeSignature(tbs, cert, value, token []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1OctetString(cert)
		b.AddASN1ObjectIdentifier(oidSM2SM3)
		b.AddASN1BitString(value)
		if token != nil {
			b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) { b.AddASN1BitString(token) })
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("ses: signature: %w", err)
	}
	return der, nil
}

// lists reports whether a signer's certificate is one that the seal permits,
// byte for byte or by its SM3 digest.
func (s *Seal) lists(cert []byte) error {
	for _, listed := range s.Certificates {
		if bytes.Equal(listed, cert) {
			return nil
		}
	}
	digest := sm3.Sum(cert)
	for _, listed := range s.Digests {
		named := strings.EqualFold(listed.Algorithm, "SM3") || listed.Algorithm == "1.2.156.10197.1.401"
		if named && bytes.Equal(listed.Value, digest[:]) {
			return nil
		}
	}
	return fmt.Errorf("%w: have the seal made again with the certificate of today", ErrNotListed)
}

func (s *Seal) holdsAt(at time.Time) error {
	if at.Before(s.ValidFrom) || at.After(s.ValidUntil) {
		return fmt.Errorf("%w: %s to %s", ErrPeriod, s.ValidFrom.Format(time.RFC3339), s.ValidUntil.Format(time.RFC3339))
	}
	return nil
}

func inPeriod(at time.Time, cert *smx509.Certificate) error {
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return fmt.Errorf("%w: %s to %s", ErrPeriod, cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	}
	return nil
}
