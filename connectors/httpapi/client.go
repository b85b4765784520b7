package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

const (
	defaultRequestTime = 60 * time.Second
	maxBody            = 16 << 20
	maxTokenBytes      = 16 << 10
	maxSecretFile      = 1 << 20
	// maxWait is how long a server may ask to be left alone before that is an error.
	maxWait = time.Minute
)

// client asks a department's interface. It is used by one goroutine.
type client struct {
	http   *http.Client
	limit  time.Duration // of one request
	token  string
	oauth  *tokens
	signer *signer
	body   bytes.Buffer
}

// answer is the body of an answer and what its header says; the body is valid until the next request.
type answer struct {
	status int
	// pause is for how long the server asks to be left alone; negative if it does not say.
	pause   time.Duration
	body    []byte
	decoder *charset.Decoder
	links   []string
}

// newClient reads the secrets of a definition.
func newClient(def connectors.Definition, now func() time.Time) (*client, error) {
	cfg := def.HTTP
	// One server, one request after the other.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: 1, IdleConnTimeout: 30 * time.Second}
	if cfg.CAFile != "" {
		pem, err := readSecret("ca_file", cfg.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, connectors.Refused(connectors.FaultSecret, nil, "ca_file %q holds no certificate in PEM form", filepath.Base(cfg.CAFile))
		}
	}
	c := &client{
		limit: cmp.Or(def.Limits.QueryTime, defaultRequestTime),
		// Secrets must not travel to where an answer points.
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	var err error
	if cfg.TokenFile != "" {
		if c.token, err = readSecret("token_file", cfg.TokenFile); err != nil {
			return nil, err
		}
		if !usableToken(c.token) {
			return nil, connectors.Refused(connectors.FaultSecret, nil, "token_file %q must hold one token", filepath.Base(cfg.TokenFile))
		}
	}
	if cfg.OAuth2 != nil {
		c.oauth = &tokens{cfg: cfg.OAuth2, http: c.http, now: now}
		if c.oauth.secret, err = readSecret("oauth2.secret_file", cfg.OAuth2.SecretFile); err != nil {
			return nil, err
		}
	}
	if cfg.HMAC != nil {
		c.signer = &signer{cfg: cfg.HMAC, now: now}
		secret, err := readSecret("hmac.secret_file", cfg.HMAC.SecretFile)
		if err != nil {
			return nil, err
		}
		c.signer.secret = []byte(secret)
	}
	return c, nil
}

// readSecret returns what a file holds, without white space around it.
func readSecret(member, file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", connectors.Refused(connectors.FaultSecret, err, "%s cannot be read", member)
	}
	text := strings.TrimSpace(string(content))
	if text == "" || len(text) > maxSecretFile {
		return "", connectors.Refused(connectors.FaultSecret, nil, "%s %q is empty, or far too long", member, filepath.Base(file))
	}
	return text, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// get asks for an address; where names it in messages. It asks a second time after a token was refused, and after
// the server asked for a short pause. An answer of another status than 200 is an error unless it is one of ends.
func (c *client) get(ctx context.Context, u *url.URL, where string, ends ...int) (*answer, error) {
	for renewed, waited := false, false; ; {
		got, err := c.once(ctx, u, where)
		if err != nil || got.status == http.StatusOK || slices.Contains(ends, got.status) {
			return got, err
		}
		switch {
		case got.status == http.StatusUnauthorized && c.oauth != nil && !renewed:
			renewed = true
			c.oauth.drop()
		case busy(got.status) && got.pause >= 0 && got.pause <= maxWait && !waited:
			waited = true
			if err := wait(ctx, got.pause); err != nil {
				return nil, err
			}
		default:
			return nil, c.refusal(got, where)
		}
	}
}

// once asks once. An answer of another status than 200 has no body.
func (c *client) once(ctx context.Context, u *url.URL, where string) (*answer, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.limit, errSlow)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, connectors.Refused(connectors.FaultDefinition, nil, "%s: url cannot be used", where)
	}
	req.Header.Set("Accept", "application/json")
	token := c.token
	if c.oauth != nil {
		if token, err = c.oauth.get(limited); err != nil {
			return nil, err
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.signer != nil {
		c.signer.sign(req)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, mistaken(ctx, u, err, unreachable(limited, where, err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
		return &answer{status: res.StatusCode, pause: retryAfter(res.Header.Get("Retry-After"), time.Now())}, nil
	}
	if encoding := res.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") { // gzip is undone and taken away by net/http
		return nil, connectors.Refused(connectors.FaultAnswer, nil, "%s: the answer is compressed by %q, which was not asked for", where, encoding)
	}
	decoder, err := decoderOf(mediaCharset(res.Header.Get("Content-Type")))
	if err != nil {
		return nil, connectors.Refused(connectors.FaultAnswer, err, "%s: the Content-Type", where)
	}
	c.body.Reset()
	switch n, err := c.body.ReadFrom(io.LimitReader(res.Body, maxBody+1)); {
	case err != nil:
		return nil, unreachable(limited, where, err)
	case n > maxBody:
		return nil, connectors.Refused(connectors.FaultTooLarge, nil, "%s: the answer is larger than %d MiB; ask for fewer rows with size", where, maxBody>>20)
	}
	return &answer{status: res.StatusCode, body: c.body.Bytes(), decoder: decoder, links: res.Header.Values("Link")}, nil
}

// decoderOf returns the decoder of a character set as servers declare it.
func decoderOf(label string) (*charset.Decoder, error) {
	switch strings.ToLower(strings.TrimSpace(label)) {
	case "", "iso-8859-1", "latin1": // by habit, whatever they send
		return charset.New(charset.UTF8)
	}
	name, known := charset.OfLabel(label)
	if !known {
		name = label // for the message
	}
	return charset.New(name)
}

// mistaken names the server at the address of u if it is none for HTTP; otherwise it returns fault.
func mistaken(ctx context.Context, u *url.URL, err, fault error) error {
	var noTLS tls.RecordHeaderError
	if connectors.CodeOf(fault) != connectors.FaultUnreachable {
		return fault
	}
	// A server for HTTP with TLS may answer plain text in plain HTTP: it is asked only if it did not speak TLS.
	if u.Scheme == "https" && !errors.As(err, &noTLS) {
		return fault
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil || proxy != nil {
		return fault // what answers is the proxy's
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), u.Scheme) // services have names, too
	}
	return connectors.Mistaken(ctx, fault, address, connectors.AnswersHTTP, "http.url")
}

func busy(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// refusal says what an answer other than 200 means for the department.
func (c *client) refusal(a *answer, where string) error {
	status := fmt.Sprintf("HTTP status %d %s", a.status, http.StatusText(a.status))
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		hint := "the interface wants to know who asks; name a token_file, oauth2 or hmac"
		switch {
		case c.signer != nil:
			hint = "are key_id and secret right, and do both clocks agree?"
		case c.oauth != nil:
			hint = "does the client have the right to read?"
		case c.token != "":
			hint = "is the token in token_file still valid?"
		}
		return connectors.Refused(connectors.FaultCredentials, nil, "%s: %s; %s", where, status, hint)
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		return connectors.Refused(connectors.FaultTable, nil, "%s: %s; is the url right?", where, status)
	case busy(a.status) && a.pause >= 0:
		return connectors.Away(connectors.FaultBusy, nil, "%s: %s; it asks to be left alone for %s", where, status, a.pause.Round(time.Second))
	case busy(a.status):
		return connectors.Away(connectors.FaultBusy, nil, "%s: %s; it asks to be left alone", where, status)
	case a.status >= 300 && a.status < 400:
		return connectors.Refused(connectors.FaultAnswer, nil,
			"%s: %s; redirects are not followed, write the final address into url, or ask whether it leads to a login page", where, status)
	case a.status >= 500:
		return connectors.Away(connectors.FaultAnswer, nil, "%s: %s", where, status)
	default:
		return connectors.Refused(connectors.FaultAnswer, nil, "%s: %s", where, status)
	}
}

// retryAfter reads the header of that name: seconds, or a date. It is negative if there is none.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return -1
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// errSlow is the cause of a context that ended because a request took too long.
var errSlow = errors.New("it took longer than limits.query_time")

// unreachable says why there was no whole answer; ctx is that of the request.
func unreachable(ctx context.Context, where string, err error) error {
	var full *url.Error // repeats the URL with its query
	if errors.As(err, &full) {
		err = full.Err
	}
	var (
		untrusted x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		plain     tls.RecordHeaderError
		remote    *net.OpError
		lookup    *net.DNSError
	)
	refuse := func(text string) error {
		return connectors.Refused(connectors.FaultUnreachable, err, "%s: %s", where, text)
	}
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return connectors.Away(connectors.FaultSlow, nil, "%s: %s", where, errSlow)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &untrusted):
		return refuse("the certificate of the server is not issued by anybody whom this machine trusts; write the issuer's certificate into a file and name it as ca_file")
	case errors.As(err, &host):
		return refuse("the certificate of the server is not for this host name; write the name of the certificate into url")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refuse("the certificate of the server has expired, or is not valid yet; the department has to renew it (is the clock of this machine right?)")
	case errors.As(err, &invalid):
		return refuse("the certificate of the server cannot be used")
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		return refuse("the server does not speak TLS there; should the url begin with http:// ?")
	case errors.As(err, &remote) && remote.Op == "remote error":
		return refuse("the server ended the TLS handshake; does it want a client certificate, or an old version of TLS?")
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return refuse("there is no host of this name")
	}
	return connectors.Away(connectors.FaultUnreachable, err, "%s", where)
}
