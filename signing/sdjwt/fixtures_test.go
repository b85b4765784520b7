package sdjwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing"
)

const (
	testIssuer   = "https://issuer.example.org"
	testType     = "urn:example:licence:1"
	testAudience = "https://window.example.org"
)

func testNow() time.Time { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }

// rawSigner is an issuer or a holder written without package signing or jwx:
// the second opinion, and the maker of tokens that Issue refuses to make.
type rawSigner struct{ key *ecdsa.PrivateKey }

func newSigner(tb testing.TB) rawSigner {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return rawSigner{key}
}

func (s rawSigner) Sign(_ context.Context, typ string, payload []byte) (string, error) {
	return s.sign(fmt.Sprintf(`{"alg":"ES256","kid":"k","typ":%q}`, typ), payload)
}

func (s rawSigner) sign(header string, payload []byte) (string, error) {
	input := b64(header) + "." + b64(string(payload))
	sum := sha256.Sum256([]byte(input))
	r, t, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	return input + "." + b64(string(append(r.FillBytes(make([]byte, 32)), t.FillBytes(make([]byte, 32))...))), nil
}

func (s rawSigner) SignTokens(ctx context.Context, typ string, payloads [][]byte) ([]string, error) {
	tokens := make([]string, len(payloads))
	for i, payload := range payloads {
		var err error
		if tokens[i], err = s.Sign(ctx, typ, payload); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// Key makes a rawSigner its own resolver.
func (s rawSigner) Key(kid string) (crypto.PublicKey, error) {
	if kid != "k" {
		return nil, signing.ErrUnknownKey
	}
	return &s.key.PublicKey, nil
}

// issuer signs as a service does, with any algorithm, and is its own resolver.
type issuer struct {
	signer crypto.Signer
	kid    string
	chain  [][]byte
}

func newIssuer(tb testing.TB, alg string) issuer {
	tb.Helper()
	var signer crypto.Signer
	var err error
	switch alg {
	case signing.ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case signing.ES384:
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case signing.EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case signing.SM2SM3:
		signer, err = sm2.GenerateKey(rand.Reader)
	}
	if err != nil {
		tb.Fatal(err)
	}
	kid, err := signing.Thumbprint(signer.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return issuer{signer: signer, kid: kid}
}

func (i issuer) SignTokens(_ context.Context, typ string, payloads [][]byte) ([]string, error) {
	tokens := make([]string, len(payloads))
	for j, payload := range payloads {
		var err error
		if tokens[j], err = signing.SignCompact(i.signer, signing.Header{KeyID: i.kid, Type: typ, Chain: i.chain}, payload); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func (i issuer) Key(kid string) (crypto.PublicKey, error) {
	if kid != i.kid {
		return nil, signing.ErrUnknownKey
	}
	return i.signer.Public(), nil
}

// bound presents a token with proof of this key.
func (i issuer) bound(tb testing.TB, token string) string {
	tb.Helper()
	claims := fmt.Sprintf(`{"iat":%d,"aud":%q,"nonce":"n-1","sd_hash":%q}`, testNow().Unix(), testAudience, sum(token))
	proof, err := signing.SignCompact(i.signer, signing.Header{Type: bindingType}, []byte(claims))
	if err != nil {
		tb.Fatal(err)
	}
	return token + proof
}

func bindingPolicy() Policy {
	return Policy{KeyBinding: true, Audience: testAudience, Nonce: "n-1", MaxAge: time.Minute}
}

func (s rawSigner) trust() Trust { return OneIssuer{Issuer: testIssuer, KeyResolver: s} }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// craft signs a payload as it stands and adds the disclosures, given as JSON.
// In the payload $0, $1 … stand for the digests of the disclosures; in a
// disclosure they stand for the digests of later ones.
func (s rawSigner) craft(tb testing.TB, payload string, disclosures ...string) string {
	tb.Helper()
	encoded := make([]string, len(disclosures))
	for i := len(disclosures) - 1; i >= 0; i-- {
		text := disclosures[i]
		for j := len(disclosures) - 1; j > i; j-- { // $10 before $1
			text = strings.ReplaceAll(text, fmt.Sprintf("$%d", j), sum(encoded[j]))
		}
		encoded[i] = b64(text)
		payload = strings.ReplaceAll(payload, fmt.Sprintf("$%d", i), sum(encoded[i]))
	}
	if !json.Valid([]byte(payload)) {
		tb.Fatalf("the test's own payload: %s", payload)
	}
	jwt, err := s.Sign(tb.Context(), TokenType, []byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Join(append([]string{jwt}, encoded...), "~") + "~"
}

// bind appends a key binding JWT with the claims given as JSON, in which $h
// stands for the right sd_hash.
func (s rawSigner) bind(tb testing.TB, token, header, claims string) string {
	tb.Helper()
	jwt, err := s.sign(header, []byte(strings.ReplaceAll(claims, "$h", sum(token))))
	if err != nil {
		tb.Fatal(err)
	}
	return token + jwt
}

func licence(holder crypto.PublicKey) Claims {
	return Claims{
		Issuer: testIssuer, Type: testType,
		IssuedAt: testNow(), NotBefore: testNow(), Expires: testNow().AddDate(1, 0, 0),
		Status: &StatusRef{URI: "https://issuer.example.org/status/3", Index: 4711},
		Holder: holder,
		Body: map[string]any{
			"ZZBS":   "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
			"name":   "张三 <&>",
			"id":     "11010519491231002X",
			"places": []string{"甲", "乙"},
			"area":   json.Number("12.50"),
		},
		Disclosable: []string{"name", "id", "places"},
	}
}

func mustIssue(tb testing.TB, signer TokenSigner, c Claims) string {
	tb.Helper()
	tokens, err := Issue(tb.Context(), signer, c)
	if err != nil || len(tokens) != 1 {
		tb.Fatal(tokens, err)
	}
	return tokens[0]
}
