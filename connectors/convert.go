package connectors

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// maxNumberDigits bounds the text of a number, so that no reader of the
// payload has to cope with absurd precision.
const maxNumberDigits = 100

// appendNumber appends text as a JSON number of the same value and digits.
// Only what JSON does not allow is taken away: a plus sign, leading zeros, a
// point without digits beside it. Thousands separators are not guessed at.
// Integers have no fraction and no exponent; exponents have at most three digits.
func appendNumber(dst []byte, text string, decimal bool) ([]byte, bool) {
	if len(text) > maxNumberDigits {
		return dst, false
	}
	if text != "" && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			dst = append(dst, '-')
		}
		text = text[1:]
	}
	whole := digits(text)
	rest := text[whole:]
	fraction := 0
	if decimal && rest != "" && rest[0] == '.' {
		fraction = digits(rest[1:])
		rest = rest[1+fraction:]
	}
	if whole+fraction == 0 {
		return dst, false
	}
	exponent := rest
	if decimal && rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		rest = rest[1:]
		if rest != "" && (rest[0] == '-' || rest[0] == '+') {
			rest = rest[1:]
		}
		if n := digits(rest); n == 0 || n > 3 || n != len(rest) {
			return dst, false
		}
		rest = ""
	}
	if rest != "" {
		return dst, false
	}
	if integer := strings.TrimLeft(text[:whole], "0"); integer != "" {
		dst = append(dst, integer...)
	} else {
		dst = append(dst, '0')
	}
	if fraction > 0 {
		dst = append(dst, text[whole:whole+1+fraction]...)
	}
	return append(dst, exponent...), true
}

// digits counts the ASCII digits at the start of s.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// appendBytes appends the binary value of \x and hexadecimal digits, or of
// Base64, as a JSON string of Base64.
func appendBytes(dst []byte, text string) ([]byte, bool) {
	var value []byte
	var err error
	if digits, isHex := strings.CutPrefix(text, `\x`); isHex {
		value, err = hex.DecodeString(digits)
	} else {
		value, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return dst, false
	}
	dst = append(dst, '"')
	return append(base64.StdEncoding.AppendEncode(dst, value), '"'), true
}

func appendBoolean(dst []byte, text string) ([]byte, bool) {
	switch strings.ToLower(text) {
	case "true", "t", "1", "yes", "y", "是":
		return append(dst, "true"...), true
	case "false", "f", "0", "no", "n", "否":
		return append(dst, "false"...), true
	}
	return dst, false
}

// halfWidth replaces U+FF01 to U+FF5E by the ASCII characters 0x21 to 0x7E and
// the ideographic space by a space.
func halfWidth(text string) (string, bool) {
	wide := func(r rune) bool { return r >= '！' && r <= '～' || r == '\u3000' }
	if !strings.ContainsFunc(text, wide) {
		return text, false
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\u3000':
			return ' '
		case wide(r):
			return r - '！' + '!'
		}
		return r
	}, text), true
}

// appendJSONString appends valid UTF-8 as a JSON string (RFC 8259). It escapes
// what must be escaped and nothing else: the bytes are part of record ids, so
// they must not depend on the version of a library.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// RawJSON appends a row as a JSON object of texts and nulls, in the order of
// columns: the raw form of rows that come from a database. Bytes that are not
// UTF-8 are written as U+FFFD, since JSON has no other way; the row is
// rejected for them all the same.
func RawJSON(dst []byte, columns []string, values []Value) []byte {
	dst = append(dst, '{')
	for i, column := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, column), ':')
		switch text := values[i].Text; {
		case values[i].Null:
			dst = append(dst, "null"...)
		case utf8.ValidString(text):
			dst = appendJSONString(dst, text)
		default:
			dst = appendJSONString(dst, strings.ToValidUTF8(text, "\ufffd"))
		}
	}
	return append(dst, '}')
}
