package sdjwt

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/onewindow/onewindow/signing"
)

const (
	// TokenType is the typ header of an SD-JWT VC.
	TokenType = "dc+sd-jwt" // #nosec G101 -- a media type, no secret
	// bindingType is the typ header of a key binding JWT (RFC 9901 §4.3).
	bindingType = "kb+jwt"

	sdMember      = "_sd"
	sdAlgMember   = "_sd_alg"
	elementMember = "..."
	sdAlgorithm   = "sha-256"

	// MaxToken is the longest token with its disclosures, in bytes.
	MaxToken = 256 << 10
	// MaxDisclosures is the largest number of disclosures in one token.
	MaxDisclosures = 1000
	// maxDepth bounds claims nested through disclosures in disclosures.
	maxDepth = 64
)

// StatusRef is where the status of a token is found (Token Status List,
// Referenced Token): an entry of the list at URI.
type StatusRef struct {
	URI   string
	Index int // from 0.
}

// alwaysVisible tells whether SD-JWT VC forbids the top-level claim to be
// selectively disclosable.
func alwaysVisible(name string) bool {
	switch name {
	case "iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status":
		return true
	}
	return false
}

// setByIssue tells whether Issue writes the claim from a field of Claims.
func setByIssue(name string) bool {
	switch name {
	case "iss", "vct", "iat", "nbf", "exp", "status", "cnf":
		return true
	}
	return reserved(name)
}

// reserved tells whether the name belongs to the SD-JWT format itself.
func reserved(name string) bool {
	return name == sdMember || name == sdAlgMember || name == elementMember
}

// holdsReserved finds a member with a reserved name anywhere in a value.
func holdsReserved(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if reserved(name) || holdsReserved(member) {
				return true
			}
		}
	case []any:
		for _, element := range v {
			if holdsReserved(element) {
				return true
			}
		}
	}
	return false
}

// requiredString reads a claim that must be a non-empty string.
func requiredString(claims map[string]any, name string) (string, error) {
	s, ok := claims[name].(string)
	if !ok || s == "" {
		return "", fmt.Errorf("%w: claim %s is not a non-empty string", signing.ErrMalformed, name)
	}
	return s, nil
}

// maxDate is the end of year 9999: later dates have no RFC 3339 form.
const maxDate = 253402300799

// numericDate reads a NumericDate (RFC 7519 §2), zero time if absent.
// Fractions of a second are cut off.
func numericDate(claims map[string]any, name string) (time.Time, error) {
	v, present := claims[name]
	if !present {
		return time.Time{}, nil
	}
	seconds := math.NaN()
	if n, ok := v.(json.Number); ok {
		if f, err := strconv.ParseFloat(n.String(), 64); err == nil {
			seconds = math.Floor(f)
		}
	}
	if !(seconds >= 0 && seconds <= maxDate) {
		return time.Time{}, fmt.Errorf("%w: claim %s is not a date in seconds since 1970", signing.ErrMalformed, name)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// statusRef reads status.status_list; nil if the token has none.
func statusRef(claims map[string]any) (*StatusRef, error) {
	v, present := claims["status"]
	if !present {
		return nil, nil // a token may do without
	}
	status, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: claim status is not an object", signing.ErrMalformed)
	}
	if v, present = status["status_list"]; !present {
		return nil, nil // another status mechanism
	}
	list, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: status_list is not an object", signing.ErrMalformed)
	}
	uri, err := requiredString(list, "uri")
	if err != nil {
		return nil, fmt.Errorf("status_list: %w", err)
	}
	n, _ := list["idx"].(json.Number)
	index, err := strconv.Atoi(n.String())
	if err != nil || index < 0 {
		return nil, fmt.Errorf("%w: status_list: idx is not an integer from 0", signing.ErrMalformed)
	}
	return &StatusRef{URI: uri, Index: index}, nil
}
