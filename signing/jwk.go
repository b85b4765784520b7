package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

// MaxJWKS is the largest key set that ParseJWKS reads, in bytes.
const MaxJWKS = 1 << 20

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
// without any usable key is refused with ErrMalformed. Certificates in a set
// are not read.
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
		alg := jwkAlgorithm(jwk)
		if kid == "" || alg == "" {
			continue
		}
		if _, dup := set.keys[kid]; dup {
			return KeySet{}, fmt.Errorf("%w: key set: kid %.64q appears twice", ErrMalformed, kid)
		}
		if set.keys[kid], err = decodeKey(alg, jwk); err != nil {
			return KeySet{}, fmt.Errorf("key set: key %d: %w", i, err)
		}
	}
	if len(set.keys) == 0 {
		return KeySet{}, fmt.Errorf("%w: key set has no key to verify with", ErrMalformed)
	}
	return set, nil
}

// ParseJWK reads one public JWK (RFC 7517), such as the holder's key in a
// token's cnf claim. A private key or a point that no private key has is
// ErrMalformed, a key of another type ErrAlgorithm.
func ParseJWK(data []byte) (crypto.PublicKey, error) {
	if len(data) > MaxJWKS {
		return nil, fmt.Errorf("%w: key of %d bytes, limit %d", ErrMalformed, len(data), MaxJWKS)
	}
	jwk, err := strict.Object(data)
	if err != nil {
		return nil, fmt.Errorf("%w: key: %w", ErrMalformed, err)
	}
	if _, private := jwk["d"]; private {
		return nil, fmt.Errorf("%w: key is a private key", ErrMalformed)
	}
	alg := jwkAlgorithm(jwk)
	if alg == "" {
		return nil, fmt.Errorf("%w: key is not for signatures, or of another type than P-256, P-384, SM2 and Ed25519", ErrAlgorithm)
	}
	return decodeKey(alg, jwk)
}

// MarshalJWK writes the bare public JWK of a key: crv, kty, x and, but for
// Ed25519, y. Any other key is ErrAlgorithm. The members stand in the order of
// RFC 7638 §3, so that SHA-256 over the result is the key's thumbprint.
func MarshalJWK(key crypto.PublicKey) ([]byte, error) {
	jwk, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return strict.Encode(bareJWK{jwk.Curve, jwk.Type, jwk.X, jwk.Y})
}

