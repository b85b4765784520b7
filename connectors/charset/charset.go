// Package charset decodes the character sets of old systems without ever
// guessing: bytes that are not of the charset are reported, not replaced.
package charset

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/transform"
)

// The charsets, by the names that definitions use.
const (
	UTF8    = "utf-8"
	GBK     = "gbk"
	GB18030 = "gb18030"
	Big5    = "big5"
	Latin1  = "latin1"
)

// Names lists the charsets.
func Names() []string { return []string{UTF8, GBK, GB18030, Big5, Latin1} }

// Decoder decodes text to UTF-8. It is used by one goroutine.
type Decoder struct {
	name    string
	decoder *encoding.Decoder // nil for UTF-8
}

// New returns the decoder of a charset of [Names].
func New(name string) (*Decoder, error) {
	var e encoding.Encoding
	switch name {
	case UTF8:
		return &Decoder{name: UTF8}, nil
	case GBK:
		e = simplifiedchinese.GBK
	case GB18030:
		e = simplifiedchinese.GB18030
	case Big5:
		e = traditionalchinese.Big5
	case Latin1:
		e = charmap.ISO8859_1
	default:
		return nil, fmt.Errorf("charset %q is not one of %s", name, strings.Join(Names(), ", "))
	}
	return &Decoder{name: name, decoder: e.NewDecoder()}, nil
}

// Name is the charset's name.
func (c *Decoder) Name() string { return c.name }

// Decode appends src in UTF-8 to dst. valid is false if src is not entirely of
// the charset; the text then has U+FFFD in place of the invalid bytes and may
// be used to find out where fields end, but not as data.
func (c *Decoder) Decode(dst, src []byte) (text []byte, valid bool) {
	if c.decoder == nil {
		if utf8.Valid(src) {
			return append(dst, src...), true
		}
		return append(dst, bytes.ToValidUTF8(src, []byte("\ufffd"))...), false
	}
	valid = c.name != GB18030 || validFourByte(src)
	start := len(dst)
	for {
		c.decoder.Reset()
		// Three bytes of UTF-8 at most for one of GBK, if it is invalid.
		dst = grow(dst, 3*len(src)+utf8.UTFMax)
		n, _, err := c.decoder.Transform(dst[len(dst):cap(dst)], src, true)
		if err == transform.ErrShortDst { //nolint:errorlint // a transformer's own sentinel, never wrapped
			dst = grow(dst, 2*(cap(dst)-len(dst)))
			continue
		}
		dst = dst[:len(dst)+n]
		break
	}
	// The decoder replaces what it cannot decode. A U+FFFD that was in the
	// source is no better: it stands for a character that somebody lost.
	return dst, valid && !bytes.Contains(dst[start:], []byte("\ufffd"))
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := make([]byte, len(b), len(b)+n)
	copy(grown, b)
	return grown
}

// validFourByte says whether the second bytes of all four-byte sequences are
// digits, as GB 18030 demands; the decoder takes 0x3A to 0x3F for digits too
// and would give another character.
func validFourByte(src []byte) bool {
	for i := 0; i+1 < len(src); {
		switch lead, second := src[i], src[i+1]; {
		case lead < 0x81:
			i++
		case second >= 0x40:
			i += 2
		case second >= '0' && second <= '9':
			i += 4
		default:
			return false
		}
	}
	return true
}
