package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"image"
	"image/png"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
	"github.com/onewindow/onewindow/signing/typeface"
)

const sealingDepartment = "11430000006122244L"

// oneAdministrator takes every token for the administrator's.
type oneAdministrator struct{}

// Authenticate accepts.
func (oneAdministrator) Authenticate(context.Context, string) (access.Identity, error) {
	return access.Identity{Name: "admin", Role: access.Administrator}, nil
}

// serveSigning serves the signing service alone over gRPC, with its table of
// errors, to an administrator who may sign and seal.
func serveSigning(t *testing.T) (context.Context, signingv1.SigningServiceClient) {
	t.Helper()
	font, err := findTestFont()
	if err != nil {
		missing(t, "the font of signing/typeface: %v", err)
	}
	h := &hub{}
	h.signing, err = service.Open(t.Context(), service.Config{
		Dir: t.TempDir(), Passphrase: []byte("a"), RootPassphrase: []byte("b"), Issuer: "https://hub.example", CachePeriod: time.Hour,
		Operator: pki.Subject{Country: "CN", Organization: "示例县", CommonName: "示例县"},
		Grants:   []service.Grant{{Caller: "admin", Lines: []string{service.LineLicense, "seal/*"}, Operations: []service.Operation{service.Sign, service.Seal}}},
		Caller:   h.signingCaller, Font: font, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Logger: slog.New(slog.DiscardHandler), Authenticator: oneAdministrator{}}, h.signingService())
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = server.Listen(t.Context(), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listeners[0], listeners[1]) }()
	conn, err := grpc.NewClient(listeners[0].Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := h.signing.Close(); err != nil {
			t.Error(err)
		}
	})
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x"), signingv1.NewSigningServiceClient(conn)
}

// call is a call whose answer does not matter.
type call func() error

