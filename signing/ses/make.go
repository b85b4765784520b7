package ses

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	encasn1 "encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/pki"
)

var oidSM2SM3 = encasn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}

// SealSpec says what a new seal is to be. Times are kept in whole seconds.
type SealSpec struct {
	ID           string   // 1 to 64 of 0-9 A-Z a-z - _ .; empty: 32 random hex digits
	VendorID     string   // product that makes it, ASCII; empty: ONEWINDOW
	Kind         int      // KindUnit, KindPersonal or a kind of the business
	Name         string   // e.g. 攸县行政审批服务局行政审批专用章, at most 128 characters
	Certificates [][]byte // of the signers who may use it, DER, at least one
	Created      time.Time
	ValidFrom    time.Time
	ValidUntil   time.Time
	Picture      Picture // PNG, GIF, JPG or BMP; each side 1 to 200 mm
}

// MakeSeal makes a seal of GB/T 38540-2020 (V4), signed by the maker's SM2 key,
// and returns its DER. It refuses with ErrSpec what the standard or a reader
// could not accept later: among others a period outside that of a certificate,
// and a certificate that may not sign. The result was read and verified again
// before it is returned.
func MakeSeal(spec SealSpec, maker crypto.Signer, makerCert []byte) ([]byte, error) {
	if err := spec.complete(); err != nil {
		return nil, err
	}
	if err := spec.check(maker, makerCert); err != nil {
		return nil, err
	}
	info, err := spec.encode()
	if err != nil {
		return nil, err
	}
	value, err := sign(maker, info)
	if err != nil {
		return nil, fmt.Errorf("ses: maker's key: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		b.AddASN1OctetString(makerCert)
		b.AddASN1ObjectIdentifier(oidSM2SM3)
		b.AddASN1BitString(value)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("ses: seal: %w", err)
	}
	s, err := ParseSeal(der)
	if err != nil {
		return nil, fmt.Errorf("ses: own seal: %w", err)
	}
	if err := s.verifyMaker(); err != nil {
		return nil, fmt.Errorf("ses: own seal: %w", err)
	}
	return der, nil
}

func (spec *SealSpec) complete() error {
	if spec.VendorID == "" {
		spec.VendorID = "ONEWINDOW"
	}
	if spec.ID == "" {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return fmt.Errorf("ses: seal number: %w", err)
		}
		spec.ID = hex.EncodeToString(random[:])
	}
	for _, t := range []*time.Time{&spec.Created, &spec.ValidFrom, &spec.ValidUntil} {
		*t = t.UTC().Truncate(time.Second)
	}
	return nil
}

func (spec *SealSpec) check(maker crypto.Signer, makerCert []byte) error {
	switch {
	case !isID(spec.ID):
		return fmt.Errorf("%w: seal number must be 1 to 64 of 0-9 A-Z a-z - _ . and begin with a letter or digit", ErrSpec)
	case !isText(spec.VendorID, unicode.MaxASCII) || len(spec.VendorID) > 64:
		return fmt.Errorf("%w: vendor must be 1 to 64 ASCII characters", ErrSpec)
	case spec.Kind < 1 || spec.Kind > maxNumber:
		return fmt.Errorf("%w: kind %d", ErrSpec, spec.Kind)
	case !isText(spec.Name, unicode.MaxRune) || utf8.RuneCountInString(spec.Name) > 128:
		return fmt.Errorf("%w: name must be 1 to 128 characters", ErrSpec)
	case len(spec.Certificates) == 0 || len(spec.Certificates) > maxListed:
		return fmt.Errorf("%w: a seal lists 1 to %d certificates of signers, not %d", ErrSpec, maxListed, len(spec.Certificates))
	case !spec.ValidFrom.Before(spec.ValidUntil):
		return fmt.Errorf("%w: the period ends before it begins", ErrSpec)
	case spec.Created.Year() < 1950 || spec.ValidFrom.Year() < 1950 || spec.ValidUntil.Year() > 9999:
		return fmt.Errorf("%w: a date is missing or cannot be written", ErrSpec)
	case spec.Created.After(spec.ValidUntil):
		return fmt.Errorf("%w: made after it ends", ErrSpec)
	}
	if err := spec.checkPicture(); err != nil {
		return err
	}
	cert, err := checkSigner(maker, makerCert, pki.UsageSealMaker)
	if err != nil {
		return fmt.Errorf("maker: %w", err)
	}
	if err := spec.within(cert); err != nil {
		return fmt.Errorf("maker: %w", err)
	}
	if spec.Created.Before(cert.NotBefore) {
		return fmt.Errorf("%w: made before the maker's certificate holds", ErrSpec)
	}
	for i, der := range spec.Certificates {
		cert, err := certificateFor(der, pki.UsageSeal)
		if err == nil {
			err = spec.within(cert)
		}
		if err != nil {
			return fmt.Errorf("signer %d: %w", i+1, err)
		}
	}
	return nil
}

