package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

const (
	maxTokenAnswer = 64 << 10
	// tokenMargin is how long before its end a token is no longer used; for short-lived ones a fifth of their life.
	tokenMargin = 30 * time.Second
)

// tokens gets bearer tokens by the client credentials grant.
type tokens struct {
	cfg    *connectors.OAuth2
	secret string
	http   *http.Client
	now    func() time.Time

	token   string
	renew   time.Time // zero: when it is refused
	inBody  bool      // the server wants id and secret in the body (RFC 6749 §2.3.1)
	decided bool
}

// get returns the token at hand, or a new one.
func (t *tokens) get(ctx context.Context) (string, error) {
	if t.token != "" && (t.renew.IsZero() || t.now().Before(t.renew)) {
		return t.token, nil
	}
	t.token = ""
	status, body, err := t.ask(ctx)
	if err != nil {
		return "", err
	}
	if !t.decided && (status == http.StatusUnauthorized || status == http.StatusBadRequest) {
		t.inBody = !t.inBody // many servers know only one of the two ways
		if status, body, err = t.ask(ctx); err != nil {
			return "", err
		}
	}
	var answer struct {
		Token   string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Expires json.RawMessage `json:"expires_in"` // a number, or by habit a text
		Error   string          `json:"error"`
	}
	malformed := json.Unmarshal(body, &answer)
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusBadRequest:
		return "", connectors.Refused(connectors.FaultCredentials, nil,
			"the token server %s does not accept client_id and secret_file (HTTP status %d%s)", t.where(), status, errorName(answer.Error))
	case status >= 500, status == http.StatusTooManyRequests:
		return "", connectors.Away(connectors.FaultBusy, nil, "the token server %s answers with HTTP status %d", t.where(), status)
	case status != http.StatusOK:
		return "", connectors.Refused(connectors.FaultAnswer, nil, "the token server %s answers with HTTP status %d; is token_url right?", t.where(), status)
	case malformed != nil:
		return "", connectors.Refused(connectors.FaultNotJSON, nil, "the token server %s does not answer with JSON; is token_url right?", t.where())
	case !usableToken(answer.Token) || answer.Type != "" && !strings.EqualFold(answer.Type, "bearer"):
		return "", connectors.Refused(connectors.FaultAnswer, nil, "the token server %s gives no bearer token%s", t.where(), errorName(answer.Error))
	}
	t.decided = true
	t.token, t.renew = answer.Token, time.Time{}
	if seconds, err := strconv.ParseInt(strings.Trim(string(answer.Expires), `"`), 10, 32); err == nil && seconds > 0 {
		life := time.Duration(seconds) * time.Second
		t.renew = t.now().Add(life - min(tokenMargin, life/5))
	}
	return t.token, nil
}

// drop forgets a token that was refused.
func (t *tokens) drop() { t.token = "" }

func (t *tokens) ask(ctx context.Context) (status int, body []byte, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(t.cfg.Scopes) > 0 {
		form.Set("scope", strings.Join(t.cfg.Scopes, " "))
	}
	if t.inBody {
		form.Set("client_id", t.cfg.ClientID)
		form.Set("client_secret", t.secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.cfg.TokenURL, strings.NewReader(form.Encode()))
	if err != nil || req.URL.Host == "" || req.URL.Scheme != "https" && req.URL.Scheme != "http" {
		return 0, nil, connectors.Refused(connectors.FaultDefinition, nil, "token_url must be an http:// or https:// URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if !t.inBody {
		req.SetBasicAuth(url.QueryEscape(t.cfg.ClientID), url.QueryEscape(t.secret))
	}
	res, err := t.http.Do(req)
	if err != nil {
		return 0, nil, unreachable(ctx, "the token server "+t.where(), err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxTokenAnswer+1))
	if err != nil {
		return 0, nil, unreachable(ctx, "the token server "+t.where(), err)
	}
	if len(body) > maxTokenAnswer {
		return 0, nil, connectors.Refused(connectors.FaultTooLarge, nil, "the token server %s answers with more than %d bytes", t.where(), maxTokenAnswer)
	}
	return res.StatusCode, body, nil
}

// where is the address without its query.
func (t *tokens) where() string {
	address, _, _ := strings.Cut(t.cfg.TokenURL, "?")
	return address
}

// errorName quotes the error code of RFC 6749 §5.2, which is one of a few words.
func errorName(name string) string {
	if name == "" || len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return ": " + name
}

func usableToken(token string) bool {
	return token != "" && len(token) <= maxTokenBytes && strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// mediaCharset is the charset parameter of a Content-Type, in lower case.
func mediaCharset(contentType string) string {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return strings.ToLower(parameters["charset"])
}
