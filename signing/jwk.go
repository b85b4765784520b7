package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

// MaxJWKS is the largest key set that ParseJWKS reads, in bytes.
const MaxJWKS = 1 << 20

// coordinateSize is the length of a P-256 coordinate in bytes.
const coordinateSize = 32

// KeySet is an offline set of public keys by kid, read with ParseJWKS.
// It is immutable and safe for concurrent use.
type KeySet struct {
	keys map[string]crypto.PublicKey
}

// Key returns the public key with that kid, or ErrUnknownKey.
func (s KeySet) Key(kid string) (crypto.PublicKey, error) {
	if key, ok := s.keys[kid]; ok {
		return key, nil
	}
	return nil, fmt.Errorf("%w: %.64q", ErrUnknownKey, kid)
}

// ParseJWKS reads a JWK set (RFC 7517 §5). Keys of a type or use that this
// package cannot verify with are skipped, as the RFC asks, so that a set may
// hold keys for others too. A set with private keys, with one kid twice, or
// without any usable key is refused with ErrMalformed.
func ParseJWKS(data []byte) (KeySet, error) {
	if len(data) > MaxJWKS {
		return KeySet{}, fmt.Errorf("%w: key set of %d bytes, limit %d", ErrMalformed, len(data), MaxJWKS)
	}
	doc, err := strict.Object(data)
	if err != nil {
		return KeySet{}, fmt.Errorf("%w: key set: %w", ErrMalformed, err)
	}
	list, ok := doc["keys"].([]any)
	if !ok {
		return KeySet{}, fmt.Errorf(`%w: key set has no "keys" array`, ErrMalformed)
	}
	set := KeySet{keys: make(map[string]crypto.PublicKey, len(list))}
	for i, item := range list {
		jwk, ok := item.(map[string]any)
		if !ok {
			return KeySet{}, fmt.Errorf("%w: key set: key %d is not an object", ErrMalformed, i)
		}
		if _, private := jwk["d"]; private {
			return KeySet{}, fmt.Errorf("%w: key set: key %d is a private key; replace it, it must count as leaked", ErrMalformed, i)
		}
		kid, _ := jwk["kid"].(string)
		if kid == "" || !supportedJWK(jwk) {
			continue
		}
		if _, dup := set.keys[kid]; dup {
			return KeySet{}, fmt.Errorf("%w: key set: kid %.64q appears twice", ErrMalformed, kid)
		}
		if set.keys[kid], err = p256Key(jwk); err != nil {
			return KeySet{}, fmt.Errorf("key set: key %d: %w", i, err)
		}
	}
	if len(set.keys) == 0 {
		return KeySet{}, fmt.Errorf("%w: key set has no key to verify with", ErrMalformed)
	}
	return set, nil
}

// ParseJWK reads one public JWK (RFC 7517), such as the holder's key in a
// token's cnf claim. A private key or bad coordinates are ErrMalformed, a key
// of another type ErrAlgorithm.
func ParseJWK(data []byte) (crypto.PublicKey, error) {
	jwk, err := strict.Object(data)
	if err != nil {
		return nil, fmt.Errorf("%w: key: %w", ErrMalformed, err)
	}
	if _, private := jwk["d"]; private {
		return nil, fmt.Errorf("%w: key is a private key", ErrMalformed)
	}
	if !supportedJWK(jwk) {
		return nil, fmt.Errorf("%w: key is not EC P-256 for signatures", ErrAlgorithm)
	}
	return p256Key(jwk)
}

// MarshalJWK writes the bare public JWK (kty, crv, x, y) of a P-256 key, or
// ErrAlgorithm for another key. Member order is that of RFC 7638, so that
// SHA-256 over the result is the key's thumbprint.
func MarshalJWK(key crypto.PublicKey) ([]byte, error) {
	x, y, err := coordinates(key)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, x, y), nil
}

// Thumbprint is the RFC 7638 SHA-256 thumbprint of a P-256 public key in
// base64url: the kid of every key that this package makes.
func Thumbprint(key crypto.PublicKey) (string, error) {
	jwk, err := MarshalJWK(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(jwk)
	return strict.EncodeBase64URL(sum[:]), nil
}

// supportedJWK reports whether the members say: a key to verify ES256 with.
// Absent use and alg mean no restriction (RFC 7517 §4.2, §4.4).
func supportedJWK(jwk map[string]any) bool {
	for name, want := range map[string]string{"use": "sig", "alg": ES256} {
		if v, present := jwk[name]; present && v != want {
			return false
		}
	}
	return jwk["kty"] == "EC" && jwk["crv"] == "P-256"
}

func p256Key(jwk map[string]any) (*ecdsa.PublicKey, error) {
	point := []byte{4} // SEC 1 §2.3.3, uncompressed
	for _, name := range []string{"x", "y"} {
		text, _ := jwk[name].(string)
		b, err := strict.Base64URL(text)
		if err != nil || len(b) != coordinateSize {
			return nil, fmt.Errorf("%w: %s is not %d bytes of base64url", ErrMalformed, name, coordinateSize)
		}
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: not a point of P-256: %w", ErrMalformed, err)
	}
	return key, nil
}

// es256Key is the one place that ties the algorithm to the kind of key: jwx
// itself would verify an ES256 header with a key on another curve.
func es256Key(key crypto.PublicKey) (*ecdsa.PublicKey, error) {
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok || pub == nil || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: a %T cannot be used with %s", ErrAlgorithm, key, ES256)
	}
	return pub, nil
}

func coordinates(key crypto.PublicKey) (x, y string, err error) {
	pub, err := es256Key(key)
	if err != nil {
		return "", "", err
	}
	point, err := pub.Bytes()
	if err != nil {
		return "", "", fmt.Errorf("%w: public key: %w", ErrMalformed, err)
	}
	return strict.EncodeBase64URL(point[1 : 1+coordinateSize]), strict.EncodeBase64URL(point[1+coordinateSize:]), nil
}
