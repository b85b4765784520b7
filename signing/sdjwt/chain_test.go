package sdjwt

import (
	"context"
	"crypto"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

// pinned trusts the one chain that it has been shown.
type pinned struct {
	issuer
	established int
}

func (p *pinned) Establish(chain [][]byte) (crypto.PublicKey, error) {
	p.established++
	if !reflect.DeepEqual(chain, p.chain) {
		return nil, errUntrusted
	}
	return p.signer.Public(), nil
}

func (p *pinned) MayIssue(leaf []byte, issuer string) error {
	if string(leaf) != "certificate of "+issuer {
		return ErrIssuer
	}
	return nil
}

var errUntrusted = errors.New("no root of ours")

func TestVerifyChain(t *testing.T) {
	for _, alg := range []string{signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3} {
		authority := newIssuer(t, alg)
		authority.chain = [][]byte{[]byte("certificate of " + testIssuer), []byte("root")}
		holder := newIssuer(t, alg)
		token := holder.bound(t, mustIssue(t, authority, licence(holder.signer.Public())))
		trust := &pinned{issuer: authority}

		v, err := VerifyChain(token, trust, testNow(), bindingPolicy())
		if err != nil || !reflect.DeepEqual(v.Chain, authority.chain) || v.KeyID != authority.kid || trust.established != 1 {
			t.Errorf("%s: got %+v, %v", alg, v, err)
		}
		if v, err := VerifyChain(token, trust, testNow().AddDate(2, 0, 0), Policy{}); !errors.Is(err, ErrExpired) || v == nil {
			t.Errorf("%s, expired: got %+v, %v", alg, v, err)
		}
		if v, err := Verify(token, OneIssuer{testIssuer, authority}, testNow(), Policy{}); err != nil || v.Chain != nil {
			t.Errorf("%s, by kid: got %+v, %v", alg, v, err)
		}
	}
}

func TestVerifyChainRefuses(t *testing.T) {
	authority := newIssuer(t, signing.ES256)
	authority.chain = [][]byte{[]byte("certificate of " + testIssuer)}
	trust := &pinned{issuer: authority}
	issued := func(change func(*issuer, *Claims)) string {
		by, c := authority, licence(nil)
		change(&by, &c)
		return mustIssue(t, by, c)
	}
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"no chain":            {issued(func(i *issuer, _ *Claims) { i.chain = nil }), signing.ErrMalformed},
		"another chain":       {issued(func(i *issuer, _ *Claims) { i.chain = [][]byte{[]byte("x")} }), errUntrusted},
		"chain of another":    {issued(func(i *issuer, _ *Claims) { i.signer = newIssuer(t, signing.ES256).signer }), signing.ErrSignature},
		"another algorithm":   {issued(func(i *issuer, _ *Claims) { i.signer = newIssuer(t, signing.SM2SM3).signer }), signing.ErrAlgorithm},
		"issuer not of chain": {issued(func(_ *issuer, c *Claims) { c.Issuer = "https://other.example.org" }), ErrIssuer},
		"not a token":         {"x~", signing.ErrMalformed},
	} {
		if v, err := VerifyChain(c.token, trust, testNow(), Policy{}); !errors.Is(err, c.want) || v != nil {
			t.Errorf("%s: got %+v, %v; want %v", name, v, err, c.want)
		}
	}
}

func TestVerifyStatusListChain(t *testing.T) {
	authority := newIssuer(t, signing.SM2SM3)
	authority.chain = [][]byte{[]byte("certificate")}
	list, err := NewStatusList(400_000, 2) // far beyond signing.MaxToken below
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.data {
		list.data[i] = byte(i * i >> 3)
	}
	token, err := IssueStatusList(t.Context(), authority, listURI, list, testNow(), time.Time{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	trust := &pinned{issuer: authority}
	got, meta, err := VerifyStatusListChain(token, listURI, trust.Establish, time.Time{}, testNow())
	if err != nil || !slices.Equal(got.data, list.data) || meta.KeyID != authority.kid {
		t.Errorf("%+v, %v", meta, err)
	}
	if got, _, err := VerifyStatusListChain(token, listURI, trust.Establish, time.Time{}, testNow().Add(2*time.Hour)); !errors.Is(err, ErrStale) || got == nil {
		t.Errorf("stale: %v", err)
	}
	if got, _, err := VerifyStatusListChain(token, "other", trust.Establish, time.Time{}, testNow()); !errors.Is(err, signing.ErrMalformed) || got != nil {
		t.Errorf("another list: %v", err)
	}
	refuse := func([][]byte) (crypto.PublicKey, error) { return nil, errUntrusted }
	if got, _, err := VerifyStatusListChain(token, listURI, refuse, time.Time{}, testNow()); !errors.Is(err, errUntrusted) || got != nil {
		t.Errorf("untrusted chain: %v", err)
	}
}

// signerFunc is a TokenSigner that misbehaves as a test wants it to.
type signerFunc func(payloads [][]byte) ([]string, error)

func (f signerFunc) SignTokens(_ context.Context, _ string, payloads [][]byte) ([]string, error) {
	return f(payloads)
}

func TestIssueBatch(t *testing.T) {
	authority := newIssuer(t, signing.ES256)
	calls := 0
	counting := signerFunc(func(payloads [][]byte) ([]string, error) {
		calls++
		return authority.SignTokens(t.Context(), TokenType, payloads)
	})
	claims := make([]Claims, 50)
	for i := range claims {
		claims[i] = licence(nil)
		claims[i].Status.Index = i
	}
	tokens, err := Issue(t.Context(), counting, claims...)
	if err != nil || len(tokens) != len(claims) || calls != 1 {
		t.Fatalf("%d tokens in %d calls, %v", len(tokens), calls, err)
	}
	salts := map[string]bool{}
	for i, token := range tokens {
		v, err := Verify(token, OneIssuer{testIssuer, authority}, testNow(), Policy{})
		if err != nil || v.Status.Index != i {
			t.Errorf("token %d: %+v, %v", i, v, err)
		}
		for _, d := range strings.Split(token, "~")[1:4] {
			salts[d] = true
		}
	}
	if len(salts) != 150 {
		t.Errorf("%d different disclosures in 150", len(salts))
	}

	claims[49].Issuer = ""
	if tokens, err := Issue(t.Context(), counting, claims...); !errors.Is(err, signing.ErrMalformed) || tokens != nil || calls != 1 {
		t.Errorf("one that cannot be issued: %d tokens, %d calls, %v", len(tokens), calls, err)
	}
	if tokens, err := Issue(t.Context(), counting); err != nil || len(tokens) != 0 || calls != 1 {
		t.Errorf("nothing to issue: %d tokens, %d calls, %v", len(tokens), calls, err)
	}
	for name, broken := range map[string]signerFunc{
		"fails":    func([][]byte) ([]string, error) { return nil, errUntrusted },
		"too few":  func([][]byte) ([]string, error) { return []string{"a"}, nil },
		"too many": func(p [][]byte) ([]string, error) { return make([]string, len(p)+1), nil },
	} {
		if tokens, err := Issue(t.Context(), broken, licence(nil), licence(nil)); err == nil || tokens != nil {
			t.Errorf("signer %s: %v, %v", name, tokens, err)
		}
		list, err := NewStatusList(8, 1)
		if err != nil {
			t.Fatal(err)
		}
		if token, err := IssueStatusList(t.Context(), broken, listURI, list, testNow(), time.Time{}, 0); name != "too few" && err == nil {
			t.Errorf("status list, signer %s: %q", name, token)
		}
	}
}