// Thumbprint is the RFC 7638 SHA-256 thumbprint of a public key in base64url:
// the kid of every key of this hub. For SM2 the RFC's rule for EC keys holds.
func Thumbprint(key crypto.PublicKey) (string, error) {
	jwk, err := MarshalJWK(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(jwk)
	return strict.EncodeBase64URL(sum[:]), nil
}

// PublicKey is a key to be published.
type PublicKey struct {
	KeyID string
	Key   crypto.PublicKey
	// Chain holds the key's certificates in DER, its own first; optional.
	Chain [][]byte
}

// MarshalJWKS writes a JWK set (RFC 7517 §5) in the order given, each key with
// kid, alg and use, and with x5c if it has certificates. An empty set is
// written as such. A key without a kid, or one kid twice, is ErrMalformed, a
// key without an algorithm ErrAlgorithm. ParseJWKS reads the result.
func MarshalJWKS(keys []PublicKey) ([]byte, error) {
	set := struct {
		Keys []fullJWK `json:"keys"`
	}{make([]fullJWK, len(keys))}
	seen := make(map[string]bool, len(keys))
	for i, key := range keys {
		if key.KeyID == "" || seen[key.KeyID] {
			return nil, fmt.Errorf("%w: key set: kid %.64q is empty or there twice", ErrMalformed, key.KeyID)
		}
		seen[key.KeyID] = true
		jwk, err := encodeKey(key.Key)
		if err != nil {
			return nil, fmt.Errorf("key set: key %.64q: %w", key.KeyID, err)
		}
		jwk.KeyID, jwk.Use, jwk.Chain = key.KeyID, "sig", key.Chain
		set.Keys[i] = jwk
	}
	return strict.Encode(set)
}

// bareJWK has the members of a thumbprint in their order.
type bareJWK struct {
	Curve string `json:"crv"`
	Type  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y,omitempty"`
}

type fullJWK struct {
	Algorithm string   `json:"alg"`
	Curve     string   `json:"crv"`
	KeyID     string   `json:"kid"`
	Type      string   `json:"kty"`
	Use       string   `json:"use"`
	X         string   `json:"x"`
	Chain     [][]byte `json:"x5c,omitempty"` // encoding/json writes bytes in the base64 that x5c has
	Y         string   `json:"y,omitempty"`
}

// jwkAlgorithm is the algorithm of a key to verify with, empty for any other
// key. Absent members mean no restriction (RFC 7517 §4.2 to §4.4).
func jwkAlgorithm(jwk map[string]any) string {
	var alg string
	kty, _ := jwk["kty"].(string)
	crv, _ := jwk["crv"].(string)
	switch [2]string{kty, crv} {
	case [2]string{"EC", "P-256"}:
		alg = ES256
	case [2]string{"EC", "P-384"}:
		alg = ES384
	case [2]string{"EC", "SM2"}:
		alg = SM2SM3
	case [2]string{"OKP", "Ed25519"}:
		alg = EdDSA
	}
	if v, present := jwk["alg"]; present && v != alg {
		return ""
	}
	if v, present := jwk["use"]; present && v != "sig" {
		return ""
	}
	if v, present := jwk["key_ops"]; present {
		if list, ok := v.([]any); !ok || !slices.Contains(list, any("verify")) {
			return ""
		}
	}
	return alg
}

func decodeKey(alg string, jwk map[string]any) (crypto.PublicKey, error) {
	switch alg {
	case EdDSA:
		x, err := coordinate(jwk, "x", ed25519.PublicKeySize)
		if err != nil {
			return nil, err
		}
		key := ed25519.PublicKey(x)
		if smallOrder(key) || !onEdwards25519(key) {
			return nil, fmt.Errorf("%w: not a point of Ed25519, or of small order", ErrMalformed)
		}
		return key, nil
	case ES256:
		return decodePoint(jwk, 32, func(point []byte) (*ecdsa.PublicKey, error) {
			return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		})
	case ES384:
		return decodePoint(jwk, 48, func(point []byte) (*ecdsa.PublicKey, error) {
			return ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
		})
	case SM2SM3:
		return decodePoint(jwk, 32, sm2.ParseUncompressedPublicKey)
	}
	return nil, fmt.Errorf("%w: %.40q", ErrAlgorithm, alg)
}

func decodePoint(jwk map[string]any, size int, parse func([]byte) (*ecdsa.PublicKey, error)) (crypto.PublicKey, error) {
	x, err := coordinate(jwk, "x", size)
	if err != nil {
		return nil, err
	}
	y, err := coordinate(jwk, "y", size)
	if err != nil {
		return nil, err
	}
	key, err := parse(slices.Concat([]byte{4}, x, y)) // SEC 1 §2.3.3, uncompressed
	if err != nil {
		return nil, fmt.Errorf("%w: not a point of the curve: %w", ErrMalformed, err)
	}
	return key, nil
}

// coordinate reads one of the exact length (RFC 7518 §6.2.1.2).
func coordinate(jwk map[string]any, name string, size int) ([]byte, error) {
	text, _ := jwk[name].(string)
	b, err := strict.Base64URL(text)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("%w: %s is not %d bytes of base64url", ErrMalformed, name, size)
	}
	return b, nil
}

func encodeKey(key crypto.PublicKey) (fullJWK, error) {
	alg, err := AlgorithmOf(key)
	if err != nil {
		return fullJWK{}, err
	}
	if key, ok := key.(ed25519.PublicKey); ok {
		return fullJWK{Algorithm: alg, Type: "OKP", Curve: "Ed25519", X: strict.EncodeBase64URL(key)}, nil
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fullJWK{}, fmt.Errorf("%w: a %T has no coordinates", ErrAlgorithm, key)
	}
	jwk := fullJWK{Algorithm: alg, Type: "EC"}
	var point []byte // SEC 1 §2.3.3, uncompressed
	switch alg {
	case SM2SM3:
		jwk.Curve = "SM2"
		exchange, convertErr := sm2.PublicKeyToECDH(public)
		if convertErr != nil {
			return fullJWK{}, fmt.Errorf("%w: public key: %w", ErrMalformed, convertErr)
		}
		point = exchange.Bytes()
	default:
		jwk.Curve = public.Curve.Params().Name
		if point, err = public.Bytes(); err != nil {
			return fullJWK{}, fmt.Errorf("%w: public key: %w", ErrMalformed, err)
		}
	}
	size := len(point) / 2
	jwk.X, jwk.Y = strict.EncodeBase64URL(point[1:1+size]), strict.EncodeBase64URL(point[1+size:])
	return jwk, nil
}
