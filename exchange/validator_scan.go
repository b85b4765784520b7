package exchange

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scannedText is a string of JSON text, without its quotes.
type scannedText struct {
	text    []byte
	escapes int // of two bytes each, for one character
	escaped bool
	wide    bool // not only ASCII
}

// scanText takes a string of valid UTF-8 without \u from the front of text.
func scanText(text []byte) (s scannedText, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return s, nil, false
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			s.text = text[1:i]
			s.escaped = s.escapes > 0
			return s, text[i+1:], !s.wide || utf8.Valid(s.text)
		case c == '\\':
			i++
			if i == len(text) || strings.IndexByte(`"\/bfnrt`, text[i]) < 0 {
				return s, nil, false
			}
			s.escapes++
		case c < ' ':
			return s, nil, false
		case c >= utf8.RuneSelf:
			s.wide = true
		}
	}
	return s, nil, false
}

// runes counts the characters; the text is valid UTF-8.
func (s scannedText) runes() int {
	n := len(s.text) - s.escapes
	if !s.wide {
		return n
	}
	for _, c := range s.text {
		if !utf8.RuneStart(c) {
			n--
		}
	}
	return n
}

// halfCharacter says whether JSON text escapes one half of a surrogate pair without the other.
func halfCharacter(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		text = text[i:]
		switch r := escapedUnit(text); {
		case r < 0:
			text = text[min(2, len(text)):]
		case !utf16.IsSurrogate(r):
			text = text[6:]
		case utf16.DecodeRune(r, escapedUnit(text[6:])) != utf8.RuneError:
			text = text[12:]
		default:
			return true
		}
	}
}

// escapedUnit is the UTF-16 unit of \uXXXX at the front of text, or -1.
func escapedUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// decimal is a number without exponent.
type decimal struct {
	negative bool
	whole    []byte // without leading zeros
	fraction []byte // nil if there is none
}

// scanDecimal takes a JSON number without exponent from the front of text.
func scanDecimal(text []byte) (d decimal, rest []byte, ok bool) {
	rest = text
	if len(rest) > 0 && rest[0] == '-' {
		d.negative = true
		rest = rest[1:]
	}
	n := leadingDigits(rest)
	if n == 0 || n > 1 && rest[0] == '0' {
		return d, nil, false
	}
	d.whole, rest = rest[:n], rest[n:]
	if d.whole[0] == '0' {
		d.whole = nil
	}
	if len(rest) > 0 && rest[0] == '.' {
		n = leadingDigits(rest[1:])
		if n == 0 {
			return d, nil, false
		}
		d.fraction, rest = rest[1:1+n], rest[1+n:]
	}
	return d, rest, len(rest) == 0 || rest[0] != 'e' && rest[0] != 'E'
}

func leadingDigits(text []byte) int {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}

// bound returns the limit that a schema gives.
func bound(value any) (*decimal, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return nil, false
	}
	d, rest, ok := scanDecimal([]byte(number))
	return &d, ok && len(rest) == 0
}

// compare returns -1, 0 or +1, as d is less than, equal to or greater than o.
func (d decimal) compare(o decimal) int {
	sign := 1
	switch dn, on := d.negative && !d.zero(), o.negative && !o.zero(); {
	case dn && !on:
		return -1
	case on && !dn:
		return 1
	case dn:
		sign = -1
	}
	if len(d.whole) != len(o.whole) {
		if len(d.whole) < len(o.whole) {
			return -sign
		}
		return sign
	}
	if c := slices.Compare(d.whole, o.whole); c != 0 {
		return c * sign
	}
	return sign * slices.Compare(trimZeros(d.fraction), trimZeros(o.fraction))
}

func (d decimal) zero() bool { return len(d.whole) == 0 && len(trimZeros(d.fraction)) == 0 }

// trimZeros takes away the zeros at the end of a fraction.
func trimZeros(fraction []byte) []byte {
	for len(fraction) > 0 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return fraction
}
