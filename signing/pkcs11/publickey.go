package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// algorithm is what this package knows of one JOSE algorithm: the curve it
// fixes and PKCS#11's numbers for it.
type algorithm struct {
	name      string
	curve     elliptic.Curve // nil for Ed25519
	hash      crypto.Hash    // of the digest that a signer gets; 0: the message
	params    []byte         // CKA_EC_PARAMS: the OID of the curve in DER
	pointSize int            // of the encoded public key
	keyType   uintptr        // CKK_EC, CKK_EC_EDWARDS
	generate  uintptr        // CKM_EC_KEY_PAIR_GEN, CKM_EC_EDWARDS_KEY_PAIR_GEN
	sign      uintptr        // CKM_ECDSA, CKM_EDDSA
}

// algorithms lists what a token may be asked for.
func algorithms() [3]algorithm {
	return [3]algorithm{
		{
			name: "ES256", curve: elliptic.P256(), hash: crypto.SHA256, pointSize: 65, keyType: 0x03, generate: 0x1040, sign: 0x1041,
			params: []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
		},
		{
			name: "ES384", curve: elliptic.P384(), hash: crypto.SHA384, pointSize: 97, keyType: 0x03, generate: 0x1040, sign: 0x1041,
			params: []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22},
		},
		{
			name: "EdDSA", pointSize: ed25519.PublicKeySize, keyType: 0x40, generate: 0x1055, sign: 0x1057,
			params: []byte{0x06, 0x03, 0x2b, 0x65, 0x70}, // RFC 8410 §3
		},
	}
}

// algorithmByName refuses what a token cannot be asked for, SM2 with its reason.
func algorithmByName(name string) (algorithm, error) {
	for _, a := range algorithms() {
		if a.name == name {
			return a, nil
		}
	}
	if name == "SM2SM3" {
		return algorithm{}, fmt.Errorf("%w: SM2 has no common PKCS#11 mechanism, each vendor has its own; keep SM2 keys in files", ErrAlgorithm)
	}
	return algorithm{}, fmt.Errorf("%w: %.32q; a token does ES256, ES384 and EdDSA", ErrAlgorithm, name)
}

// parsePublicKey reads CKA_EC_PARAMS and CKA_EC_POINT of a public key. The
// curve is named by its OID or, for Ed25519 (PKCS #11 v3.0 §2.3.10), by the
// PrintableString "edwards25519". The point is in a DER OCTET STRING, as v2.40
// §2.3.3 wants it, or bare, as many tokens have it; their lengths differ, so
// that there is one reading. The point is on its curve.
func parsePublicKey(params, point []byte) (algorithm, crypto.PublicKey, error) {
	if bytes.Equal(params, []byte("\x13\x0cedwards25519")) {
		params = algorithms()[2].params
	}
	for _, a := range algorithms() {
		if !bytes.Equal(params, a.params) {
			continue
		}
		if len(point) == a.pointSize+2 && point[0] == byte(asn1.OCTET_STRING) && int(point[1]) == a.pointSize {
			point = point[2:]
		}
		if len(point) != a.pointSize {
			return algorithm{}, nil, fmt.Errorf("%w: public key of %s has %d bytes, expected %d", ErrKey, a.name, len(point), a.pointSize)
		}
		if a.curve == nil {
			return a, ed25519.PublicKey(bytes.Clone(point)), nil
		}
		key, err := ecdsa.ParseUncompressedPublicKey(a.curve, point)
		if err != nil {
			return algorithm{}, nil, fmt.Errorf("%w: public key of %s: %w", ErrKey, a.name, err)
		}
		return a, key, nil
	}
	return algorithm{}, nil, fmt.Errorf("%w: the key is on another curve (parameters %.64x) than P-256, P-384 or Ed25519", ErrAlgorithm, params)
}

// encodeSignature turns what C_Sign returned into what a crypto.Signer returns:
// for ECDSA r‖s becomes ECDSA-Sig-Value in DER (RFC 3279 §2.2.3), an Ed25519
// signature is itself. The result may still not match: verify it.
func (a algorithm) encodeSignature(raw []byte) ([]byte, error) {
	half := ed25519.SignatureSize / 2
	if a.curve != nil {
		half = (a.curve.Params().BitSize + 7) / 8
	}
	if len(raw) != 2*half {
		return nil, fmt.Errorf("%w: signature of %s has %d bytes, expected %d", ErrDevice, a.name, len(raw), 2*half)
	}
	if a.curve == nil {
		return bytes.Clone(raw), nil
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:half]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[half:]))
	})
	return b.Bytes()
}

// verify checks a signature as encodeSignature returns it.
func (a algorithm) verify(public crypto.PublicKey, digest, signature []byte) bool {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, digest, signature)
	default:
		return false
	}
}
