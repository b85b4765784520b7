package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// Hash is a digest algorithm of imprints and signatures.
type Hash int

// The digest algorithms on the list. SHA-1 and MD5 are not on it.
const (
	SHA256 Hash = iota + 1 // FIPS 180-4.
	SHA384                 // FIPS 180-4.
	SHA512                 // FIPS 180-4.
	SM3                    // GB/T 32905.
)

func hashes() []Hash { return []Hash{SHA256, SHA384, SHA512, SM3} }

// String returns the algorithm's name.
func (h Hash) String() string {
	switch h {
	case SHA256:
		return "SHA-256"
	case SHA384:
		return "SHA-384"
	case SHA512:
		return "SHA-512"
	case SM3:
		return "SM3"
	}
	return fmt.Sprintf("hash %d", int(h))
}

// Sum returns the digest of data, or nil if h is not on the list.
func (h Hash) Sum(data []byte) []byte {
	state := h.state()
	if state == nil {
		return nil
	}
	_, _ = state.Write(data) // never fails
	return state.Sum(nil)
}

func (h Hash) state() hash.Hash {
	switch h {
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	case SHA512:
		return sha512.New()
	case SM3:
		return sm3.New()
	}
	return nil
}

func (h Hash) oid() asn1.ObjectIdentifier {
	switch h {
	case SHA256:
		return oidSHA256
	case SHA384:
		return oidSHA384
	case SHA512:
		return oidSHA512
	case SM3:
		return oidSM3
	}
	return nil
}

// standard is the Hash of the standard library, where it has one.
func (h Hash) standard() crypto.Hash {
	switch h {
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	default:
		return 0
	}
}

var (
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidSM3    = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}

	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidRSA             = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAWithSHA256   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidRSAWithSHA384   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidRSAWithSHA512   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidSM2Sign         = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301, 1}
	oidSM2WithSM3      = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
)

// family is a signature scheme; each kind of key belongs to one.
type family int

const (
	familyECDSA family = iota + 1
	familyRSA
	familySM2
)

// signatureScheme is a signatureAlgorithm that a token may name.
type signatureScheme struct {
	oid    asn1.ObjectIdentifier
	family family
	hash   Hash // 0: the scheme leaves it to digestAlgorithm
}

func signatureSchemes() []signatureScheme {
	return []signatureScheme{
		{oidECDSAWithSHA256, familyECDSA, SHA256},
		{oidECDSAWithSHA384, familyECDSA, SHA384},
		{oidECDSAWithSHA512, familyECDSA, SHA512},
		{oidRSA, familyRSA, 0},
		{oidRSAWithSHA256, familyRSA, SHA256},
		{oidRSAWithSHA384, familyRSA, SHA384},
		{oidRSAWithSHA512, familyRSA, SHA512},
		{oidSM2Sign, familySM2, SM3},    // GB/T 35275
		{oidSM2WithSM3, familySM2, SM3}, // what Bouncy Castle writes
	}
}

// familyOf returns the only scheme that a key is used with, so that a token
// cannot choose another one for it.
func familyOf(public crypto.PublicKey) (family, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case sm2.P256():
			return familySM2, nil
		case elliptic.P256(), elliptic.P384():
			return familyECDSA, nil
		}
		return 0, fmt.Errorf("%w: curve %s", ErrAlgorithm, key.Params().Name)
	case *rsa.PublicKey:
		return familyRSA, nil
	}
	return 0, fmt.Errorf("%w: key of type %T signs no timestamps", ErrAlgorithm, public)
}

// verifySignature checks the signature over message. The scheme and the digest
// must belong to the key (ErrAlgorithm); ErrSignature if it does not match.
func verifySignature(public crypto.PublicKey, scheme signatureScheme, digest Hash, message, signature []byte) error {
	own, err := familyOf(public)
	if err != nil {
		return err
	}
	if scheme.family != own || scheme.hash != 0 && scheme.hash != digest || (digest == SM3) != (own == familySM2) {
		return fmt.Errorf("%w: signature algorithm %v with %v is not the key's", ErrAlgorithm, scheme.oid, digest)
	}
	ok := false
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if own == familySM2 {
			ok = sm2.VerifyASN1WithSM2(key, nil, message, signature)
		} else {
			ok = ecdsa.VerifyASN1(key, digest.Sum(message), signature)
		}
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(key, digest.standard(), digest.Sum(message), signature) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// signingAlgorithm returns what an authority with this key signs with: P-256
// with SHA-256 or SM2 with SM3.
func signingAlgorithm(public crypto.PublicKey) (signatureScheme, error) {
	if key, ok := public.(*ecdsa.PublicKey); ok {
		switch key.Curve {
		case sm2.P256():
			return signatureScheme{oidSM2Sign, familySM2, SM3}, nil
		case elliptic.P256():
			return signatureScheme{oidECDSAWithSHA256, familyECDSA, SHA256}, nil
		}
	}
	return signatureScheme{}, fmt.Errorf("%w: an authority signs with P-256 or SM2, not with %T", ErrAlgorithm, public)
}

// sign signs message with the signer's own algorithm. SM2 takes the whole
// message, since its digest begins with the public key (GB/T 32918.2 §5.5).
func sign(signer crypto.Signer, scheme signatureScheme, message []byte) ([]byte, error) {
	if scheme.family == familySM2 {
		return signer.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	}
	return signer.Sign(rand.Reader, scheme.hash.Sum(message), scheme.hash.standard())
}
