package sdjwt

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/strict"
)

// saltSize is 128 bits (RFC 9901 §9.3).
const saltSize = 16

// TokenSigner makes a compact JWS of each payload, in their order, whose
// protected header has the given typ and names the key used, by kid or by x5c.
// It makes all of them or none. It must be safe for concurrent use and keep
// nothing of the payloads; its error fails the issue: nothing was issued then,
// and the call may be repeated.
type TokenSigner interface {
	SignTokens(ctx context.Context, typ string, payloads [][]byte) ([]string, error)
}

// Claims is what a token says.
type Claims struct {
	Issuer    string           // iss, required.
	Type      string           // vct, required: a collision-resistant name such as a URN.
	IssuedAt  time.Time        // iat; zero times are left out, all are cut to seconds.
	NotBefore time.Time        // nbf.
	Expires   time.Time        // exp, the first moment at which the token is not valid.
	Status    *StatusRef       // status.status_list; nil if the token cannot be revoked.
	Holder    crypto.PublicKey // cnf.jwk, any key that signing.AlgorithmOf knows; nil without key binding.

	// Body holds all other top-level claims; any value that encoding/json
	// writes. The names above and those of the format are refused.
	Body map[string]any
	// Disclosable names the members of Body that the holder may hold back.
	Disclosable []string
}

// Issue makes an SD-JWT VC in compact form, ending in "~" (RFC 9901 §4,
// draft-ietf-oauth-sd-jwt-vc), of each of the claims, in their order: all or
// none. The signer is called once for all. Each disclosable claim has a fresh
// salt of 128 bits; digests are SHA-256 and sorted, so their order tells
// nothing. Claims that cannot be issued are signing.ErrMalformed, and the
// signer is not called; its own error is passed on.
func Issue(ctx context.Context, signer TokenSigner, claims ...Claims) ([]string, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	payloads, disclosures := make([][]byte, len(claims)), make([][]string, len(claims))
	for i, c := range claims {
		var err error
		if payloads[i], disclosures[i], err = prepare(c); err != nil {
			return nil, fmt.Errorf("issue: token %d of %d: %w", i+1, len(claims), err)
		}
	}
	tokens, err := signer.SignTokens(ctx, TokenType, payloads)
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	if len(tokens) != len(claims) {
		return nil, fmt.Errorf("issue: the signer made %d tokens of %d payloads", len(tokens), len(claims))
	}
	issued := make([]string, len(tokens))
	for i, token := range tokens {
		issued[i] = join(token, disclosures[i])
		// Nobody, this package included, would accept a larger one.
		if len(token) > signing.MaxToken || len(issued[i]) > MaxToken {
			return nil, fmt.Errorf("issue: %w: token of %d bytes, %d with disclosures", signing.ErrMalformed, len(token), len(issued[i]))
		}
	}
	return issued, nil
}

// prepare makes what is signed and what is disclosed.
func prepare(c Claims) (payload []byte, disclosures []string, err error) {
	claims, err := registeredClaims(c)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range c.Body {
		if setByIssue(name) {
			return nil, nil, fmt.Errorf("%w: claim %s cannot be given in the body", signing.ErrMalformed, name)
		}
		if claims[name], err = encodeClaim(value); err != nil {
			return nil, nil, fmt.Errorf("claim %s: %w", name, err)
		}
	}
	digests := make([]string, 0, len(c.Disclosable))
	for _, name := range c.Disclosable {
		raw, ok := claims[name].(json.RawMessage)
		if !ok || alwaysVisible(name) {
			return nil, nil, fmt.Errorf("%w: claim %s cannot be disclosable: it is not in the body, is named twice, or must be visible", signing.ErrMalformed, name)
		}
		delete(claims, name)
		d, err := newDisclosure(name, raw)
		if err != nil {
			return nil, nil, fmt.Errorf("claim %s: %w", name, err)
		}
		disclosures = append(disclosures, d)
		digests = append(digests, digest(d))
	}
	if len(digests) > 0 { // SD-JWT VC: without disclosable claims no _sd
		slices.Sort(digests)
		claims[sdMember], claims[sdAlgMember] = digests, sdAlgorithm
	}
	if payload, err = strict.Encode(claims); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", signing.ErrMalformed, err)
	}
	// Better found before a key is used; Issue looks at the whole token again.
	if len(disclosures) > MaxDisclosures || len(payload) > signing.MaxToken*3/4 {
		return nil, nil, fmt.Errorf("%w: payload of %d bytes, %d disclosures", signing.ErrMalformed, len(payload), len(disclosures))
	}
	return payload, disclosures, nil
}

func registeredClaims(c Claims) (map[string]any, error) {
	if c.Issuer == "" || c.Type == "" {
		return nil, fmt.Errorf("%w: a token needs an issuer and a type", signing.ErrMalformed)
	}
	payload := map[string]any{"iss": c.Issuer, "vct": c.Type}
	for name, t := range map[string]time.Time{"iat": c.IssuedAt, "nbf": c.NotBefore, "exp": c.Expires} {
		if t.IsZero() {
			continue
		}
		if t.Unix() < 0 || t.Unix() > maxDate {
			return nil, fmt.Errorf("%w: claim %s is outside the years 1970 to 9999", signing.ErrMalformed, name)
		}
		payload[name] = t.Unix()
	}
	if !c.Expires.IsZero() && (!c.Expires.After(c.NotBefore) || !c.Expires.After(c.IssuedAt)) {
		return nil, fmt.Errorf("%w: the token would expire before it is valid", signing.ErrMalformed)
	}
	if c.Status != nil {
		if c.Status.URI == "" || c.Status.Index < 0 {
			return nil, fmt.Errorf("%w: a status needs a URI and an index from 0", signing.ErrMalformed)
		}
		payload["status"] = map[string]any{"status_list": map[string]any{"uri": c.Status.URI, "idx": c.Status.Index}}
	}
	if c.Holder != nil {
		jwk, err := signing.MarshalJWK(c.Holder)
		if err != nil {
			return nil, fmt.Errorf("holder's key: %w", err)
		}
		payload["cnf"] = map[string]any{"jwk": json.RawMessage(jwk)}
	}
	return payload, nil
}

// encodeClaim writes a claim once, for the payload or for its disclosure, and
// refuses what a verifier would read differently or refuse.
func encodeClaim(value any) (json.RawMessage, error) {
	raw, err := strict.Encode(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrMalformed, err)
	}
	tree, err := strict.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrMalformed, err)
	}
	if holdsReserved(tree) {
		return nil, fmt.Errorf("%w: a member inside it is named _sd, _sd_alg or three dots", signing.ErrMalformed)
	}
	return raw, nil
}

func newDisclosure(name string, value json.RawMessage) (string, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	raw, err := strict.Encode([]any{strict.EncodeBase64URL(salt), name, value})
	if err != nil {
		return "", fmt.Errorf("%w: %w", signing.ErrMalformed, err)
	}
	return strict.EncodeBase64URL(raw), nil
}

// digest is that of a disclosure, or the sd_hash of a presentation: over the
// encoded text (RFC 9901 §4.2.3, §4.3.1).
func digest(encoded string) string {
	sum := sha256.Sum256([]byte(encoded))
	return strict.EncodeBase64URL(sum[:])
}

func join(token string, disclosures []string) string {
	return strings.Join(append([]string{token}, disclosures...), "~") + "~"
}
