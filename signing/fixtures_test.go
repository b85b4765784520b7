package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

func algorithms() []string { return []string{ES256, ES384, EdDSA, SM2SM3} }

func newSigner(tb testing.TB, alg string) crypto.Signer {
	tb.Helper()
	var signer crypto.Signer
	var err error
	switch alg {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ES384:
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case SM2SM3:
		signer, err = sm2.GenerateKey(rand.Reader)
	default:
		tb.Fatalf("no key for %s", alg)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

// opaque hides what a signer is, as a token or the key ring does.
type opaque struct{ crypto.Signer }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// rawSignatureOf signs without jwx and without any of the code under test.
func rawSignatureOf(tb testing.TB, input string, key crypto.Signer) []byte {
	tb.Helper()
	var der []byte
	var err error
	size := 32
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	case *sm2.PrivateKey:
		der, err = key.SignWithSM2(rand.Reader, nil, []byte(input))
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256([]byte(input))
		digest := sum[:]
		if key.Curve == elliptic.P384() {
			sum := sha512.Sum384([]byte(input))
			digest, size = sum[:], 48
		}
		der, err = ecdsa.SignASN1(rand.Reader, key, digest)
	default:
		tb.Fatalf("cannot sign with a %T", key)
	}
	if err != nil {
		tb.Fatal(err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		tb.Fatal(err)
	}
	return scalars(pair.R, pair.S, size)
}

// scalars is r and s in size bytes each.
func scalars(r, s *big.Int, size int) []byte {
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

// rawJWS makes tokens that SignCompact would never make.
func rawJWS(tb testing.TB, header, payload string, key crypto.Signer) string {
	tb.Helper()
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(string(rawSignatureOf(tb, input, key)))
}

// withSignature replaces the signature of a token.
func withSignature(token string, signature []byte) string {
	return token[:strings.LastIndexByte(token, '.')+1] + b64(string(signature))
}

// keySet holds the public keys of the signers under the given kids.
func keySet(signers map[string]crypto.Signer) KeySet {
	set := KeySet{keys: map[string]crypto.PublicKey{}}
	for kid, signer := range signers {
		set.keys[kid] = signer.Public()
	}
	return set
}
