package ofd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	encasn1 "encoding/asn1"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/pki"
)

// A plain digital signature of a file is a SignedData of GB/T 35275-2017 (the
// CMS of the SM algorithms). What it signs is the SM3 of Signature.xml: either
// as its content, or as the messageDigest of signed attributes without content.

const (
	maxCMS          = 1 << 20
	maxCMSCerts     = 16
	maxCMSAttribute = 16
)

type oid = encasn1.ObjectIdentifier

func oidSignedData() oid { return oid{1, 2, 156, 10197, 6, 1, 4, 2, 2} }
func oidData() oid       { return oid{1, 2, 156, 10197, 6, 1, 4, 2, 1} }
func oidSM3() oid        { return oid{1, 2, 156, 10197, 1, 401} }
func oidSM2Sign() oid    { return oid{1, 2, 156, 10197, 1, 301, 1} }
func oidSM2SM3() oid     { return oid{1, 2, 156, 10197, 1, 501} }

var (
	tagZero = asn1.Tag(0).ContextSpecific().Constructed()
	tagOne  = asn1.Tag(1).ContextSpecific().Constructed()
)

// signCMS signs a digest as the content of a SignedData with one certificate.
func signCMS(digest []byte, at time.Time, signer crypto.Signer, der []byte) ([]byte, error) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	public, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != sm2.P256() || !public.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%w: the key is not the SM2 key of the certificate", ErrSigner)
	}
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return nil, fmt.Errorf("%w: %s is not within the certificate's period", ErrSigner, at.UTC().Format(time.RFC3339))
	}
	value, err := signer.Sign(rand.Reader, digest, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	if !sm2.VerifyASN1WithSM2(public, nil, digest, value) {
		return nil, fmt.Errorf("%w: the key made a signature that does not verify", ErrSigner)
	}
	sequence := func(b *cryptobyte.Builder, f func(b *cryptobyte.Builder)) { b.AddASN1(asn1.SEQUENCE, f) }
	algorithm := func(id oid) func(*cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(id) })
		}
	}
	var b cryptobyte.Builder
	sequence(&b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData())
		b.AddASN1(tagZero, func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(asn1.SET, algorithm(oidSM3()))
				sequence(b, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidData())
					b.AddASN1(tagZero, func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest) })
				})
				b.AddASN1(tagZero, func(b *cryptobyte.Builder) { b.AddBytes(der) })
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
					sequence(b, func(b *cryptobyte.Builder) {
						b.AddASN1Int64(1)
						sequence(b, func(b *cryptobyte.Builder) {
							b.AddBytes(cert.RawIssuer)
							b.AddASN1BigInt(cert.SerialNumber)
						})
						algorithm(oidSM3())(b)
						algorithm(oidSM2Sign())(b)
						b.AddASN1OctetString(value)
					})
				})
			})
		})
	})
	return b.Bytes()
}

// cms is a SignedData with one signer.
type cms struct {
	digest []byte // what is signed: the SM3 of Signature.xml
	signed []byte // the bytes under the signature
	value  []byte
	cert   []byte // the signer's, DER
	extra  [][]byte
}

// verify tells whether the signature is the certificate's.
func (c *cms) verify() error {
	cert, err := smx509.ParseCertificate(c.cert)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != sm2.P256() {
		return fmt.Errorf("%w: the signer's key is not an SM2 key", ErrSignature)
	}
	if !sm2.VerifyASN1WithSM2(public, nil, c.signed, c.value) {
		return fmt.Errorf("%w: plain signature", ErrSignature)
	}
	return nil
}

// cmsReader reads DER element by element and keeps the first fault, after which
// everything is empty.
type cmsReader struct{ err error }

func (r *cmsReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: SignedData (GB/T 35275): %s", ErrDocument, what)
	}
}

func (r *cmsReader) read(s *cryptobyte.String, tag asn1.Tag, what string) (content cryptobyte.String) {
	if r.err == nil && !s.ReadASN1(&content, tag) {
		r.fail(what)
	}
	return content
}

