package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
	"github.com/onewindow/onewindow/signing/ses"
)

const (
	issuer = "https://hub.example"
	market = "11430000006122244L"
	water  = "11330105002500287C"
)

type callerKey struct{}

// as returns a context in which caller calls.
func as(t testing.TB, caller service.Caller) context.Context {
	return context.WithValue(t.Context(), callerKey{}, caller)
}

func administrator(t testing.TB) context.Context {
	return as(t, service.Caller{Name: "administrator", Administrator: true})
}

func registry(t testing.TB) context.Context { return as(t, service.Caller{Name: "registry"}) }

// open opens a service in dir. Its registry may sign licences and seal with
// the market's seals.
func open(t testing.TB, dir string, change func(*service.Config)) *service.Service {
	t.Helper()
	cfg := service.Config{
		Dir: dir, Passphrase: []byte("a"), RootPassphrase: []byte("b"), Issuer: issuer, CachePeriod: time.Hour,
		Operator: pki.Subject{Country: "CN", Organization: "示例县政务服务数据管理局", CommonName: "示例县政务服务数据管理局"},
		Grants:   []service.Grant{{Caller: "registry", Lines: []string{service.LineLicense, "seal/114*"}, Operations: []service.Operation{service.Sign, service.Seal}}},
		Caller: func(ctx context.Context) (service.Caller, bool) {
			caller, ok := ctx.Value(callerKey{}).(service.Caller)
			return caller, ok
		},
		Font: os.Getenv("ONEWINDOW_TEST_FONT"), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := service.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func credential(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	claims := map[string]any{"iss": issuer, "vct": "urn:test", "iat": time.Now().Unix(), "name": "示例"}
	if change != nil {
		change(claims)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signRequest(id string, payloads ...[]byte) *signingv1.SignTokensRequest {
	return &signingv1.SignTokensRequest{RequestId: id, Line: service.LineLicense, Type: sdjwt.TokenType, Payloads: payloads}
}

func TestSignTokensAndVerifyWithTheKeySet(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	first, second := credential(t, nil), credential(t, func(c map[string]any) { c["name"] = "另一个" })
	resp, err := s.SignTokens(registry(t), signRequest("", first, second))
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.GetKeySet(t.Context(), &signingv1.GetKeySetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := signing.ParseJWKS(body.GetData())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]byte{first, second} {
		payload, _, err := signing.Verify(resp.GetTokens()[i], sdjwt.TokenType, set)
		if err != nil || !bytes.Equal(payload, want) {
			t.Errorf("token %d: %s, %v", i, payload, err)
		}
	}
	metadata, err := s.GetIssuerMetadata(t.Context(), &signingv1.GetIssuerMetadataRequest{})
	if err != nil || !strings.Contains(string(metadata.GetData()), issuer+"/.well-known/jwks.json") {
		t.Errorf("issuer metadata %s, %v", metadata.GetData(), err)
	}
}

// TestNothingFaultyIsSigned holds the checks before a signature.
func TestNothingFaultyIsSigned(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	list := []byte(fmt.Sprintf(`{"sub":"%s/v1/status-lists/1","iat":%d,"status_list":{"bits":2,"lst":"eNrbuRgAAhcBXQ"}}`, issuer, time.Now().Unix()))
	for name, req := range map[string]*signingv1.SignTokensRequest{
		"no payload":        signRequest(""),
		"too many":          signRequest("", make([][]byte, 501)...),
		"no JSON":           signRequest("", []byte("{")),
		"member twice":      signRequest("", []byte(`{"iss":"`+issuer+`","iss":"`+issuer+`"}`)),
		"another issuer":    signRequest("", credential(t, func(c map[string]any) { c["iss"] = "https://other.example" })),
		"no type":           signRequest("", credential(t, func(c map[string]any) { delete(c, "vct") })),
		"no time":           signRequest("", credential(t, func(c map[string]any) { delete(c, "iat") })),
		"back-dated":        signRequest("", credential(t, func(c map[string]any) { c["iat"] = time.Now().Add(-time.Hour).Unix() })),
		"ends before":       signRequest("", credential(t, func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() })),
		"reserved claim":    signRequest("", credential(t, func(c map[string]any) { c["..."] = 1 })),
		"weak digest":       signRequest("", credential(t, func(c map[string]any) { c["_sd_alg"] = "md5" })),
		"good and bad":      signRequest("", credential(t, nil), []byte("x")),
		"list of elsewhere": {Line: service.LineLicense, Type: sdjwt.StatusListType, Payloads: [][]byte{bytes.Replace(list, []byte("hub"), []byte("cub"), 1)}},
		"other type":        {Line: service.LineLicense, Type: "JWT", Payloads: [][]byte{credential(t, nil)}},
	} {
		if _, err := s.SignTokens(registry(t), req); !errors.Is(err, service.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := s.SignTokens(registry(t), &signingv1.SignTokensRequest{Line: service.LineLicense, Type: sdjwt.StatusListType, Payloads: [][]byte{list}}); err != nil {
		t.Errorf("a good status list: %v", err)
	}
}

// TestGrants: who may do what with which line.
func TestGrants(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	sign := func(ctx context.Context, line string) error {
		req := signRequest("", credential(t, nil))
		req.Line = line
		_, err := s.SignTokens(ctx, req)
		return err
	}
	create := func(ctx context.Context) error {
		_, err := s.CreateKey(ctx, &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256})
		return err
	}
	for name, tt := range map[string]struct {
		err       error
		forbidden bool
	}{
		"registry signs licences":           {sign(registry(t), service.LineLicense), false},
		"registry signs with another line":  {sign(registry(t), service.LineTimestamp), true},
		"administrator signs":               {sign(administrator(t), service.LineLicense), true},
		"stranger signs":                    {sign(as(t, service.Caller{Name: "stranger"}), service.LineLicense), true},
		"nobody signs":                      {sign(t.Context(), service.LineLicense), true},
		"registry makes a key":              {create(registry(t)), true},
		"administrator makes a key":         {create(administrator(t)), false},
		"department of that name makes one": {create(as(t, service.Caller{Name: "x", Department: market})), true},
	} {
		if errors.Is(tt.err, service.ErrForbidden) != tt.forbidden || !tt.forbidden && tt.err != nil {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	if list, err := s.ListKeys(registry(t), &signingv1.ListKeysRequest{}); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("the registry sees keys it may not manage: %v, %v", list, err)
	}
	if list, err := s.ListSeals(as(t, service.Caller{Name: "x"}), &signingv1.ListSealsRequest{}); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("whoever has no right to any seal gets a list: %v, %v", list, err)
	}
	if _, err := s.ListSeals(as(t, service.Caller{Name: "x", Department: market}), &signingv1.ListSealsRequest{}); err != nil {
		t.Errorf("a department without seals: %v", err)
	}
	if _, err := service.Open(t.Context(), service.Config{Grants: []service.Grant{{Caller: "a", Lines: []string{"b"}, Operations: []service.Operation{"c"}}}}); !errors.Is(err, service.ErrInvalid) {
		t.Errorf("a grant of an unknown operation: %v", err)
	}
}

// TestRequestIDs: the same request is answered once, over a restart too.
func TestRequestIDs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	req := signRequest("one", credential(t, nil))
	first, err := s.SignTokens(registry(t), req)
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			again, err := s.SignTokens(registry(t), req)
			if err != nil || again.GetTokens()[0] != first.GetTokens()[0] {
				t.Errorf("the same request was signed again: %v", err)
			}
		})
	}
	calls.Wait()
	other := signRequest("one", credential(t, func(c map[string]any) { c["name"] = "另一个" }))
	if _, err := s.SignTokens(registry(t), other); !errors.Is(err, service.ErrConflict) {
		t.Errorf("another request under the id: %v, want ErrConflict", err)
	}
	if _, err := s.SignTokens(registry(t), signRequest(strings.Repeat("x", 129), credential(t, nil))); !errors.Is(err, service.ErrInvalid) {
		t.Errorf("a long id: %v, want ErrInvalid", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, nil)
	again, err := s.SignTokens(registry(t), req)
	if err != nil || again.GetTokens()[0] != first.GetTokens()[0] {
		t.Errorf("signed again after a restart: %v", err)
	}
}

// TestUsesAreWritten: the use log has every signature with who and what for.
func TestUsesAreWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	if _, err := s.SignTokens(registry(t), signRequest("traced", credential(t, nil), credential(t, nil))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "uses", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, name := range files {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	if n := bytes.Count(text, []byte(`"request":"traced"`)); n != 2 {
		t.Errorf("%d uses of the request in the log, want 2", n)
	}
	if audit, err := keys.AuditJournal(filepath.Join(dir, "uses")); err != nil || audit.Records == 0 || audit.LogKeyID == "" {
		t.Errorf("use log %+v: %v", audit, err)
	}
}

// TestSealLife makes a seal, seals with it, suspends and revokes it.
func TestSealLife(t *testing.T) {
	peer.Face(t)
	s := open(t, t.TempDir(), nil)
	made, err := s.MakeSeal(administrator(t), &signingv1.MakeSealRequest{RequestId: "1", Department: market, Name: "示例县市场监督管理局", Label: "电子证照专用章"})
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetSeal().GetId()
	second, err := s.MakeSeal(administrator(t), &signingv1.MakeSealRequest{RequestId: "2", Department: market, Name: "示例县市场监督管理局"})
	if err != nil || second.GetSeal().GetId() == id {
		t.Fatalf("second seal: %v, %v", second, err)
	}
	if _, err := s.MakeSeal(registry(t), &signingv1.MakeSealRequest{RequestId: "3", Department: market, Name: "示例县市场监督管理局"}); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("the registry made a seal: %v", err)
	}
	page := &signingv1.SealPageRequest{
		SealId: id, Title: "食品经营许可证", Number: "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
		IssuerName: "示例县市场监督管理局", Fields: []*signingv1.Field{{Name: "经营者", Value: "李记小吃店"}},
		Qr: "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U", IssueDate: "2026年11月22日", ValidUntil: "长期",
	}
	sealed, err := s.SealPage(registry(t), page)
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, s, sealed.GetFile(), true)
	if _, err := s.SealPage(as(t, service.Caller{Name: "water", Department: water}), page); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("another department sealed: %v", err)
	}
	if _, err := s.SealPage(as(t, service.Caller{Name: "market", Department: market}), page); err != nil {
		t.Errorf("the department's own system may seal: %v", err)
	}
	if _, err := s.SealFile(registry(t), &signingv1.SealFileRequest{SealId: id, File: sealed.GetFile(), Stamps: []*signingv1.Stamp{{Page: 1, X: 20, Y: 20}}}); err == nil {
		t.Error("a closed file was sealed again")
	}
	drawn, err := s.RenderFile(t.Context(), &signingv1.RenderFileRequest{File: sealed.GetFile(), Dpi: 72})
	if err != nil || drawn.GetPages() != 1 || !bytes.HasPrefix(drawn.GetPng(), []byte("\x89PNG")) {
		t.Errorf("picture: %d pages, %v", drawn.GetPages(), err)
	}

	change := func(status signingv1.SealStatus) error {
		_, err := s.ChangeSeal(administrator(t), &signingv1.ChangeSealRequest{SealId: id, Status: status, Reason: "测试"})
		return err
	}
	if err := change(signingv1.SealStatus_SEAL_STATUS_SUSPENDED); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealPage(registry(t), page); !errors.Is(err, ses.ErrState) {
		t.Errorf("sealed with a suspended seal: %v, want ErrState", err)
	}
	wantValid(t, s, sealed.GetFile(), true) // it was in force when it was used
	if err := change(signingv1.SealStatus_SEAL_STATUS_VALID); err != nil {
		t.Fatal(err)
	}
	if err := change(signingv1.SealStatus_SEAL_STATUS_REVOKED); err != nil {
		t.Fatal(err)
	}
	if err := change(signingv1.SealStatus_SEAL_STATUS_VALID); !errors.Is(err, ses.ErrState) {
		t.Errorf("a revoked seal came back: %v", err)
	}
	list, err := s.ListSeals(administrator(t), &signingv1.ListSealsRequest{})
	if err != nil || len(list.GetSeals()) != 2 || list.GetSeals()[0].GetStatus() != signingv1.SealStatus_SEAL_STATUS_REVOKED {
		t.Errorf("seals: %v, %v", list, err)
	}
}

