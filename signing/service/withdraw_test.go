package service_test

import (
	"errors"
	"testing"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/service"
)

// A withdrawn key signs no more, what it signed still verifies, the service
// starts without it, and the next key is published and activated as ever.
func TestWithdrawnKeySignsNoMoreAndTheServiceGoesOn(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	clock := func(c *service.Config) { c.Now = func() time.Time { return now } }
	s := open(t, dir, clock)
	if _, err := s.SignTokens(registry(t), signRequest("", credential(t, nil))); err != nil {
		t.Fatal(err)
	}
	kid, err := s.ActiveKeyID()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.WithdrawKey(registry(t), &signingv1.WithdrawKeyRequest{KeyId: kid}); !errors.Is(err, service.ErrForbidden) {
		t.Fatalf("by the registry: %v", err)
	}
	list, err := s.ListKeys(administrator(t), &signingv1.ListKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	authorities := 0
	for _, key := range list.GetKeys() {
		if key.GetLine() != "ca/issuing-sm2" {
			continue
		}
		authorities++
		if _, err := s.WithdrawKey(administrator(t), &signingv1.WithdrawKeyRequest{KeyId: key.GetId()}); !errors.Is(err, service.ErrInvalid) {
			t.Errorf("an authority's key: %v", err)
		}
	}
	if authorities != 1 {
		t.Errorf("%d keys of the authority were tried", authorities)
	}
	withdrawn, err := s.WithdrawKey(administrator(t), &signingv1.WithdrawKeyRequest{KeyId: kid})
	if err != nil || withdrawn.GetKey().GetState() != signingv1.KeyState_KEY_STATE_RETIRED {
		t.Fatalf("%v, %v", withdrawn, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, clock)
	if _, err := s.SignTokens(registry(t), signRequest("", credential(t, nil))); !errors.Is(err, keys.ErrNoActiveKey) {
		t.Fatalf("signed without a key: %v", err)
	}
	if _, err := s.Key(kid); err != nil {
		t.Errorf("what it signed does not verify any more: %v", err)
	}
	made, err := s.CreateKey(administrator(t), &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256})
	if err != nil {
		t.Fatal(err)
	}
	next := made.GetKey().GetId()
	if _, err := s.PublishKey(administrator(t), &signingv1.PublishKeyRequest{KeyId: next}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if _, err := s.ActivateKey(administrator(t), &signingv1.ActivateKeyRequest{KeyId: next}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignTokens(registry(t), signRequest("", credential(t, func(c map[string]any) { c["iat"] = now.Unix() }))); err != nil {
		t.Fatal(err)
	}
}