// TestForeignInputOfTheSigningServiceIsNamed sends what no caller should send,
// in every field that takes foreign bytes: the answer is never an internal error,
// and says what is wrong by its reason.
func TestForeignInputOfTheSigningServiceIsNamed(t *testing.T) {
	ctx, api := serveSigning(t)
	made, err := api.MakeSeal(ctx, &signingv1.MakeSealRequest{RequestId: "1", Department: sealingDepartment, Name: "示例县市场监督管理局"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := api.CreateKey(ctx, &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256})
	if err != nil {
		t.Fatal(err)
	}
	request, err := api.CreateCertificateRequest(ctx, &signingv1.CreateCertificateRequestRequest{
		KeyId: key.GetKey().GetId(), Subject: &signingv1.Subject{Organization: "示例县", CommonName: "示例县", Uscc: sealingDepartment},
	})
	if err != nil {
		t.Fatal(err)
	}
	leaf, stranger := certify(t, request.GetCertificateRequest())
	importing := func(chain string) call {
		return func() error {
			_, err := api.ImportCertificates(ctx, &signingv1.ImportCertificatesRequest{KeyId: key.GetKey().GetId(), Certificates: chain})
			return err
		}
	}
	sealing := func(change func(*signingv1.MakeSealRequest)) call {
		return func() error {
			req := &signingv1.MakeSealRequest{RequestId: rand.Text(), Department: sealingDepartment, Name: "示例县市场监督管理局"}
			change(req)
			_, err := api.MakeSeal(ctx, req)
			return err
		}
	}
	picture := func(data []byte) call {
		return sealing(func(req *signingv1.MakeSealRequest) { req.Picture = data })
	}
	paging := func(change func(*signingv1.SealPageRequest)) call {
		return func() error {
			req := &signingv1.SealPageRequest{SealId: made.GetSeal().GetId(), Title: "食品经营许可证", Number: "1", IssuerName: "示例县", Qr: "1", IssueDate: "2026年1月1日"}
			change(req)
			_, err := api.SealPage(ctx, req)
			return err
		}
	}
	signing := func(typ string, payload string) call {
		return func() error {
			_, err := api.SignTokens(ctx, &signingv1.SignTokensRequest{Line: service.LineLicense, Type: typ, Payloads: [][]byte{[]byte(payload)}})
			return err
		}
	}
	for name, c := range map[string]struct {
		call   call
		reason string
	}{
		"chain without a path":       {importing(leaf + stranger), "CERTIFICATE_CHAIN"},
		"chain of nothing":           {importing(""), "CERTIFICATE_KEY"},
		"chain that is text":         {importing("certificate"), "CERTIFICATE_MALFORMED"},
		"chain cut short":            {importing(leaf[:len(leaf)/2]), "CERTIFICATE_MALFORMED"},
		"chain of another key":       {importing(stranger), "CERTIFICATE_KEY"},
		"chain with a request":       {importing(leaf + request.GetCertificateRequest()), "CERTIFICATE_MALFORMED"},
		"chain of damaged DER":       {importing(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 3, 1, 1, 1}}))), "CERTIFICATE_MALFORMED"},
		"chain too long":             {importing(strings.Repeat(leaf, 2000)), "CERTIFICATE_MALFORMED"},
		"picture that is text":       {picture([]byte("no picture")), "SEAL_REQUEST_INVALID"},
		"picture that is a JPEG":     {picture([]byte("\xff\xd8\xff\xe0")), "SEAL_REQUEST_INVALID"},
		"picture cut short":          {picture(pngOf(t, 40)[:60]), "SEAL_REQUEST_INVALID"},
		"picture too large":          {picture(pngOf(t, 9000)), "SEAL_REQUEST_INVALID"},
		"seal of no department":      {sealing(func(r *signingv1.MakeSealRequest) { r.Department = "1" }), "SIGNING_REQUEST_INVALID"},
		"seal without a name":        {sealing(func(r *signingv1.MakeSealRequest) { r.Name = "" }), ""},
		"seal with a long name":      {sealing(func(r *signingv1.MakeSealRequest) { r.Name = strings.Repeat("示", 500) }), ""},
		"seal with a line break":     {sealing(func(r *signingv1.MakeSealRequest) { r.Name = "示例\n县" }), ""},
		"seal with a long label":     {sealing(func(r *signingv1.MakeSealRequest) { r.Label = strings.Repeat("章", 500) }), ""},
		"seal with no glyph":         {sealing(func(r *signingv1.MakeSealRequest) { r.Name = "示例\U000F0000" }), ""},
		"seal for a century":         {sealing(func(r *signingv1.MakeSealRequest) { r.Years = 100 }), "SIGNING_REQUEST_INVALID"},
		"seal, foreign picture, odd": {sealing(func(r *signingv1.MakeSealRequest) { r.Picture, r.Name = pngOf(t, 40), strings.Repeat("示", 500) }), ""},
		"page without a seal":        {paging(func(r *signingv1.SealPageRequest) { r.SealId = sealingDepartment + "9999" }), "SEAL_UNKNOWN"},
		"page without a title":       {paging(func(r *signingv1.SealPageRequest) { r.Title = "" }), "PAGE_LAYOUT"},
		"page with no glyph":         {paging(func(r *signingv1.SealPageRequest) { r.Title = "证\U000F0000" }), "CHARACTER_NOT_IN_FONT"},
		"page with much text":        {paging(func(r *signingv1.SealPageRequest) { r.CopyNote = strings.Repeat("字", 9000) }), "PAGE_LAYOUT"},
		"page with a long code":      {paging(func(r *signingv1.SealPageRequest) { r.Qr = strings.Repeat("x", 9000) }), "PAGE_LAYOUT"},
		"page with odd data":         {paging(func(r *signingv1.SealPageRequest) { r.Metadata = []*signingv1.Field{{Name: "\x01", Value: "\x02"}} }), ""},
		"token that is no JSON":      {signing(sdjwt.TokenType, "{"), "SIGNING_REQUEST_INVALID"},
		"token nested":               {signing(sdjwt.TokenType, strings.Repeat("[", 5000)), "SIGNING_REQUEST_INVALID"},
		"token of another type":      {signing("x", `{"iat":1}`), "SIGNING_REQUEST_INVALID"},
		"status list that is none":   {signing(sdjwt.StatusListType, `{}`), "SIGNING_REQUEST_INVALID"},
		"key of no line": {func() error {
			_, err := api.CreateKey(ctx, &signingv1.CreateKeyRequest{Line: "../x", Algorithm: "none"})
			return err
		}, "KEY_REQUEST_INVALID"},
		"key of no token": {func() error {
			_, err := api.CreateKey(ctx, &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: "ES256", Token: "hsm"})
			return err
		}, "KEY_REQUEST_INVALID"},
		"request without a name": {func() error {
			_, err := api.CreateCertificateRequest(ctx, &signingv1.CreateCertificateRequestRequest{KeyId: key.GetKey().GetId()})
			return err
		}, ""},
		"request with a long name": {func() error {
			_, err := api.CreateCertificateRequest(ctx, &signingv1.CreateCertificateRequestRequest{KeyId: key.GetKey().GetId(), Subject: &signingv1.Subject{CommonName: strings.Repeat("名", 500), Uscc: "\x01"}})
			return err
		}, ""},
		"serial that is none": {func() error {
			_, err := api.RevokeCertificate(ctx, &signingv1.RevokeCertificateRequest{Authority: "sm2", Serial: "xyz", Reason: "superseded"})
			return err
		}, "SIGNING_REQUEST_INVALID"},
		"serial below zero": {func() error {
			_, err := api.RevokeCertificate(ctx, &signingv1.RevokeCertificateRequest{Authority: "sm2", Serial: "-1", Reason: "superseded"})
			return err
		}, "CERTIFICATE_UNKNOWN"},
		"list of no authority": {func() error {
			_, err := api.GetRevocationList(ctx, &signingv1.GetRevocationListRequest{Authority: "../sm2"})
			return err
		}, "SIGNING_NOT_FOUND"},
		"request id too long": {sealing(func(r *signingv1.MakeSealRequest) { r.RequestId = strings.Repeat("x", 500) }), "SIGNING_REQUEST_INVALID"},
	} {
		wantNamed(t, name, c.call(), c.reason)
	}
	for name, c := range badFiles(t) {
		for method, call := range map[string]call{
			"render": func() error {
				_, err := api.RenderFile(ctx, &signingv1.RenderFileRequest{File: c.file})
				return err
			},
			"verify": func() error {
				_, err := api.VerifyFile(ctx, &signingv1.VerifyFileRequest{File: c.file})
				return err
			},
			"seal": func() error {
				_, err := api.SealFile(ctx, &signingv1.SealFileRequest{
					RequestId: rand.Text(), SealId: made.GetSeal().GetId(), File: c.file, Stamps: []*signingv1.Stamp{{Page: 1, X: 10, Y: 10}},
				})
				return err
			},
		} {
			reason := c.reason[method]
			if reason == "" && call() == nil {
				continue
			}
			wantNamed(t, name+": "+method, call(), reason)
		}
	}
}

