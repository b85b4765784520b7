package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"

	"github.com/emmansun/gmsm/sm2"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// The algorithms that are signed with and accepted, by their alg header.
const (
	// ES256 is ECDSA with P-256 and SHA-256 (RFC 7518 §3.4).
	ES256 = "ES256"
	// ES384 is ECDSA with P-384 and SHA-384 (RFC 7518 §3.4).
	ES384 = "ES384"
	// EdDSA is Ed25519 (RFC 8037 §3.1); Ed448 is not accepted.
	EdDSA = "EdDSA"
	// SM2SM3 is SM2 with SM3 (GB/T 32918.2) and the user id 1234567812345678;
	// a signature is r and s, 32 bytes each. JOSE has no registered name for
	// it: this one, and the curve name SM2 of its keys, are this hub's own.
	SM2SM3 = "SM2SM3"
)

// AlgorithmOf is the one algorithm that a public key is used with: ES256 and
// ES384 for an *ecdsa.PublicKey on P-256 and P-384, SM2SM3 for one on SM2,
// EdDSA for an ed25519.PublicKey. Any other key is ErrAlgorithm, and so is an
// Ed25519 key of small order, under which anybody can sign anything.
//
// One algorithm per key is what stops algorithm confusion (RFC 8725 §2.1):
// the alg of a token is no more than a claim to be compared with it.
func AlgorithmOf(key crypto.PublicKey) (string, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key == nil {
			break
		}
		switch key.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return ES384, nil
		case sm2.P256():
			return SM2SM3, nil
		}
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize && !smallOrder(key) {
			return EdDSA, nil
		}
	}
	return "", fmt.Errorf("%w: no algorithm for this %T", ErrAlgorithm, key)
}

// allowed is the list that a token's alg is looked up in, by its exact name.
func allowed(alg string) bool {
	switch alg {
	case ES256, ES384, EdDSA, SM2SM3:
		return true
	}
	return false
}

// primitive makes and checks the signatures of one algorithm. Both interfaces
// are jwx's: a signer takes the message and a crypto.Signer, a verifier the
// message, the signature and a public key. They are pure functions, safe for
// concurrent use; what may go wrong is the key or the signature, for good.
// jwx sees no token: it would read it a second time, and more laxly.
type primitive struct {
	signer   jws.Signer
	verifier jws.Verifier
	curve    elliptic.Curve // nil for EdDSA.
	size     int            // of a signature, in bytes.
}

func primitiveOf(alg string) (primitive, error) {
	switch alg {
	case SM2SM3:
		return primitive{sm2Primitive{}, sm2Primitive{}, sm2.P256(), 64}, nil
	case ES256:
		return jwxPrimitive(jwa.ES256, elliptic.P256(), 64)
	case ES384:
		return jwxPrimitive(jwa.ES384, elliptic.P384(), 96)
	case EdDSA:
		return jwxPrimitive(jwa.EdDSA, nil, ed25519.SignatureSize)
	}
	return primitive{}, fmt.Errorf("%w: %.40q", ErrAlgorithm, alg)
}

func jwxPrimitive(alg jwa.SignatureAlgorithm, curve elliptic.Curve, size int) (primitive, error) {
	signer, err := jws.NewSigner(alg)
	if err != nil {
		return primitive{}, fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	verifier, err := jws.NewVerifier(alg)
	if err != nil {
		return primitive{}, fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	return primitive{signer, verifier, curve, size}, nil
}

// verify checks the signature of a message; the key is of this algorithm.
func (p primitive) verify(message, signature []byte, key crypto.PublicKey) error {
	if !p.wellFormed(signature) {
		return fmt.Errorf("%w: wrong size or range", ErrSignature)
	}
	if p.verifier.Verify(message, signature, key) != nil {
		return ErrSignature
	}
	return nil
}

// wellFormed tells whether the length is exact and, for the curves of ECDSA and
// SM2, r and s are from 1 to n−1. Go's own verifiers look at that too; here it
// depends neither on them nor on jwx's use of math/big.
func (p primitive) wellFormed(signature []byte) bool {
	if len(signature) != p.size {
		return false
	}
	if p.curve == nil {
		return true // EdDSA: crypto/ed25519 alone decodes R and S
	}
	size := p.size / 2
	var buffer [2][48]byte
	order, zero := p.curve.Params().N.FillBytes(buffer[0][:size]), buffer[1][:size]
	for _, scalar := range [][]byte{signature[:size], signature[size:]} {
		if bytes.Equal(scalar, zero) || bytes.Compare(scalar, order) >= 0 {
			return false
		}
	}
	return true
}

// sign makes the signature of a message; the signer's key is of this algorithm.
func (p primitive) sign(message []byte, signer crypto.Signer) ([]byte, error) {
	if _, software := signer.(*ecdsa.PrivateKey); !software && p.curve != nil {
		signer = checkedSigner{signer, p.size / 2}
	}
	signature, err := p.signer.Sign(message, signer)
	if err != nil {
		return nil, err
	}
	if !p.wellFormed(signature) {
		return nil, errors.New("the signer made a signature of the wrong size or range")
	}
	return signature, nil
}

// checkedSigner refuses the signature of a faulty token or driver before jwx,
// which would panic on a long r or s and take a negative one for positive.
type checkedSigner struct {
	crypto.Signer
	size int // of a coordinate.
}

func (c checkedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	der, err := c.Signer.Sign(random, digest, opts)
	if err != nil {
		return nil, err
	}
	if _, ok := rawSignature(der, c.size); !ok {
		return nil, errors.New("the signer made something else than an ASN.1 signature")
	}
	return der, nil
}
