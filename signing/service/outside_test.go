package service_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pkcs11"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
)

// TestKeyInAToken moves the licences' line into an HSM by a rotation.
func TestKeyInAToken(t *testing.T) {
	module, label, pin := peer.SoftHSMToken(t)
	token, err := pkcs11.Open(pkcs11.Config{Module: module, TokenLabel: label, PIN: pin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	})
	s := open(t, t.TempDir(), func(c *service.Config) {
		c.Tokens, c.CachePeriod = map[string]keys.Token{"hsm": token}, time.Millisecond
	})
	made, err := s.CreateKey(administrator(t), &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256, Token: "hsm"})
	if err != nil {
		t.Fatal(err)
	}
	kid := made.GetKey().GetId()
	if _, err := s.PublishKey(administrator(t), &signingv1.PublishKeyRequest{KeyId: kid}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // the cache period
	if _, err := s.ActivateKey(administrator(t), &signingv1.ActivateKeyRequest{KeyId: kid}); err != nil {
		t.Fatal(err)
	}
	resp, err := s.SignTokens(registry(t), signRequest("", credential(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, header, err := signing.Verify(resp.GetTokens()[0], sdjwt.TokenType, resolver{s})
	if err != nil || header.KeyID != kid {
		t.Errorf("signed with %q instead of the token's key %q: %v", header.KeyID, kid, err)
	}
}

// resolver finds keys by the public key set.
type resolver struct{ s *service.Service }

func (r resolver) Key(kid string) (crypto.PublicKey, error) { return r.s.Key(kid) }

// TestTimestamps asks over HTTP as anybody does.
func TestTimestamps(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	server := httptest.NewServer(s.TimestampHandler())
	t.Cleanup(server.Close)
	body, err := s.GetTrust(t.Context(), &signingv1.GetTrustRequest{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"trust.pem": body.GetData(), "data": []byte("what existed")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	peer.OpenSSL(t, dir, "ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query")
	query, err := os.ReadFile(filepath.Join(dir, "query"))
	if err != nil {
		t.Fatal(err)
	}
	status, reply := post(t, server.URL, query)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, reply)
	}
	if err := os.WriteFile(filepath.Join(dir, "reply"), reply, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := peer.OpenSSL(t, dir, "ts", "-verify", "-in", "reply", "-queryfile", "query", "-CAfile", "trust.pem"); !strings.Contains(out, "Verification: OK") {
		t.Errorf("openssl says %s", out)
	}
	out := peer.OpenSSL(t, dir, "ts", "-reply", "-in", "reply", "-text")
	for _, want := range []string{"Policy OID: 2.999.3161.1", "Accuracy: 0x01 seconds"} {
		if !strings.Contains(out, want) {
			t.Errorf("the timestamp lacks %q: %s", want, out)
		}
	}
	var turnedAway atomic.Int64
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			if status, _ := post(t, server.URL, query); status == http.StatusTooManyRequests {
				turnedAway.Add(1)
			}
		})
	}
	callers.Wait()
	if turnedAway.Load() == 0 {
		t.Error("two hundred queries at once, and none was turned away")
	}
}

// TestClientCertificates: what a signing service of its own lets in.
func TestClientCertificates(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	dir := t.TempDir()
	if err := s.ClientCertificate(t.Context(), dir, "hub"); err != nil {
		t.Fatal(err)
	}
	own, err := s.ServerCertificate(t.Context(), dir, []string{"127.0.0.1", "signing.example"})
	if err != nil || own.Leaf.VerifyHostname("signing.example") != nil {
		t.Fatalf("server certificate: %v", err)
	}
	again, err := s.ServerCertificate(t.Context(), dir, []string{"127.0.0.1", "signing.example"})
	if err != nil || !again.Leaf.Equal(own.Leaf) {
		t.Errorf("a good certificate was made again: %v", err)
	}
	moved, err := s.ServerCertificate(t.Context(), dir, []string{"127.0.0.2"})
	if err != nil || moved.Leaf.VerifyHostname("127.0.0.2") != nil {
		t.Errorf("certificate for another address: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "hub.pem"), filepath.Join(dir, "hub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	client := tls.ConnectionState{PeerCertificates: []*x509.Certificate{pair.Leaf}}
	if err := s.CheckClient(client); err != nil {
		t.Errorf("client: %v", err)
	}
	if err := s.CheckClient(tls.ConnectionState{PeerCertificates: []*x509.Certificate{own.Leaf}}); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("a server's certificate as a client's: %v", err)
	}
	time.Sleep(1100 * time.Millisecond) // certificates and revocations count in seconds
	revoke := &signingv1.RevokeCertificateRequest{Authority: "p256", Serial: pair.Leaf.SerialNumber.Text(16), Reason: "keyCompromise"}
	if _, err := s.RevokeCertificate(administrator(t), revoke); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckClient(client); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("a revoked client: %v", err)
	}
	for _, bad := range []string{"", "../x", ".x", "server", "roots"} {
		if err := s.ClientCertificate(t.Context(), dir, bad); !errors.Is(err, service.ErrInvalid) {
			t.Errorf("client %q: %v", bad, err)
		}
	}
}

func post(t *testing.T, url string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, reply
}