func wantValid(t *testing.T, s *service.Service, file []byte, want bool) {
	t.Helper()
	resp, err := s.VerifyFile(t.Context(), &signingv1.VerifyFileRequest{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetValid() != want {
		for _, signature := range resp.GetSignatures() {
			for _, step := range signature.GetSteps() {
				t.Logf("%s %s %s", step.GetName(), step.GetResult(), step.GetDetail())
			}
		}
		t.Errorf("valid is %v, want %v; uncovered %v", resp.GetValid(), want, resp.GetUncovered())
	}
}

// TestRevokedSignerStopsNewSeals: once its certificate is revoked, what a
// signer seals does not leave, and what was sealed before still holds.
func TestRevokedSignerStopsNewSeals(t *testing.T) {
	peer.Face(t)
	s := open(t, t.TempDir(), nil)
	made, err := s.MakeSeal(administrator(t), &signingv1.MakeSealRequest{RequestId: "1", Department: market, Name: "示例县市场监督管理局"})
	if err != nil {
		t.Fatal(err)
	}
	page := &signingv1.SealPageRequest{SealId: made.GetSeal().GetId(), Title: "许可证", Number: "1", IssuerName: "示例县市场监督管理局", IssueDate: "2026年11月22日"}
	sealed, err := s.SealPage(registry(t), page)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := ses.ParseSeal(made.GetSeal().GetDer())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.ParseCertificate(seal.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // certificates and revocations count in seconds
	revoke := &signingv1.RevokeCertificateRequest{Authority: "sm2", Serial: leaf.SerialNumber.Text(16), Reason: "superseded"}
	if _, err := s.RevokeCertificate(registry(t), revoke); !errors.Is(err, service.ErrForbidden) {
		t.Errorf("the registry revoked a certificate: %v", err)
	}
	if _, err := s.RevokeCertificate(administrator(t), revoke); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealPage(registry(t), page); !errors.Is(err, service.ErrLint) {
		t.Errorf("sealed with a revoked certificate: %v, want ErrLint", err)
	}
	wantValid(t, s, sealed.GetFile(), true)
}

// TestCertificateOfAnotherAuthority: a request goes out, a chain comes in.
func TestCertificateOfAnotherAuthority(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	made, err := s.CreateKey(administrator(t), &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256})
	if err != nil {
		t.Fatal(err)
	}
	kid := made.GetKey().GetId()
	request, err := s.CreateCertificateRequest(administrator(t), &signingv1.CreateCertificateRequestRequest{
		KeyId: kid, Subject: &signingv1.Subject{Organization: "示例县政务服务数据管理局", CommonName: "示例县电子证照", Uscc: market},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.csr"), []byte(request.GetCertificateRequest()), 0o600); err != nil {
		t.Fatal(err)
	}
	peer.OpenSSL(t, dir, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
		"-subj", "/CN=Outside CA", "-days", "3650", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	if err := os.WriteFile(filepath.Join(dir, "ext"), []byte("keyUsage=critical,digitalSignature\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	peer.OpenSSL(t, dir, "x509", "-req", "-in", "key.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "365", "-extfile", "ext", "-out", "key.pem")
	var chain []byte
	for _, name := range []string{"ca.pem", "key.pem"} {
		part, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, part...)
	}
	imported, err := s.ImportCertificates(administrator(t), &signingv1.ImportCertificatesRequest{KeyId: kid, Certificates: string(chain)})
	if err != nil || strings.Count(imported.GetKey().GetCertificates(), "BEGIN CERTIFICATE") != 2 {
		t.Errorf("imported %v, %v", imported, err)
	}
	list, err := s.ListKeys(administrator(t), &signingv1.ListKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range list.GetKeys() {
		if key.GetId() == kid {
			continue
		}
		if _, err := s.ImportCertificates(administrator(t), &signingv1.ImportCertificatesRequest{KeyId: key.GetId(), Certificates: string(chain)}); err == nil {
			t.Errorf("certificates were taken for a key of %s that is not theirs", key.GetLine())
		}
	}
}