// wantNamed checks that an error is the caller's and has a reason; with a reason
// it must be that one.
func wantNamed(t *testing.T, name string, err error, reason string) {
	t.Helper()
	s := status.Convert(err)
	var got string
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			got = info.GetReason()
		}
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists:
		if got == "" || reason != "" && got != reason {
			t.Errorf("%s: %s %s: %s; want %s", name, s.Code(), got, s.Message(), reason)
		}
	default:
		t.Errorf("%s: %s: %s", name, s.Code(), s.Message())
	}
}

type badFile struct {
	file   []byte
	reason map[string]string // by method; without one the call may succeed
}

// badFiles are files that are not OFD, or damaged in one place each.
func badFiles(t *testing.T) map[string]badFile {
	t.Helper()
	all := func(reason string) map[string]string {
		return map[string]string{"render": reason, "verify": reason, "seal": reason}
	}
	element := func(name, inner string) string {
		return "<" + name + ` xmlns="` + ofd.Namespace + `">` + inner + "</" + name + ">"
	}
	root := func(more string) string {
		return element("OFD", `<DocBody><DocRoot>D.xml</DocRoot>`+more+`</DocBody>`)
	}
	document := element("Document", `<CommonData/><Pages><Page ID="1" BaseLoc="P.xml"/></Pages>`)
	page := func(objects string) map[string]string {
		return map[string]string{"OFD.xml": root(""), "D.xml": document, "P.xml": element("Page", `<Content><Layer>`+objects+`</Layer></Content>`)}
	}
	part := func(name, text string) []byte {
		parts := page("")
		parts[name] = text
		if text == "" {
			delete(parts, name)
		}
		return zipOf(t, parts)
	}
	rendering := func(reason string) map[string]string { return map[string]string{"render": reason} }
	both := func(reason string) map[string]string { return map[string]string{"render": reason, "seal": reason} }
	return map[string]badFile{
		"PNG":                  {pngOf(t, 8), all("FILE_CONTAINER")},
		"PDF":                  {[]byte("%PDF-1.7"), all("FILE_CONTAINER")},
		"zip cut short":        {part("x", "x")[:100], all("FILE_CONTAINER")},
		"zip without OFD.xml":  {zipOf(t, map[string]string{"a": "b"}), all("FILE_PART_MISSING")},
		"OFD.xml is no XML":    {part("OFD.xml", "<"), map[string]string{"render": "FILE_XML", "seal": "FILE_XML"}},
		"no document":          {part("D.xml", ""), both("FILE_PART_MISSING")},
		"document is no XML":   {part("D.xml", "&"), both("FILE_XML")},
		"document of no pages": {part("D.xml", element("Document", "<CommonData/>")), both("FILE_DOCUMENT")},
		"other namespace":      {part("D.xml", `<Document xmlns="urn:x"/>`), both("FILE_DOCUMENT")},
		"no page":              {part("P.xml", ""), rendering("FILE_PART_MISSING")},
		"page is no XML":       {part("P.xml", "<Page>"), rendering("FILE_XML")},
		"page without end":     {part("P.xml", strings.Repeat("<a>", 100)), rendering("FILE_TOO_LARGE")},
		"page of no size":      {part("P.xml", element("Page", `<Area><PhysicalBox>0 0 0 0</PhysicalBox></Area>`)), rendering("FILE_DOCUMENT")},
		"page too large":       {part("P.xml", element("Page", `<Area><PhysicalBox>0 0 9000 9000</PhysicalBox></Area>`)), rendering("PAGE_TOO_LARGE")},
		"object without place": {zipOf(t, page(`<PathObject ID="3"/>`)), rendering("FILE_DOCUMENT")},
		"box below zero":       {zipOf(t, page(`<PathObject ID="3" Boundary="90 58 -3 5"/>`)), nil},
		"seals lost":           {part("OFD.xml", root("<Signatures>S.xml</Signatures>")), map[string]string{"seal": "FILE_PART_MISSING"}},
		"seals are no XML": {
			zipOf(t, map[string]string{"OFD.xml": root("<Signatures>S.xml</Signatures>"), "D.xml": document, "P.xml": element("Page", ""), "S.xml": "<"}), map[string]string{"seal": "FILE_XML"},
		},
		"path out of the file": {part("OFD.xml", element("OFD", `<DocBody><DocRoot>../../D.xml</DocRoot></DocBody>`)), both("FILE_DOCUMENT")},
	}
}

func zipOf(t *testing.T, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range parts {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pngOf is a PNG of a side in pixels.
func pngOf(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// certify returns, in PEM, a certificate for the request's key from one
// authority, and that of another authority, which did not issue it.
func certify(t *testing.T, request string) (leaf, stranger string) {
	t.Helper()
	block, _ := pem.Decode([]byte(request))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	authority := func(name string) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return template, key, der
	}
	issuer, key, _ := authority("One CA")
	_, _, other := authority("Another CA")
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: csr.Subject, NotBefore: issuer.NotBefore, NotAfter: issuer.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
	}, issuer, csr.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return text(der), text(other)
}

// findTestFont finds the font of signing/typeface from this package's folder.
func findTestFont() (string, error) {
	return typeface.Find("", "../../../signing/typeface")
}
