// Package strict decodes the JSON and base64url of signed tokens so that a
// byte string has exactly one reading. encoding/json keeps the last of two
// members of one name and matches names without regard to case, and
// encoding/base64 accepts unused bits and line breaks: each is a way to let
// two verifiers see two different tokens under one signature.
package strict

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of objects and arrays that Decode accepts.
const MaxDepth = 32

// Decode reads one JSON value (RFC 8259). Objects become map[string]any,
// arrays []any, numbers json.Number, so that no digit is lost. It refuses
// invalid UTF-8, an object with two members of one name, half a surrogate
// pair, which parsers replace or keep as they like (RFC 7493 §2.1), nesting
// deeper than MaxDepth, and anything after the value.
func Decode(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("JSON is not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errors.New("not one JSON value")
	}
	s := scanner{data: data}
	return s.value(0)
}

// Object is Decode for a value that must be an object.
func Object(data []byte) (map[string]any, error) {
	v, err := Decode(data)
	if err != nil {
		return nil, err
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("JSON is not an object")
	}
	return obj, nil
}

// Encode writes v as compact JSON with sorted member names, and leaves <, >
// and & as they are: tokens are never pasted into HTML, and shorter is better.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Base64URL decodes base64url without padding (RFC 4648 §5, RFC 7515 §2) and
// accepts only the one encoding that EncodeBase64URL gives.
func Base64URL(s string) ([]byte, error) {
	// Strict refuses non-zero unused bits but still skips line breaks.
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return nil, errors.New("base64url contains a line break")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("not canonical base64url")
	}
	return b, nil
}

// EncodeBase64URL encodes b as base64url without padding.
func EncodeBase64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
