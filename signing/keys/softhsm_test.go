package keys

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/pkcs11"
)

func TestRingOnAToken(t *testing.T) {
	module, label, pin := peer.SoftHSMToken(t)
	config := pkcs11.Config{Module: module, TokenLabel: label, PIN: pin}
	f := newFolder(t)
	connect := func() *pkcs11.Token {
		token, err := pkcs11.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = token.Close() })
		f.config.Tokens = map[string]Token{"hsm": token}
		return token
	}
	token, r, ctx := connect(), f.open(), t.Context()
	ids := map[string]string{}
	for _, algorithm := range []string{signing.ES256, signing.ES384, signing.EdDSA} {
		// A line moves from a file to the token by a rotation.
		first, err := r.EnsureActive(ctx, Spec{Line: algorithm, Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		key, err := r.Create(ctx, Spec{Line: algorithm, Algorithm: algorithm, Token: "hsm"})
		if err == nil {
			_, err = r.Publish(ctx, key.ID)
		}
		f.clock.pass(cachePeriod)
		if err == nil {
			_, err = r.Activate(ctx, key.ID)
		}
		if err != nil || find(r, first.ID).State != Retired {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if cert := certificate(t, r, key); len(cert) == 0 {
			t.Errorf("%s: no certificate", algorithm)
		}
		ids[algorithm] = key.ID
	}
	if _, err := r.Create(ctx, Spec{Line: "seal", Algorithm: signing.SM2SM3, Token: "hsm"}); !errors.Is(err, pkcs11.ErrAlgorithm) {
		t.Errorf("SM2 on the token: %v", err)
	}
	if err := errors.Join(r.Close(), token.Close()); err != nil {
		t.Fatal(err)
	}

	token, r = connect(), f.open()
	for algorithm, kid := range ids {
		tokens, err := r.SignTokens(ctx, algorithm, testUse(), "test+jwt", [][]byte{[]byte(`{"n":1}`), []byte(`{"n":2}`), []byte(`{"n":3}`)})
		if err != nil {
			t.Fatal(err)
		}
		for i, compact := range tokens {
			payload, header, err := signing.Verify(compact, "test+jwt", r)
			if err != nil || string(payload) != fmt.Sprintf(`{"n":%d}`, i+1) || header.KeyID != kid {
				t.Errorf("%s: %s, %+v, %v", algorithm, payload, header, err)
			}
		}
	}

	// Destroyed while the token is away: the removal waits for it.
	kid := ids[signing.ES256]
	id := r.current.Load().keys[r.current.Load().byID[kid]].TokenID
	if _, err := r.Retire(ctx, kid); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RequestDestroy(ctx, kid, "li"); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ApproveDestroy(ctx, kid, "wang"); !errors.Is(err, pkcs11.ErrClosed) || find(r, kid).State != Destroyed {
		t.Fatalf("destroyed without the token: %v, %s", err, find(r, kid).State)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.tryOpen(); !errors.Is(err, pkcs11.ErrClosed) {
		t.Errorf("opened with active keys out of reach: %v", err)
	}
	token = connect()
	if _, err := token.Find(ctx, id); err != nil {
		t.Fatalf("the key went by itself: %v", err)
	}
	r = f.open()
	if _, err := token.Find(ctx, id); !errors.Is(err, pkcs11.ErrNotFound) || find(r, kid).State != Destroyed {
		t.Errorf("the private part is still there: %v", err)
	}

	// A key that goes from the token by itself is noticed.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := token.Destroy(ctx, r.current.Load().keys[r.current.Load().byID[ids[signing.EdDSA]]].TokenID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.tryOpen(); !errors.Is(err, pkcs11.ErrNotFound) || !strings.Contains(err.Error(), ids[signing.EdDSA]) {
		t.Errorf("a key that is gone: %v", err)
	}
	f.config.Tokens = nil
	if _, err := f.tryOpen(); !errors.Is(err, ErrInvalid) {
		t.Errorf("token not configured: %v", err)
	}
}
