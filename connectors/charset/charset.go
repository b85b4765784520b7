// Package charset decodes the character sets of old systems without ever
// guessing: bytes that are not of the charset are reported, not replaced.
package charset

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/transform"
)

// The charsets, by the names that definitions use.
const (
	UTF8 = "utf-8"
	// GBK is code page 936, with 0x80 for the euro sign. Where the code page has private-use characters for
	// what Unicode took up later (A2E3, A6D9, A8BC, A989, FE50, FE59 and some 80 others), it gives, like
	// browsers, the characters of GB 18030-2022: the same name has the same characters from all sources.
	GBK = "gbk"
	// GB18030 is the edition of 2022.
	GB18030 = "gb18030"
	// Big5 has the extensions of ETEN and Hong Kong (HKSCS), as browsers read it.
	Big5 = "big5"
	// Latin1 is windows-1252, which is what MySQL calls latin1 and browsers read as ISO-8859-1: 0x80 is the euro
	// sign. The five bytes it does not define (81, 8D, 8F, 90, 9D) are invalid: they are signs of another charset.
	Latin1 = "latin1"
)

// Names lists the charsets.
func Names() []string { return []string{UTF8, GBK, GB18030, Big5, Latin1} }

// labels are what others call the charsets: the labels of the WHATWG Encoding Standard, and the names that
// Python, Java, MySQL and Windows have for the same. What is called GB 2312 is read as GBK, which contains it.
var labels = map[string][]string{
	UTF8: {"utf-8", "utf8", "utf_8", "utf-8-sig", "utf_8_sig", "utf8mb3", "utf8mb4", "cp65001", "unicode-1-1-utf-8", "us-ascii", "ascii"},
	GBK: {
		"gbk", "x-gbk", "gb2312", "gb_2312", "gb2312-80", "gb_2312-80", "csgb2312", "csiso58gb231280", "iso-ir-58", "chinese",
		"euc-cn", "euccn", "cp936", "ms936", "windows-936", "x-mswin-936", "936",
	},
	GB18030: {"gb18030", "gb-18030", "gb_18030", "gb18030-2000", "gb18030-2005", "gb18030-2022", "cp54936"},
	Big5:    {"big5", "big-5", "big5-hkscs", "big5hkscs", "big5_hkscs", "cn-big5", "csbig5", "x-x-big5", "cp950", "ms950", "windows-950"},
	Latin1: {
		"latin1", "latin-1", "l1", "iso-8859-1", "iso8859-1", "iso88591", "iso_8859-1", "iso_8859-1:1987", "iso-ir-100", "csisolatin1",
		"cp819", "ibm819", "windows-1252", "cp1252", "x-cp1252",
	},
}

// Labels lists what [OfLabel] knows, in order and in lower case.
func Labels() []string {
	var all []string
	for _, of := range labels {
		all = append(all, of...)
	}
	slices.Sort(all)
	return all
}

// OfLabel returns the charset that other systems call by a label, in definitions, XML declarations or media types.
// Upper and lower case, and spaces around it, make no difference.
func OfLabel(label string) (name string, known bool) {
	label = strings.ToLower(strings.TrimSpace(label))
	for name, of := range labels {
		if slices.Contains(of, label) {
			return name, true
		}
	}
	return "", false
}

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
		e = charmap.Windows1252
	default:
		return nil, fmt.Errorf("charset %q is not one of %s", name, strings.Join(Names(), ", "))
	}
	return &Decoder{name: name, decoder: e.NewDecoder()}, nil
}

// Name is the charset's name.
func (c *Decoder) Name() string { return c.name }

// Decode appends src in UTF-8 to dst. valid is false if src is not entirely of
// the charset, or holds U+FFFD, which stands for a character that somebody
// lost; the text then has U+FFFD in place of the invalid bytes and may be used
// to find out where fields end, but not as data.
func (c *Decoder) Decode(dst, src []byte) (text []byte, valid bool) {
	start := len(dst)
	switch {
	case c.decoder == nil:
		if utf8.Valid(src) {
			dst = append(dst, src...)
			break
		}
		return append(dst, bytes.ToValidUTF8(src, []byte(lost))...), false
	case c.own(src):
		dst = c.characters(dst, src)
	default:
		if dst = c.transform(dst, src); c.gb() && bytes.Contains(dst[start:], []byte(lost)) {
			dst = c.characters(dst[:start], src)
		}
	}
	return dst, !bytes.Contains(dst[start:], []byte(lost))
}

const lost = "\ufffd"

// transform decodes src as golang.org/x/text does, which replaces what it cannot decode.
func (c *Decoder) transform(dst, src []byte) []byte {
	for {
		c.decoder.Reset()
		// Three bytes of UTF-8 at most for one of GBK, if it is invalid.
		dst = grow(dst, 3*len(src)+utf8.UTFMax)
		n, _, err := c.decoder.Transform(dst[len(dst):cap(dst)], src, true)
		if err != transform.ErrShortDst { //nolint:errorlint // a transformer's own sentinel, never wrapped
			return dst[:len(dst)+n]
		}
		dst = grow(dst, 2*(cap(dst)-len(dst)))
	}
}

// PrivateUse returns the first character of a private-use area in text. Such
// characters are valid and kept: names with rare characters were often typed
// with them. What they stand for only their owner knows.
func PrivateUse(text string) (r rune, found bool) {
	for _, r := range text {
		if r >= 0xe000 && unicode.Is(unicode.Co, r) {
			return r, true
		}
	}
	return 0, false
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := make([]byte, len(b), len(b)+n)
	copy(grown, b)
	return grown
}
