package licenses

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onewindow/onewindow/exchange"
)

// The claims that every licence has, by their short names in GB/T 36903.
const (
	claimNumber     = "ZZBS"     // 证照标识
	claimIssuer     = "ZZBFJGDM" // 证照颁发机构代码
	claimHolder     = "CZZTDM"   // 持证主体代码
	claimHolderName = "CZZT"     // 持证主体
)

const (
	maxRequestID   = 128 // characters
	maxHolderName  = 200 // characters
	maxClaimsBytes = 32 << 10
)

// Request asks for one licence.
type Request struct {
	// RequestID is the caller's idempotency key, 1 to 128 characters, unique
	// within the department for ever.
	RequestID string
	// Type is a registered licence type code.
	Type string
	// Department is the code of the issuing department.
	Department string
	// Holder is a citizen number or USCC with a right check character.
	Holder, HolderName string
	// ValidFrom is the first moment of validity; zero means from now. Both are
	// cut to seconds.
	ValidFrom time.Time
	// ValidUntil is the first moment at which the licence is not valid any
	// more; zero means unlimited.
	ValidUntil time.Time
	// Claims is the face of the licence: the text of a JSON object of at most
	// 32 KiB and 100 members; nil means none.
	Claims []byte
}

// draft is a request that has passed the checks which need no database.
type draft struct {
	Request
	claims map[string]json.RawMessage
	digest []byte // of the content, for a repetition of the request id
}

// newDraft checks the form of a request; faults are [ErrInvalid].
func newDraft(q Request) (draft, error) {
	switch {
	case !plainText(q.RequestID, maxRequestID):
		return draft{}, fmt.Errorf("%w: the request id must have 1 to %d characters", ErrInvalid, maxRequestID)
	case !exchange.ValidCitizenNumber(q.Holder) && !exchange.ValidUSCC(q.Holder):
		return draft{}, fmt.Errorf("%w: the holder must be an 18-character citizen number or unified social credit code with a right check character", ErrInvalid)
	case !plainText(q.HolderName, maxHolderName):
		return draft{}, fmt.Errorf("%w: the holder's name must have 1 to %d characters", ErrInvalid, maxHolderName)
	}
	for name, t := range map[string]*time.Time{"valid_from": &q.ValidFrom, "valid_until": &q.ValidUntil} {
		if t.IsZero() {
			continue
		}
		if t.Unix() < 0 || t.UTC().Year() > 9999 {
			return draft{}, fmt.Errorf("%w: %s is outside the years 1970 to 9999", ErrInvalid, name)
		}
		*t = t.UTC().Truncate(time.Second)
	}
	if !q.ValidUntil.IsZero() && !q.ValidUntil.After(q.ValidFrom) {
		return draft{}, fmt.Errorf("%w: valid_until is not after valid_from", ErrInvalid)
	}
	claims, err := parseClaims(q.Claims)
	if err != nil {
		return draft{}, err
	}
	d := draft{Request: q, claims: claims}
	return d, d.sum()
}

// sum digests the content in a form that does not depend on the order of
// members or on white space.
func (d *draft) sum() error {
	content := struct {
		Type, Holder, HolderName string
		ValidFrom, ValidUntil    time.Time
		Claims                   map[string]any
	}{d.Type, d.Holder, d.HolderName, d.ValidFrom, d.ValidUntil, map[string]any{}}
	for name, raw := range d.claims {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return fmt.Errorf("%w: claim %q: %w", ErrInvalid, name, err)
		}
		content.Claims[name] = v
	}
	canonical, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("licenses: request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	d.digest = sum[:]
	return nil
}

// parseClaims reads the members of a JSON object. encoding/json would keep the
// last of two members of one name; here that is a fault. Nested values are
// checked so when they are signed.
func parseClaims(data []byte) (map[string]json.RawMessage, error) {
	if len(data) > maxClaimsBytes {
		return nil, fmt.Errorf("%w: claims of %d bytes, at most %d", ErrInvalid, len(data), maxClaimsBytes)
	}
	claims := map[string]json.RawMessage{}
	if data = bytes.TrimSpace(data); len(data) == 0 || string(data) == "null" {
		return claims, nil
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: the claims are not UTF-8", ErrInvalid)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("%w: the claims are not a JSON object", ErrInvalid)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: the claims are not a JSON object: %w", ErrInvalid, err)
		}
		name, _ := token.(string)
		if !claimNameForm(name) {
			return nil, fmt.Errorf("%w: claim name %.80q is reserved or malformed", ErrInvalid, name)
		}
		if _, twice := claims[name]; twice || len(claims) == maxClaims {
			return nil, fmt.Errorf("%w: claim %q is there twice, or is one of more than %d", ErrInvalid, name, maxClaims)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("%w: claim %q is not JSON: %w", ErrInvalid, name, err)
		}
		claims[name] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("%w: the claims are not a JSON object: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: there is something after the object of claims", ErrInvalid)
	}
	return claims, nil
}

// claimNameForm says whether a claim may have the name: those of the token
// format (RFC 7519, RFC 9901, SD-JWT VC) and those that issuing sets may not
// be given. sub, aud and jti are refused because they would change what a
// verifier makes of the token.
func claimNameForm(name string) bool {
	switch name {
	case "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "vct", "vct#integrity", "aka_vcts", "status",
		"_sd", "_sd_alg", "...", claimNumber, claimIssuer:
		return false
	}
	return !isHolderClaim(name) && plainText(name, maxClaimName)
}

// isHolderClaim says whether a claim comes from the request's holder, and is
// therefore disclosable in every type.
func isHolderClaim(name string) bool { return name == claimHolder || name == claimHolderName }

// plainText says whether s is text of 1 to limit characters, not all white
// space and without control characters, which PostgreSQL or a terminal would
// choke on.
func plainText(s string, limit int) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) != "" && utf8.RuneCountInString(s) <= limit &&
		!strings.ContainsFunc(s, unicode.IsControl)
}