func (r *cmsReader) oid(s *cryptobyte.String, what string) (id oid) {
	if r.err == nil && !s.ReadASN1ObjectIdentifier(&id) {
		r.fail(what)
	}
	return id
}

// algorithm reads an AlgorithmIdentifier without parameters or with NULL.
func (r *cmsReader) algorithm(s *cryptobyte.String, what string) oid {
	sequence := r.read(s, asn1.SEQUENCE, what)
	id := r.oid(&sequence, what)
	if sequence.PeekASN1Tag(asn1.NULL) {
		null := r.read(&sequence, asn1.NULL, what)
		r.end(null, what)
	}
	r.end(sequence, what)
	return id
}

func (r *cmsReader) end(s cryptobyte.String, what string) {
	if !s.Empty() {
		r.fail("something follows " + what)
	}
}

func (r *cmsReader) one(s *cryptobyte.String, what string) {
	var version int
	if r.err == nil && (!s.ReadASN1Integer(&version) || version != 1) {
		r.fail(what + " is not version 1")
	}
}

// parseCMS reads a SignedData in strict DER.
func parseCMS(der []byte) (*cms, error) {
	if len(der) > maxCMS {
		return nil, fmt.Errorf("%w: a plain signature of %d bytes", ErrLimit, len(der))
	}
	r := &cmsReader{}
	input := cryptobyte.String(der)
	info := r.read(&input, asn1.SEQUENCE, "ContentInfo")
	r.end(input, "ContentInfo")
	if !r.oid(&info, "contentType").Equal(oidSignedData()) {
		r.fail("contentType is not signedData")
	}
	wrapped := r.read(&info, tagZero, "content")
	r.end(info, "content")
	data := r.read(&wrapped, asn1.SEQUENCE, "SignedData")
	r.end(wrapped, "SignedData")
	r.one(&data, "SignedData")
	digests := r.read(&data, asn1.SET, "digestAlgorithms")
	if !r.algorithm(&digests, "digestAlgorithm").Equal(oidSM3()) {
		r.fail("digestAlgorithm is not SM3")
	}
	r.end(digests, "digestAlgorithm")

	c := &cms{}
	content := r.content(&data)
	certs := r.certificates(&data)
	if data.PeekASN1Tag(tagOne) {
		r.read(&data, tagOne, "crls") // the verifier has lists of its own
	}
	infos := r.read(&data, asn1.SET, "signerInfos")
	r.end(data, "signerInfos")
	signer := r.read(&infos, asn1.SEQUENCE, "signerInfo")
	r.end(infos, "the one signerInfo")
	r.signer(&signer, c, content, certs)
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// content reads the inner ContentInfo; nil is a detached content.
func (r *cmsReader) content(data *cryptobyte.String) []byte {
	inner := r.read(data, asn1.SEQUENCE, "contentInfo")
	if !r.oid(&inner, "content's type").Equal(oidData()) {
		r.fail("the content's type is not data")
	}
	if r.err != nil || inner.Empty() {
		return nil
	}
	wrapped := r.read(&inner, tagZero, "content")
	r.end(inner, "content")
	content := r.read(&wrapped, asn1.OCTET_STRING, "content")
	r.end(wrapped, "content")
	// Attributes, which are signed in the place of content, are longer: one
	// cannot be passed off as the other.
	if len(content) != sm3.Size {
		r.fail("the content is not an SM3 digest")
	}
	return content
}

func (r *cmsReader) certificates(data *cryptobyte.String) (list [][]byte) {
	set := r.read(data, tagZero, "certificates")
	for r.err == nil && !set.Empty() {
		var cert cryptobyte.String
		if !set.ReadASN1Element(&cert, asn1.SEQUENCE) || len(list) == maxCMSCerts || len(cert) > pki.MaxCertificate {
			r.fail("certificates")
			return nil
		}
		list = append(list, cert)
	}
	return list
}

func (r *cmsReader) signer(s *cryptobyte.String, c *cms, content []byte, certs [][]byte) {
	r.one(s, "signerInfo")
	name := r.read(s, asn1.SEQUENCE, "issuerAndSerialNumber")
	digest := r.algorithm(s, "the signer's digestAlgorithm")
	if !digest.Equal(oidSM3()) {
		r.fail("the signer's digestAlgorithm is not SM3")
	}
	var attributes cryptobyte.String
	attributed := r.err == nil && s.PeekASN1Tag(tagZero)
	if attributed && !s.ReadASN1Element(&attributes, tagZero) {
		r.fail("authenticatedAttributes")
	}
	if algorithm := r.algorithm(s, "digestEncryptionAlgorithm"); !algorithm.Equal(oidSM2Sign()) && !algorithm.Equal(oidSM2SM3()) {
		r.fail("digestEncryptionAlgorithm is not SM2")
	}
	c.value = r.read(s, asn1.OCTET_STRING, "encryptedDigest")
	if !s.Empty() { // unauthenticatedAttributes
		r.read(s, tagOne, "unauthenticatedAttributes")
	}
	r.end(*s, "signerInfo")
	if r.err != nil {
		return
	}
	switch {
	case attributed:
		// The signature is over the attributes as a SET (GB/T 35275 §9.2).
		c.signed = slices.Concat([]byte{byte(asn1.SET)}, attributes[1:])
		if c.digest = r.attributes(attributes); content != nil {
			if !bytes.Equal(sum(content), c.digest) {
				r.fail("messageDigest is not the content's")
			}
			c.digest = content
		}
	case content != nil:
		c.signed, c.digest = content, content
	default:
		r.fail("neither content nor attributes")
	}
	r.pick(c, name, certs)
}

// pick finds the signer's certificate by issuer and serial number.
func (r *cmsReader) pick(c *cms, name cryptobyte.String, certs [][]byte) {
	for i, der := range certs {
		cert, err := smx509.ParseCertificate(der)
		if err != nil {
			continue
		}
		var b cryptobyte.Builder
		b.AddBytes(cert.RawIssuer)
		b.AddASN1BigInt(cert.SerialNumber)
		if own, err := b.Bytes(); err == nil && bytes.Equal(own, name) {
			c.cert, c.extra = der, slices.Delete(slices.Clone(certs), i, i+1)
			return
		}
	}
	r.fail("the signer's certificate is not in it")
}

// attributes returns messageDigest; contentType must be data.
func (r *cmsReader) attributes(whole cryptobyte.String) (digest []byte) {
	set := r.read(&whole, tagZero, "authenticatedAttributes")
	var typed bool
	for n := 0; r.err == nil && !set.Empty(); n++ {
		attribute := r.read(&set, asn1.SEQUENCE, "attribute")
		id := r.oid(&attribute, "attribute")
		values := r.read(&attribute, asn1.SET, "attribute")
		r.end(attribute, "attribute")
		switch {
		case n == maxCMSAttribute:
			r.fail("too many attributes")
		case id.Equal(oid{1, 2, 840, 113549, 1, 9, 3}) && !typed:
			typed = r.oid(&values, "contentType").Equal(oidData())
			r.end(values, "contentType")
		case id.Equal(oid{1, 2, 840, 113549, 1, 9, 4}) && digest == nil:
			digest = r.read(&values, asn1.OCTET_STRING, "messageDigest")
			r.end(values, "messageDigest")
		case id.Equal(oid{1, 2, 840, 113549, 1, 9, 3}), id.Equal(oid{1, 2, 840, 113549, 1, 9, 4}):
			r.fail("an attribute is there twice")
		}
	}
	if !typed || len(digest) != sm3.Size {
		r.fail("contentType or messageDigest")
	}
	return digest
}

func sum(data []byte) []byte {
	digest := sm3.Sum(data)
	return digest[:]
}

// signatureTime reads SignatureDateTime in the forms in use. One without a zone
// is China's time.
func signatureTime(s string) (time.Time, bool) {
	china := time.FixedZone("CST", 8*60*60)
	for _, layout := range []string{"20060102150405Z", "20060102150405.000Z", time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		zone := china
		if layout[len(layout)-1] == 'Z' {
			zone = time.UTC
		}
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
