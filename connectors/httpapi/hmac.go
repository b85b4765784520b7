package httpapi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/onewindow/onewindow/connectors"
)

// signer signs requests with a shared secret; doc.go has the text that is signed.
type signer struct {
	cfg    *connectors.HMAC
	secret []byte
	now    func() time.Time
}

func (s *signer) sign(req *http.Request) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails: crypto/rand aborts instead
	at := strconv.FormatInt(s.now().UnixMilli(), 10)
	text := signedText(s.hash(), req.Method, req.URL, at, hex.EncodeToString(nonce))
	req.Header.Set(s.cfg.KeyHeader, s.cfg.KeyID)
	req.Header.Set(s.cfg.TimeHeader, at)
	req.Header.Set(s.cfg.NonceHeader, hex.EncodeToString(nonce))
	req.Header.Set(s.cfg.SignatureHeader, s.signature(text))
}

func (s *signer) hash() func() hash.Hash {
	if s.cfg.Hash == "sm3" {
		return sm3.New
	}
	return sha256.New
}

// signedText is what is signed of a request without a body.
func signedText(newHash func() hash.Hash, method string, u *url.URL, at, nonce string) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	var parameters []string
	if u.RawQuery != "" {
		parameters = strings.Split(u.RawQuery, "&")
		slices.Sort(parameters)
	}
	return strings.Join([]string{
		method, path, strings.Join(parameters, "&"), at, nonce, hex.EncodeToString(newHash().Sum(nil)),
	}, "\n")
}

func (s *signer) signature(text string) string {
	mac := hmac.New(s.hash(), s.secret)
	mac.Write([]byte(text)) // a hash never fails
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
