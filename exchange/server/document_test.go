package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange/access"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
)

// documents is a small real service with documents for everybody.
type documents struct {
	signingv1.UnimplementedSigningServiceServer
	text string
	keep time.Duration
}

func (d *documents) GetTrust(context.Context, *signingv1.GetTrustRequest) (*httpbody.HttpBody, error) {
	until, err := anypb.New(timestamppb.New(time.Now().Add(d.keep)))
	return &httpbody.HttpBody{ContentType: "application/pem-certificate-chain", Data: []byte(d.text), Extensions: []*anypb.Any{until}}, err
}

func (d *documents) GetRevocationList(_ context.Context, r *signingv1.GetRevocationListRequest) (*httpbody.HttpBody, error) {
	if r.GetAuthority() != "sm2" {
		return nil, status.Error(codes.NotFound, "no authority")
	}
	return &httpbody.HttpBody{ContentType: "application/pkix-crl", Data: []byte{0x30, 0}}, nil
}

func (d *documents) service() Service {
	s := Service{
		Register: func(r grpc.ServiceRegistrar) { signingv1.RegisterSigningServiceServer(r, d) },
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return signingv1.RegisterSigningServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{},
		Contents: map[string][]string{
			signingv1.SigningService_GetKeySet_FullMethodName:         {"application/jwk-set+json"},
			signingv1.SigningService_GetIssuerMetadata_FullMethodName: {"application/json"},
			signingv1.SigningService_GetTrust_FullMethodName:          {"application/pem-certificate-chain"},
			signingv1.SigningService_GetRevocationList_FullMethodName: {"application/pkix-crl"},
		},
	}
	for _, m := range signingv1.SigningService_ServiceDesc.Methods {
		s.Access["/"+signingv1.SigningService_ServiceDesc.ServiceName+"/"+m.MethodName] = access.Policy{}
	}
	for name := range s.Contents {
		s.Access[name] = access.Policy{Public: true}
	}
	return s
}

// publisher serves documents, with a /tsa that refuses in plain text.
func publisher(t *testing.T, d *documents) *httptest.Server {
	t.Helper()
	s, err := New(Config{
		Logger: slog.New(slog.DiscardHandler), Authenticator: noTokens{},
		Handlers: map[string]http.Handler{"/tsa": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many of them", http.StatusTooManyRequests)
		})},
	}, d.service())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	g, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- s.Serve(ctx, g, r) }()
	web := httptest.NewServer(s.rest.Handler)
	t.Cleanup(func() {
		web.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return web
}

type noTokens struct{}

func (noTokens) Authenticate(context.Context, string) (access.Identity, error) {
	return access.Identity{}, access.ErrUnauthenticated
}

// get asks without the client's own gzip; headers are pairs.
func get(t *testing.T, method, url string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func TestPublicDocumentMayBeKeptWhileItHolds(t *testing.T) {
	d := &documents{text: strings.Repeat("certificate ", 1000), keep: 24 * time.Hour}
	url := publisher(t, d).URL + "/v1/signing/trust.pem"
	a := get(t, "GET", url)
	age, err := strconv.Atoi(strings.TrimPrefix(a.Header.Get("Cache-Control"), "public, max-age="))
	if err != nil || age > 86400 || age < 82800 || a.body != d.text || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%v, %d bytes", a.Header, len(a.body))
	}
	etag := a.Header.Get("ETag")
	if a = get(t, "GET", url, "If-None-Match", `"x", `+etag); a.StatusCode != http.StatusNotModified || a.body != "" || a.Header.Get("ETag") != etag || a.Header.Get("Cache-Control") == "" {
		t.Errorf("the same document: %s, %v", a.Status, a.Header)
	}
	if a = get(t, "HEAD", url); a.StatusCode != http.StatusOK || a.body != "" || a.ContentLength != int64(len(d.text)) || a.Header.Get("ETag") != etag {
		t.Errorf("HEAD: %s, %v", a.Status, a.Header)
	}
	if a = get(t, "GET", url, "Accept-Encoding", "br, gzip"); a.Header.Get("Content-Encoding") != "gzip" || len(a.body) >= len(d.text) || a.Header.Get("Vary") != "Accept-Encoding" || a.Header.Get("ETag") != etag {
		t.Errorf("gzip: %v, %d bytes", a.Header, len(a.body))
	}
	if a = get(t, "GET", url, "Accept-Encoding", "gzip;q=0"); a.Header.Get("Content-Encoding") != "" || a.body != d.text {
		t.Errorf("no gzip: %v", a.Header)
	}
	d.text += "changed"
	if a = get(t, "GET", url, "If-None-Match", etag); a.StatusCode != http.StatusOK || a.body != d.text {
		t.Errorf("a changed document: %s", a.Status)
	}
	d.keep = -time.Second
	if a = get(t, "GET", url); a.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("a document past its time: %v", a.Header)
	}
}

