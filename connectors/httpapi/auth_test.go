package httpapi

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// TestSignature checks the worked example of the package's documentation, and that a server that knows only that text
// and the secret accepts what the source sends.
func TestSignature(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("https://example.gov/api/rows?size=2&page=1&unit=%E6%B0%91%E6%94%BF")
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"sha256", "sm3"} {
		s := signer{cfg: &connectors.HMAC{Hash: hash}, secret: []byte("secret")}
		text := signedText(s.hash(), "GET", u, "1762128000000", "000102030405060708090a0b0c0d0e0f")
		if hash == "sha256" {
			example := "//\t" + strings.ReplaceAll(text, "\n", "\n//\t")
			if !strings.Contains(string(doc), example) {
				t.Errorf("doc.go does not have the text %q", text)
			}
		}
		for _, word := range []string{text[strings.LastIndexByte(text, '\n')+1:], s.signature(text)} {
			if !strings.Contains(string(doc), word) {
				t.Errorf("%s: doc.go does not have %s", hash, word)
			}
		}
	}
	if got := signedText((&signer{cfg: &connectors.HMAC{}}).hash(), "GET", &url.URL{Host: "x"}, "1", "2"); !strings.HasPrefix(got, "GET\n/\n\n1\n2\n") {
		t.Errorf("without path and query: %q", got)
	}
}

func TestSignedRequests(t *testing.T) {
	for _, hash := range []string{"sha256", "sm3"} {
		t.Run(hash, func(t *testing.T) {
			cfg := &connectors.HMAC{
				KeyID: "onewindow", Hash: hash, SecretFile: secretFile(t, "s3cret"),
				KeyHeader: "X-Access-Key", TimeHeader: "X-Timestamp", NonceHeader: "X-Nonce", SignatureHeader: "X-Signature",
			}
			var nonces []string
			department := func(w http.ResponseWriter, r *http.Request) {
				at, nonce := r.Header.Get("X-Timestamp"), r.Header.Get("X-Nonce")
				own := signer{cfg: cfg, secret: []byte("s3cret")}
				signed := own.signature(signedText(own.hash(), r.Method, r.URL, at, nonce))
				if r.Header.Get("X-Access-Key") != "onewindow" || r.Header.Get("X-Signature") != signed || slices.Contains(nonces, nonce) || len(at) != 13 {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				nonces = append(nonces, nonce)
				_, _ = w.Write([]byte(`{"data":` + list("a") + `}`))
			}
			def := simple(t, connectors.PagingNumber, department)
			def.HTTP.TokenFile, def.HTTP.HMAC = "", cfg
			want(t, opened(t, def, nil), "a")

			wrong := *cfg
			wrong.SecretFile = secretFile(t, "other")
			def.HTTP.HMAC = &wrong
			_, err := opened(t, def, nil).Read(t.Context())
			expectFault(t, err, connectors.FaultCredentials, connectors.ErrRefused, "do both clocks agree?")
		})
	}
}

// authority is a token server.
type authority struct {
	inBody  bool // it knows the secret only in the body
	expires string
	asked   int
	answer  http.HandlerFunc // instead of a token
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked++
	if a.answer != nil {
		a.answer(w, r)
		return
	}
	id, secret, _ := r.BasicAuth()
	if a.inBody {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != "onewindow" || secret != "s3cret" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "read rows" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"secret s3cret"}`))
		return
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":%s}`, a.asked, a.expires)
}

