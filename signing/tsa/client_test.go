package tsa

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/pki"
)

func TestClientStamps(t *testing.T) {
	for _, algorithm := range []string{"P-256", "SM2"} {
		w := newWorld(t, algorithm)
		server := httptest.NewServer(w.authority)
		t.Cleanup(server.Close)
		for _, h := range []Hash{0, SHA512, SM3} {
			client := &Client{URL: server.URL, HTTP: server.Client(), Hash: h, Trust: w.trust}
			token, err := client.Stamp(t.Context(), []byte("data"))
			if err != nil {
				t.Fatalf("%s, %v: %v", algorithm, h, err)
			}
			if got, err := Verify(token, []byte("data"), w.trust); err != nil || h != 0 && got.Hash != h || h == 0 && got.Hash != SHA256 {
				t.Errorf("%s, %v: %+v, %v", algorithm, h, got, err)
			}
		}
	}
}

func TestClientRefuses(t *testing.T) {
	w := newWorld(t, "P-256")
	var old []byte // the reply to an earlier request for the same data
	answer := func(status int, media string, body func(query []byte) []byte) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			query, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			rw.Header().Set("Content-Type", media)
			rw.WriteHeader(status)
			_, _ = rw.Write(body(query)) // the client may have gone
		})
	}
	reply := func(a *Authority, change func(*request)) func([]byte) []byte {
		return func(query []byte) []byte {
			r, err := parseRequest(query)
			if err != nil {
				t.Error(err)
			}
			change(&r)
			out, err := a.Reply(t.Context(), mustEncode(t, r))
			if err != nil {
				t.Error(err)
			}
			return out
		}
	}
	same := func(*request) {}
	old = reply(w.authority, same)(mustEncode(t, request{imprint: imprint{SHA256, SHA256.Sum(nil)}, nonce: newNonce(), certReq: true}))
	for name, c := range map[string]struct {
		server http.Handler
		want   error
	}{
		"not there":     {answer(404, "text/plain", func([]byte) []byte { return nil }), ErrUnavailable},
		"a page":        {answer(200, "text/html", func([]byte) []byte { return []byte("<html>") }), ErrUnavailable},
		"noise":         {answer(200, replyType, func([]byte) []byte { return []byte("noise") }), ErrMalformed},
		"endless":       {answer(200, replyType, func([]byte) []byte { return make([]byte, 10*MaxReply) }), ErrMalformed},
		"replayed":      {answer(200, replyType, func([]byte) []byte { return old }), ErrMismatch},
		"no nonce":      {answer(200, replyType, reply(w.authority, func(r *request) { r.nonce = nil })), ErrMismatch},
		"other hash":    {answer(200, replyType, reply(w.authority, func(r *request) { r.imprint = imprint{SM3, SM3.Sum(nil)} })), ErrMismatch},
		"other data":    {answer(200, replyType, reply(w.authority, func(r *request) { r.imprint.digest = make([]byte, 32) })), ErrMismatch},
		"no chain":      {answer(200, replyType, reply(w.authority, func(r *request) { r.certReq = false })), ErrCertificate},
		"stranger":      {answer(200, replyType, reply(newWorld(t, "SM2").authority, same)), ErrCertificate},
		"refused":       {answer(200, replyType, reply(w.authority, func(r *request) { r.policy = oidRSA })), ErrRejected},
		"refused twice": {answer(200, replyType, func([]byte) []byte { return append(old[:len(old):len(old)], 0) }), ErrMalformed},
	} {
		server := httptest.NewServer(c.server)
		client := &Client{URL: server.URL, HTTP: server.Client(), Trust: w.trust}
		if token, err := client.Stamp(t.Context(), nil); !errors.Is(err, c.want) || token != nil {
			t.Errorf("%s: %x, %v; want %v", name, token, err, c.want)
		}
		server.Close()
		if _, err := client.Stamp(t.Context(), nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: closed server: %v, want ErrUnavailable", name, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Client{URL: "http://127.0.0.1:1", Trust: w.trust}).Stamp(cancelled, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for name, client := range map[string]*Client{
		"no trust":     {URL: "http://127.0.0.1:1"},
		"unknown hash": {URL: "http://127.0.0.1:1", Hash: 9, Trust: w.trust},
		"no address":   {URL: "http://[", Trust: w.trust},
	} {
		if _, err := client.Stamp(t.Context(), nil); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}

func TestServeHTTPRefuses(t *testing.T) {
	w := newWorld(t, "P-256")
	for name, c := range map[string]struct {
		method, media string
		body          io.Reader
		want          int
	}{
		"GET":             {http.MethodGet, queryType, http.NoBody, http.StatusMethodNotAllowed},
		"JSON":            {http.MethodPost, "application/json", strings.NewReader("{}"), http.StatusUnsupportedMediaType},
		"nothing said":    {http.MethodPost, "", strings.NewReader(""), http.StatusUnsupportedMediaType},
		"too large":       {http.MethodPost, queryType, bytes.NewReader(make([]byte, MaxRequest+1)), http.StatusRequestEntityTooLarge},
		"not a request":   {http.MethodPost, queryType, strings.NewReader("x"), http.StatusOK},
		"with parameters": {http.MethodPost, queryType + "; charset=binary", strings.NewReader("x"), http.StatusOK},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/", c.body)
		r.Header.Set("Content-Type", c.media)
		out := httptest.NewRecorder()
		w.authority.ServeHTTP(out, r)
		if out.Code != c.want {
			t.Errorf("%s: %d, want %d", name, out.Code, c.want)
		}
		if c.want == http.StatusOK {
			if _, err := parseReply(out.Body.Bytes()); !errors.Is(err, ErrRejected) || out.Header().Get("Content-Type") != replyType {
				t.Errorf("%s: %v of type %q", name, err, out.Header().Get("Content-Type"))
			}
		}
	}
}

// pki's ErrUsage shows through, so that a verdict can name the reason.
func TestCertificateForOtherUseIsNotTrusted(t *testing.T) {
	w := newWorld(t, "P-256")
	seal := w.certify(t, w.signer.Public(), pki.UsageSeal)
	leaf, err := pki.ParseCertificate(seal)
	if err != nil {
		t.Fatal(err)
	}
	careless := *w.authority
	careless.leaf, careless.signer.certificates = leaf, [][]byte{seal, w.chain[1]}
	if err := careless.signer.setCertificate(leaf); err != nil {
		t.Fatal(err)
	}
	token, err := careless.Stamp(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(token, nil, w.trust); !errors.Is(err, pki.ErrUsage) || !errors.Is(err, ErrCertificate) {
		t.Errorf("signed with a seal's certificate: %v, want pki.ErrUsage", err)
	}
}
