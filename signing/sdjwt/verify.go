package sdjwt

import (
	"crypto"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/strict"
)

// Trust says whose tokens are accepted. Both methods are called once for each
// token, Key before and MayIssue after the signature was checked; they must be
// safe for concurrent use and answer from memory. Key reports a kid that it
// does not hold as signing.ErrUnknownKey, MayIssue a key that may not sign for
// the issuer (the iss claim, compared byte by byte) as ErrIssuer.
type Trust interface {
	Key(kid string) (crypto.PublicKey, error)
	MayIssue(kid, issuer string) error
}

// OneIssuer trusts every key of a resolver for one issuer and nobody else.
type OneIssuer struct {
	Issuer string
	signing.KeyResolver
}

// MayIssue accepts the one issuer and answers ErrIssuer for all others.
func (o OneIssuer) MayIssue(_, issuer string) error {
	if issuer != o.Issuer {
		return fmt.Errorf("%w: %.80q", ErrIssuer, issuer)
	}
	return nil
}

// ChainTrust says whose tokens are accepted by the certificates in them,
// which needs nothing but pinned roots. Both methods are called once for each
// token, Establish before and MayIssue after the signature was checked; they
// must be safe for concurrent use and answer from memory. Establish gets the
// certificates in DER, the issuer's first, nothing checked, validates them
// up to a root and returns the first one's key; its error is passed on.
// MayIssue reports a certificate whose subject is not the issuer (the iss
// claim) as ErrIssuer.
type ChainTrust interface {
	Establish(chain [][]byte) (crypto.PublicKey, error)
	MayIssue(leaf []byte, issuer string) error
}

// Policy is what the verifier asks for, whatever the token looks like.
// The zero value asks for no key binding and allows no clock error.
type Policy struct {
	// Audience is the verifier's own identifier. A token or key binding with
	// an aud claim must name it.
	Audience string
	// KeyBinding requires proof that the presenter holds the key in cnf.
	// Audience, Nonce and MaxAge must be set then. Without it a key binding
	// JWT is ignored.
	KeyBinding bool
	// Nonce is what the verifier gave for this transaction.
	Nonce string
	// MaxAge is the longest time since the key binding was signed.
	MaxAge time.Duration
	// Leeway is the clock error allowed in every comparison with now.
	Leeway time.Duration
}

// Verified is a token that passed.
type Verified struct {
	KeyID     string     // kid; may be empty from VerifyChain.
	Chain     [][]byte   // x5c, only from VerifyChain.
	Issuer    string     // iss.
	Type      string     // vct.
	IssuedAt  time.Time  // iat; absent times are zero, all are UTC.
	NotBefore time.Time  // nbf.
	Expires   time.Time  // exp.
	Status    *StatusRef // nil if the token names no status list. Not looked up.
	// Claims is the processed payload, a JSON object: disclosed claims in
	// place, digests removed, member names sorted, numbers as they were.
	Claims json.RawMessage
	// Disclosed names the top-level claims that have at least one disclosure,
	// sorted.
	Disclosed []string
}

// Verify checks an SD-JWT VC in the order of RFC 9901 §7.1 and §7.3: form,
// signature and algorithm, issuer, disclosures, times and audience, and, if
// the policy asks, key binding. Status is left to the caller, who asks the
// list only for a token that passed.
//
// Errors are those of signing.Verify and of this package. ErrExpired and
// ErrNotYetValid mean that everything else holds, and the Verified is returned
// with them, so that a clerk can be told what has expired; with all other
// errors it is nil.
func Verify(token string, trust Trust, now time.Time, policy Policy) (*Verified, error) {
	p, err := split(token)
	if err != nil {
		return nil, err
	}
	raw, header, err := signing.Verify(p.jwt, TokenType, trust)
	if err != nil {
		return nil, err
	}
	return evaluate(p, raw, header, now, policy, func(issuer string) error { return trust.MayIssue(header.KeyID, issuer) })
}

// VerifyChain is Verify for a verifier that trusts issuers by the certificates
// in the x5c header instead of by kid. Which of the two is asked is for the
// verifier to know, never for the token to choose.
func VerifyChain(token string, trust ChainTrust, now time.Time, policy Policy) (*Verified, error) {
	p, err := split(token)
	if err != nil {
		return nil, err
	}
	raw, header, err := signing.VerifyChain(p.jwt, TokenType, trust.Establish)
	if err != nil {
		return nil, err
	}
	return evaluate(p, raw, header, now, policy, func(issuer string) error { return trust.MayIssue(header.Chain[0], issuer) })
}

