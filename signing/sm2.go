package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// sm2Primitive is SM2SM3 in the shape of jwx's signers and verifiers. It is
// not registered there: that would change a table of the whole process.
type sm2Primitive struct{}

// Algorithm is SM2SM3.
func (sm2Primitive) Algorithm() jwa.SignatureAlgorithm { return SM2SM3 }

// Sign takes the message itself: its digest depends on the public key.
func (sm2Primitive) Sign(message []byte, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T does not sign", key)
	}
	der, err := signer.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, err
	}
	raw, ok := rawSignature(der, 32)
	if !ok {
		return nil, errors.New("the signer made something else than an ASN.1 signature")
	}
	return raw, nil
}

// Verify takes a signature of r and s in 32 bytes each.
func (sm2Primitive) Verify(message, signature []byte, key any) error {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("a %T does not verify SM2", key)
	}
	// gmsm hashes the coordinates first and panics if one is too long.
	if _, err := sm2.PublicKeyToECDH(public); err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	der, err := derSignature(signature)
	if err != nil {
		return err
	}
	if !sm2.VerifyASN1WithSM2(public, nil, message, der) {
		return ErrSignature
	}
	return nil
}

// rawSignature turns an ECDSA or SM2 signature in DER into r and s of size
// bytes each. It is false for anything that is not just that.
func rawSignature(der []byte, size int) ([]byte, bool) {
	var inner cryptobyte.String
	var r, s []byte // big-endian without leading zeros; negative ones are refused
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > size || len(s) > size {
		return nil, false
	}
	raw := make([]byte, 2*size)
	copy(raw[size-len(r):], r)
	copy(raw[2*size-len(s):], s)
	return raw, true
}

// derSignature is the reverse of rawSignature.
func derSignature(raw []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addScalar(b, raw[:len(raw)/2])
		addScalar(b, raw[len(raw)/2:])
	})
	return b.Bytes()
}

// addScalar writes a positive number in the fewest bytes (X.690 §8.3).
func addScalar(b *cryptobyte.Builder, scalar []byte) {
	for len(scalar) > 1 && scalar[0] == 0 {
		scalar = scalar[1:]
	}
	b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) {
		if scalar[0]&0x80 != 0 {
			b.AddUint8(0)
		}
		b.AddBytes(scalar)
	})
}
