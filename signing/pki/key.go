package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// kind is a kind of public key on the list.
type kind int

const (
	kindP256 kind = iota + 1
	kindP384
	kindSM2
	kindEd25519
	kindRSA // of other authorities; nothing is issued or signed with it
)

// keyKind returns the kind of a public key, or ErrKey.
func keyKind(public crypto.PublicKey) (kind, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return kindP256, nil
		case elliptic.P384():
			return kindP384, nil
		case sm2.P256():
			return kindSM2, nil
		}
		return 0, fmt.Errorf("%w: curve %s; use SM2, P-256 or P-384", ErrKey, key.Params().Name)
	case ed25519.PublicKey:
		return kindEd25519, nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 8192 || key.E < 3 || key.E%2 == 0 || key.N.Bit(0) == 0 {
			return 0, fmt.Errorf("%w: RSA of %d bits, exponent %d", ErrKey, bits, key.E)
		}
		return kindRSA, nil
	}
	return 0, fmt.Errorf("%w: type %T", ErrKey, public)
}

// signs reports whether a signature algorithm belongs to keys of this kind.
func (k kind) signs(algorithm smx509.SignatureAlgorithm) bool {
	switch k {
	case kindP256, kindP384:
		return slices.Contains([]x509.SignatureAlgorithm{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512}, algorithm)
	case kindSM2:
		return algorithm == smx509.SM2WithSM3
	case kindEd25519:
		return algorithm == x509.PureEd25519
	case kindRSA:
		return slices.Contains([]x509.SignatureAlgorithm{
			x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
			x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		}, algorithm)
	}
	return false
}

// checkKey accepts a public key on the list in its one encoding: spki is
// compared with what the key encodes to, which also shuts out curves by
// parameters and the SM2 algorithm identifier in place of id-ecPublicKey.
func checkKey(spki []byte, public crypto.PublicKey) error {
	k, err := keyKind(public)
	if err != nil {
		return err
	}
	if key, ok := public.(ed25519.PublicKey); ok && k == kindEd25519 && !usableEd25519(key) {
		return fmt.Errorf("%w: Ed25519 point is not on the curve or of small order", ErrKey)
	}
	again, err := smx509.MarshalPKIXPublicKey(public)
	if err != nil || !bytes.Equal(again, spki) {
		return fmt.Errorf("%w: not the one encoding of a key on the list", ErrKey)
	}
	return nil
}

// usableEd25519 reports whether key encodes, in the one way, a point of the
// curve whose order is not 1, 2, 4 or 8: for such a point anybody can make
// signatures that hold (RFC 8032 §5.1.3, §8.9).
func usableEd25519(key ed25519.PublicKey) bool {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)

	encoded := slices.Clone(key)
	slices.Reverse(encoded)
	encoded[0] &= 0x7f
	y := new(big.Int).SetBytes(encoded)
	if y.Cmp(p) >= 0 {
		return false
	}
	// −x² + y² = 1 + d·x²·y² gives x² = (y²−1)/(d·y²+1); d is no square, so
	// the divisor is never 0. Doubling needs x² alone:
	// y(2P) = (y²+x²)/(1−d·x²·y²).
	for i := range 3 {
		yy := new(big.Int).Mul(y, y)
		xx := new(big.Int).Mul(d, yy)
		xx.Add(xx, one).ModInverse(xx.Mod(xx, p), p)
		xx.Mul(xx, new(big.Int).Sub(yy, one)).Mod(xx, p)
		if i == 0 && big.Jacobi(xx, p) < 0 {
			return false // x² is no square: not on the curve
		}
		under := new(big.Int).Mul(d, xx)
		under.Mul(under, yy).Sub(one, under)
		under.ModInverse(under.Mod(under, p), p)
		y = yy.Add(yy, xx).Mul(yy, under).Mod(yy, p)
	}
	return y.Cmp(one) != 0 // 8P is the neutral point (0, 1)
}

// sameKey compares two public keys.
func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