// protected is an interface whose tokens come from a token server.
func protected(t *testing.T, a *authority, accepts func(token string) bool) connectors.Definition {
	t.Helper()
	def := simple(t, connectors.PagingNumber, func(w http.ResponseWriter, r *http.Request) {
		if !accepts(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"data":` + list("a") + `}`))
	})
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	def.HTTP.TokenFile = ""
	def.HTTP.OAuth2 = &connectors.OAuth2{TokenURL: server.URL + "/token?x=y", ClientID: "onewindow", SecretFile: secretFile(t, "s3cret"), Scopes: []string{"read", "rows"}}
	return def
}

func TestOAuth2(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		a := &authority{inBody: inBody, expires: `"300"`}
		valid := ""
		def := protected(t, a, func(token string) bool { return valid == "" && token != "" || token == valid })
		src := opened(t, def, nil).(*source)
		now := time.Now()
		src.client.oauth.now = func() time.Time { return now }
		want(t, src, "a")
		first := a.asked
		want(t, src)
		if a.asked != first {
			t.Errorf("a valid token was not used again")
		}
		now = now.Add(271 * time.Second) // less than 30 s before its end
		want(t, src)
		if a.asked != first+1 {
			t.Errorf("asked %d times instead of once for a new token", a.asked-first)
		}
		valid = fmt.Sprintf("token-%d", a.asked+1) // the one at hand is revoked
		want(t, src)
		if a.asked != first+2 {
			t.Errorf("asked %d times instead of once after a 401", a.asked-first-1)
		}
		valid = "none"
		_, err := src.Read(t.Context())
		expectFault(t, err, connectors.FaultCredentials, connectors.ErrRefused, "does the client have the right to read?")
		if a.asked != first+3 {
			t.Errorf("asked %d times although one new token is refused as well", a.asked-first-2)
		}
	}
}

func TestBadTokenServers(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		code   connectors.FaultCode
		kind   error
		want   string
	}{
		{"wrong secret", answer(401, `{"error":"invalid_client"}`), connectors.FaultCredentials, connectors.ErrRefused, "401: invalid_client"},
		{"elsewhere", answer(404, ""), connectors.FaultAnswer, connectors.ErrRefused, "is token_url right?"},
		{"redirect", answer(302, ""), connectors.FaultAnswer, connectors.ErrRefused, "302"},
		{"down", answer(503, ""), connectors.FaultBusy, connectors.ErrNotConnected, "503"},
		{"html", answer(200, "<html>"), connectors.FaultNotJSON, connectors.ErrRefused, "does not answer with JSON"},
		{"none", answer(200, `{"token":"x"}`), connectors.FaultAnswer, connectors.ErrRefused, "gives no bearer token"},
		{"header injection", answer(200, `{"access_token":"x\r\nHost: y"}`), connectors.FaultAnswer, connectors.ErrRefused, "gives no bearer token"},
		{"another type", answer(200, `{"access_token":"x","token_type":"mac"}`), connectors.FaultAnswer, connectors.ErrRefused, "gives no bearer token"},
		{"too large", answer(200, strings.Repeat(" ", maxTokenAnswer+1)), connectors.FaultTooLarge, connectors.ErrRefused, "more than"},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, connectors.FaultUnreachable, connectors.ErrNotConnected, "the token server http://"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			def := protected(t, &authority{answer: test.answer}, func(string) bool { return true })
			_, err := opened(t, def, nil).Read(t.Context())
			expectFault(t, err, test.code, test.kind, test.want)
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "x=y") {
				t.Errorf("%v says more than it should", err)
			}
		})
	}
}

// TestTLS reaches a server whose certificate is its own, with and without knowing it.
func TestTLS(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"data":` + list("a") + `}`)) })
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that fail are wanted
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	def := simple(t, connectors.PagingNumber, handler)
	plain := def.HTTP.URL
	def.HTTP.URL, def.HTTP.CAFile = server.URL+"/rows", file
	want(t, opened(t, def, nil), "a")

	old := httptest.NewUnstartedServer(handler)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = server.Config.ErrorLog
	old.StartTLS()
	t.Cleanup(old.Close)
	for _, test := range []struct{ name, url, ca, want string }{
		{"nobody's certificate", server.URL, "", "name it as ca_file"},
		{"another name", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), file, "not for this host name"},
		{"no TLS there", strings.Replace(plain, "http:", "https:", 1), file, "begin with http://"},
		{"too old", old.URL, file, "old version of TLS"},
	} {
		def.HTTP.URL, def.HTTP.CAFile = test.url, test.ca
		_, err := opened(t, def, nil).Read(t.Context())
		expectFault(t, err, connectors.FaultUnreachable, connectors.ErrRefused, test.want)
	}
}

func TestSecretFiles(t *testing.T) {
	for name, alter := range map[string]func(*connectors.HTTP){
		"token_file cannot be read":         func(h *connectors.HTTP) { h.TokenFile = "absent" },
		"must hold one token":               func(h *connectors.HTTP) { h.TokenFile = secretFile(t, "two words") },
		"is empty":                          func(h *connectors.HTTP) { h.TokenFile = secretFile(t, "") },
		"oauth2.secret_file cannot be read": func(h *connectors.HTTP) { h.TokenFile, h.OAuth2 = "", &connectors.OAuth2{SecretFile: "absent"} },
		"hmac.secret_file cannot be read":   func(h *connectors.HTTP) { h.HMAC = &connectors.HMAC{SecretFile: "absent"} },
		"ca_file cannot be read":            func(h *connectors.HTTP) { h.CAFile = "absent" },
		"holds no certificate":              func(h *connectors.HTTP) { h.CAFile = secretFile(t, "s3cret") },
	} {
		def := simple(t, connectors.PagingNumber, nil)
		alter(def.HTTP)
		src, err := New(def, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = src.Open(t.Context(), nil)
		expectFault(t, err, connectors.FaultSecret, connectors.ErrRefused, name)
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "two words") {
			t.Errorf("%v tells the secret", err)
		}
	}
}

// TestServerOfAnotherKindIsNamed asks an SSH server and a MariaDB, in plain HTTP and with TLS.
func TestServerOfAnotherKindIsNamed(t *testing.T) {
	for _, other := range []struct{ variable, want string }{
		{"ONEWINDOW_TEST_SFTP", connectors.AnswersSSH},
		{"ONEWINDOW_TEST_MARIADB", connectors.AnswersMySQL},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+other.want, func(t *testing.T) {
				value := os.Getenv(other.variable)
				if value == "" {
					t.Skipf("%s is not set (make test starts one)", other.variable)
				}
				at := &url.URL{Host: value}
				if strings.Contains(value, "://") {
					var err error
					if at, err = url.Parse(value); err != nil {
						t.Fatal(err)
					}
				}
				def := simple(t, connectors.PagingNumber, http.NotFound)
				def.HTTP.URL = scheme + "://" + at.Host + "/rows"
				_, err := opened(t, def, nil).Read(t.Context())
				expectFault(t, err, connectors.FaultNotThis, connectors.ErrRefused, other.want)
			})
		}
	}
}
