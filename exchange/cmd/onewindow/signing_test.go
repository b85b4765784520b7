package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/service"
)

// startSigning serves the keys for a demo from another process behind mTLS,
// with a seal for every department that issues, and returns how the demo
// reaches it.
func startSigning(t *testing.T, d *demo) Signing {
	t.Helper()
	dir := t.TempDir()
	var addresses [2]string
	for i := range addresses {
		free, err := freeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		addresses[i] = free
	}
	file := filepath.Join(dir, "signing.yaml")
	text := fmt.Sprintf(`data: data
roles: [signing]
base_url: %s
listen: {grpc: %s, rest: %s}
signing:
  operator: {name: 示例县政务服务数据管理局}
  clients: [hub, 张三]
  administrators: [张三]
  grants:
    - {caller: hub, lines: [license, seal/*], operations: [sign, seal]}
`, d.cfg.BaseURL, addresses[0], addresses[1])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, dir, "run", "--config", file).await(t, "signing service")
	if entries, err := os.ReadDir(filepath.Join(dir, "data")); err != nil || len(entries) != 3 { // the passphrase, the service and what belongs together
		t.Errorf("a signing service of its own holds %v, %v", entries, err)
	}
	certificates := filepath.Join(dir, "data", "signing", "tls")
	roots := filepath.Join(certificates, "roots.pem")

	strangers(t, addresses, roots)
	admin := dialSigningAs(t, addresses[0], roots, filepath.Join(certificates, "张三.pem"))
	for _, department := range county.New(d.options).Issuers() {
		if _, err := admin.MakeSeal(t.Context(), &signingv1.MakeSealRequest{
			RequestId: department.GetCode(), Department: department.GetUscc(), Name: department.GetTitle(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	hub := dialSigningAs(t, addresses[0], roots, filepath.Join(certificates, "hub.pem"))
	_, err := hub.CreateKey(t.Context(), &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("the hub may manage keys: %v", err)
	}
	listKeysOverREST(t, addresses[1], roots, filepath.Join(certificates, "张三.pem"))
	return Signing{
		Address: addresses[0], Certificate: filepath.Join(certificates, "hub.pem"), Roots: roots,
		CachePeriod: d.cfg.Signing.CachePeriod, Operator: d.cfg.Signing.Operator,
	}
}

// strangers have no certificate and must not even ask.
func strangers(t *testing.T, addresses [2]string, roots string) {
	t.Helper()
	client := dialSigningAs(t, addresses[0], roots, "")
	if _, err := client.GetKeySet(t.Context(), &signingv1.GetKeySetRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC without a client certificate: %v, want a refused connection", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addresses[1]+"/.well-known/jwks.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig(t, roots, "")}}).Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("REST without a client certificate: %s, want a refused connection", resp.Status)
	}
}

func listKeysOverREST(t *testing.T, address, roots, certificate string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1/signing/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig(t, roots, certificate)}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), `"line":"license"`) {
		t.Errorf("keys over REST: %s, %s, %v", resp.Status, text, err)
	}
}

func dialSigningAs(t *testing.T, address, roots, certificate string) signingv1.SigningServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig(t, roots, certificate))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return signingv1.NewSigningServiceClient(conn)
}

func tlsConfig(t *testing.T, roots, certificate string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(roots)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		t.Fatalf("no certificates in %s", roots)
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, certificate)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg
}

// TestRotationDrill runs the drill: no token may fail to verify.
func TestRotationDrill(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	if err := rotationCommand(t.Context(), []string{"--rounds", "2", "--cache-period", "300ms"}, out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil || !strings.Contains(string(text), "failed 0") || !strings.Contains(string(text), "destroyed") {
		t.Errorf("the drill said %s, %v", text, err)
	}
}