func TestPublicDocumentIsForPagesOfEveryOrigin(t *testing.T) {
	web := publisher(t, &documents{text: "x"})
	a := get(t, "OPTIONS", web.URL+"/v1/signing/crl/sm2", "Origin", "https://page.example", "Access-Control-Request-Method", "GET")
	if a.StatusCode != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "If-None-Match") {
		t.Errorf("preflight: %s, %v", a.Status, a.Header)
	}
	a = get(t, "GET", web.URL+"/v1/signing/crl/sm2")
	if a.StatusCode != http.StatusOK || a.body != "0\x00" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a document of unknown life: %s, %v", a.Status, a.Header)
	}
	a = get(t, "GET", web.URL+"/v1/signing/crl/none")
	if a.StatusCode != http.StatusNotFound || a.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, `"no authority"`) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("no document: %s, %v, %s", a.Status, a.Header, a.body)
	}
	a = get(t, "POST", web.URL+"/v1/signing/crl/sm2")
	if a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %s, %v", a.Status, a.Header)
	}
	for _, path := range []string{"/v1/signing/keys", "/readyz", "/healthz", "/tsa"} {
		if a := get(t, "GET", web.URL+path); a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is open to every origin", path)
		}
	}
}

func TestPlainRefusalBecomesAProblem(t *testing.T) {
	a := get(t, "POST", publisher(t, &documents{}).URL+"/tsa")
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Retry-After") != "1" ||
		!strings.Contains(a.body, `"reason":"TOO_MANY_REQUESTS"`) || !strings.Contains(a.body, `"detail":"too many of them"`) {
		t.Errorf("%s, %v, %s", a.Status, a.Header, a.body)
	}
}

func TestDocumentNamesTheServersOwnReasons(t *testing.T) {
	body := get(t, "GET", publisher(t, &documents{}).URL+"/openapi.json").body
	for _, reason := range []string{
		reasonDeadline, reasonStopping, reasonInternal, reasonTokenMissing, reasonTokenInvalid, reasonTokenUnchecked, reasonRole,
		reasonRouteUnknown, reasonMethod, reasonBodyTooLarge, reasonBodyIncomplete, reasonContentType, reasonMalformedJSON,
		reasonUnknownField, reasonDuplicateField, reasonInvalidValue, reasonTooMany, reasonUnavailable,
	} {
		if !regexp.MustCompile(`\b` + reason + `\b`).MatchString(body) {
			t.Errorf("/openapi.json lacks the reason %s", reason)
		}
	}
}

func TestServiceMustNameItsContents(t *testing.T) {
	s := (&documents{}).service()
	delete(s.Contents, signingv1.SigningService_GetTrust_FullMethodName)
	if _, err := New(Config{Logger: slog.New(slog.DiscardHandler), Authenticator: noTokens{}}, s); err == nil || !strings.Contains(err.Error(), "Contents must name the media types of /signing.v1.SigningService/GetTrust") {
		t.Errorf("%v", err)
	}
}
