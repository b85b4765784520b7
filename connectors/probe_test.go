package connectors

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
)

// TestServersAreKnownByTheirFirstBytes asks real servers.
func TestServersAreKnownByTheirFirstBytes(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for address, want := range map[string]string{
		plain.Listener.Addr().String(): AnswersHTTP,
		// Go's own server answers a request without TLS in HTTP; others with an alert.
		secure.Listener.Addr().String():      AnswersHTTP,
		hostOf(t, "ONEWINDOW_TEST_MARIADB"):  AnswersMySQL,
		hostOf(t, "ONEWINDOW_TEST_POSTGRES"): "",
		"127.0.0.1:1":                        "",
	} {
		if got := Answering(t.Context(), address); address != "" && got != want {
			t.Errorf("%s: %q; want %q", address, got, want)
		}
	}
	for first, want := range map[string]string{"SSH-2.0-OpenSSH_9": AnswersSSH, "\x15\x03\x01\x00\x02": AnswersTLS, "220 ready": AnswersMail, "": "", "R\x00\x00\x00\x08": ""} {
		if got := serverOf([]byte(first)); got != want {
			t.Errorf("%q: %q; want %q", first, got, want)
		}
	}
}

// hostOf is the address in the URL of a server of the tests; empty if it does not run.
func hostOf(t *testing.T, variable string) string {
	t.Helper()
	u, err := url.Parse(os.Getenv(variable))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func FuzzServerOf(f *testing.F) {
	f.Add([]byte("SSH-2.0"))
	f.Add([]byte{0x4a, 0, 0, 0, 10})
	f.Fuzz(func(_ *testing.T, first []byte) { serverOf(first) })
}