func (spec *SealSpec) checkPicture() error {
	p := spec.Picture
	if p.Width < 1 || p.Width > 200 || p.Height < 1 || p.Height > 200 {
		return fmt.Errorf("%w: picture of %d × %d mm; each side must be 1 to 200 mm", ErrSpec, p.Width, p.Height)
	}
	if len(p.Data) > maxPicture {
		return fmt.Errorf("%w: picture of %d bytes, at most %d", ErrSpec, len(p.Data), maxPicture)
	}
	if _, err := p.Decode(); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

// within keeps a seal from outliving the certificates it rests on: it would
// look valid in the list and fail at every signature.
func (spec *SealSpec) within(cert *smx509.Certificate) error {
	if spec.ValidFrom.Before(cert.NotBefore) || spec.ValidUntil.After(cert.NotAfter) {
		return fmt.Errorf("%w: the seal's period must lie within the certificate's, %s to %s",
			ErrSpec, cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// encode writes SES_SealInfo (GB/T 38540).
func (spec *SealSpec) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // header
			addText(b, asn1.IA5String, "ES")
			b.AddASN1Int64(V4)
			addText(b, asn1.IA5String, spec.VendorID)
		})
		addText(b, asn1.IA5String, spec.ID)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // property
			b.AddASN1Int64(int64(spec.Kind))
			addText(b, asn1.UTF8String, spec.Name)
			b.AddASN1Int64(ListCertificates)
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, cert := range spec.Certificates {
					b.AddASN1OctetString(cert)
				}
			})
			for _, t := range []time.Time{spec.Created, spec.ValidFrom, spec.ValidUntil} {
				addText(b, asn1.GeneralizedTime, t.Format(generalizedLayout))
			}
		})
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // picture
			addText(b, asn1.IA5String, strings.ToUpper(spec.Picture.Type))
			b.AddASN1OctetString(spec.Picture.Data)
			b.AddASN1Int64(int64(spec.Picture.Width))
			b.AddASN1Int64(int64(spec.Picture.Height))
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("ses: seal: %w", err)
	}
	return der, nil
}

func addText(b *cryptobyte.Builder, tag asn1.Tag, s string) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
}

// isID keeps to characters that are safe as a file name everywhere.
func isID(s string) bool {
	safe := func(i int) bool {
		c := s[i]
		letter := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		return letter || i > 0 && (c == '-' || c == '_' || c == '.')
	}
	for i := range len(s) {
		if !safe(i) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// checkSigner reads the certificate of a signing key and sees that the two
// belong together: a mismatch would only come out when somebody verifies.
func checkSigner(signer crypto.Signer, der []byte, usage pki.Usage) (*smx509.Certificate, error) {
	cert, err := certificateFor(der, usage)
	if err != nil {
		return nil, err
	}
	public, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%w: the certificate is not the one of the key", ErrSpec)
	}
	return cert, nil
}

// certificateFor reads a certificate whose key is to sign: SM2, and of the
// profile for the use, so that the encryption half of a pair (GB/T 20518) is
// refused. Who trusts it is not asked here: an empty trust judges use alone.
func certificateFor(der []byte, usage pki.Usage) (*smx509.Certificate, error) {
	cert, err := parseCertificate(der)
	if err != nil {
		return nil, err
	}
	if _, err := sm2Key(cert); err != nil {
		return nil, err
	}
	nobody, err := pki.NewTrust(pki.TrustConfig{})
	if err != nil {
		return nil, fmt.Errorf("ses: %w", err)
	}
	if err := nobody.Check(der, nil, cert.NotBefore, usage).Usage; err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return cert, nil
}

func sm2Key(cert *smx509.Certificate) (*ecdsa.PublicKey, error) {
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != sm2.P256() {
		return nil, fmt.Errorf("%w: the certificate's key is not SM2", ErrAlgorithm)
	}
	return public, nil
}

// sign signs the whole message with SM2, SM3 and the default user id.
func sign(signer crypto.Signer, message []byte) ([]byte, error) {
	value, err := signer.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, err
	}
	if len(value) == 0 {
		return nil, errors.New("empty signature")
	}
	return value, nil
}

// verify checks an SM2 signature over the whole message with the key of a
// certificate.
func verify(cert []byte, algorithm string, message, value []byte) error {
	if algorithm != AlgorithmSM2SM3 {
		return fmt.Errorf("%w: %.64s", ErrAlgorithm, algorithm)
	}
	c, err := parseCertificate(cert)
	if err != nil {
		return err
	}
	public, err := sm2Key(c)
	if err != nil {
		return err
	}
	if !sm2.VerifyASN1WithSM2(public, nil, message, value) {
		return ErrSignature
	}
	return nil
}

// parseCertificate reads a certificate strictly.
func parseCertificate(der []byte) (*smx509.Certificate, error) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return cert, nil
}

func (s *Seal) verifyMaker() error {
	return verify(s.MakerCertificate, s.Algorithm, s.signed, s.Value)
}