// evaluate is everything after the signature.
func evaluate(p parts, raw []byte, header signing.Header, now time.Time, policy Policy, mayIssue func(issuer string) error) (*Verified, error) {
	claims, err := decodePayload(raw)
	if err != nil {
		return nil, err
	}
	v := &Verified{KeyID: header.KeyID, Chain: header.Chain}
	if v.Issuer, err = requiredString(claims, "iss"); err != nil {
		return nil, err
	}
	if err := mayIssue(v.Issuer); err != nil {
		return nil, err
	}
	if err := walk(claims, p.disclosures); err != nil {
		return nil, err
	}
	if err := v.fill(claims, p.disclosures); err != nil {
		return nil, err
	}
	if err := checkAudience(claims, policy.Audience); err != nil {
		return nil, err
	}
	timeErr := v.checkTimes(now, policy.Leeway)
	if policy.KeyBinding {
		if err := checkBinding(p, claims, now, policy); err != nil {
			return nil, err
		}
	}
	return v, timeErr
}

func (v *Verified) fill(claims map[string]any, disclosures []*disclosure) (err error) {
	if v.Type, err = requiredString(claims, "vct"); err != nil {
		return err
	}
	if v.IssuedAt, err = numericDate(claims, "iat"); err != nil {
		return err
	}
	if v.NotBefore, err = numericDate(claims, "nbf"); err != nil {
		return err
	}
	if v.Expires, err = numericDate(claims, "exp"); err != nil {
		return err
	}
	if v.Status, err = statusRef(claims); err != nil {
		return err
	}
	for _, d := range disclosures {
		v.Disclosed = append(v.Disclosed, d.within)
	}
	slices.Sort(v.Disclosed)
	v.Disclosed = slices.Compact(v.Disclosed)
	if v.Claims, err = strict.Encode(claims); err != nil {
		return fmt.Errorf("%w: %w", signing.ErrMalformed, err)
	}
	return nil
}

func (v *Verified) checkTimes(now time.Time, leeway time.Duration) error {
	if !v.Expires.IsZero() && !now.Before(v.Expires.Add(leeway)) {
		return fmt.Errorf("%w on %s", ErrExpired, v.Expires.Format(time.RFC3339))
	}
	if now.Add(leeway).Before(v.NotBefore) {
		return fmt.Errorf("%w before %s", ErrNotYetValid, v.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// checkAudience follows RFC 7519 §4.1.3: a token with an audience is refused
// by everybody who is not in it.
func checkAudience(claims map[string]any, own string) error {
	aud, present := claims["aud"]
	if !present {
		return nil
	}
	list, ok := aud.([]any)
	if !ok {
		list = []any{aud}
	}
	if own == "" || !slices.Contains(list, any(own)) {
		return fmt.Errorf("%w: %.80q", ErrAudience, fmt.Sprint(aud))
	}
	return nil
}

// checkBinding checks the key binding JWT in the order of RFC 9901 §7.3.
func checkBinding(p parts, claims map[string]any, now time.Time, policy Policy) error {
	if policy.Audience == "" || policy.Nonce == "" || policy.MaxAge <= 0 {
		return fmt.Errorf("%w: the policy lacks an audience, a nonce or a maximum age", ErrKeyBinding)
	}
	if p.binding == "" {
		return fmt.Errorf("%w: the token has none", ErrKeyBinding)
	}
	key, err := holderKey(claims)
	if err != nil {
		return err
	}
	raw, _, err := signing.VerifyWith(p.binding, bindingType, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyBinding, err)
	}
	binding, err := decodePayload(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyBinding, err)
	}
	signed, err := numericDate(binding, "iat")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyBinding, err)
	}
	if signed.IsZero() || signed.After(now.Add(policy.Leeway)) || signed.Before(now.Add(-policy.MaxAge-policy.Leeway)) {
		return fmt.Errorf("%w: signed at %s, outside the allowed window", ErrKeyBinding, signed.Format(time.RFC3339))
	}
	for _, claim := range []struct{ name, want string }{
		{"nonce", policy.Nonce}, {"aud", policy.Audience}, {"sd_hash", digest(p.bound)},
	} {
		if binding[claim.name] != claim.want {
			return fmt.Errorf("%w: %s differs", ErrKeyBinding, claim.name)
		}
	}
	times := Verified{}
	if times.NotBefore, err = numericDate(binding, "nbf"); err != nil {
		return fmt.Errorf("%w: %w", ErrKeyBinding, err)
	}
	if times.Expires, err = numericDate(binding, "exp"); err != nil {
		return fmt.Errorf("%w: %w", ErrKeyBinding, err)
	}
	if err := times.checkTimes(now, policy.Leeway); err != nil {
		// Not wrapped: an expired proof must not read as an expired licence.
		return fmt.Errorf("%w: %s", ErrKeyBinding, err.Error())
	}
	return nil
}

func holderKey(claims map[string]any) (crypto.PublicKey, error) {
	cnf, _ := claims["cnf"].(map[string]any)
	jwk, ok := cnf["jwk"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: the token names no holder's key (cnf.jwk)", ErrKeyBinding)
	}
	raw, err := strict.Encode(jwk)
	if err != nil {
		return nil, fmt.Errorf("%w: holder's key: %w", ErrKeyBinding, err)
	}
	key, err := signing.ParseJWK(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: holder's key: %w", ErrKeyBinding, err)
	}
	return key, nil
}
