package ses

import (
	encasn1 "encoding/asn1"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of what is read. Every length is checked before anything is done with
// the bytes.
const (
	maxSeal        = 2 << 20
	maxPicture     = 1 << 20
	maxSignature   = maxSeal + maxToken + 64<<10
	maxToken       = 64 << 10 // a timestamp token with its certificates
	maxCertificate = 16 << 10
	maxListed      = 64 // certificates, digests or extensions in one list
	maxString      = 1024
	maxSize        = 1000 // mm
	maxNumber      = 65535
)

var (
	tagExplicit0 = asn1.Tag(0).ContextSpecific().Constructed()
	tagPrintable = asn1.PrintableString
)

// node reads the content of one SEQUENCE in DER, element by element. The first
// fault of a whole parse is kept in *fault; after it every reading is empty,
// so that a parser needs to look once, at its end. cryptobyte refuses
// indefinite and non-minimal lengths, long tags, padded integers and bit
// strings with unused bits.
type node struct {
	rest  cryptobyte.String
	path  string
	fault *error
}

func (n *node) fail(field, why string) {
	if *n.fault == nil {
		*n.fault = fmt.Errorf("%w: %s: %s", ErrMalformed, n.at(field), why)
	}
	n.rest = nil
}

func (n *node) at(field string) string {
	if n.path == "" {
		return field
	}
	return n.path + "." + field
}

func (n *node) more() bool { return *n.fault == nil && !n.rest.Empty() }

func (n *node) next(tag asn1.Tag) bool { return *n.fault == nil && n.rest.PeekASN1Tag(tag) }

// element reads one element of the tag, at most limit bytes of content, and
// returns the content and the whole element as slices of the input.
func (n *node) element(field string, tag asn1.Tag, limit int) (content cryptobyte.String, raw []byte) {
	if *n.fault != nil {
		return nil, nil
	}
	var whole cryptobyte.String
	if !n.rest.ReadASN1Element(&whole, tag) {
		n.fail(field, fmt.Sprintf("no DER element of tag 0x%02x", uint8(tag)))
		return nil, nil
	}
	raw = whole
	whole.ReadASN1(&content, tag) // has just been read once
	if len(content) > limit {
		n.fail(field, fmt.Sprintf("%d bytes, at most %d are accepted", len(content), limit))
		return nil, nil
	}
	return content, raw
}

func (n *node) sequence(field string) (inner *node, raw []byte) {
	return n.constructed(field, asn1.SEQUENCE)
}

func (n *node) constructed(field string, tag asn1.Tag) (inner *node, raw []byte) {
	content, raw := n.element(field, tag, maxSignature)
	return &node{rest: content, path: n.at(field), fault: n.fault}, raw
}

// end refuses what a later generation, or an attacker, added.
func (n *node) end() {
	if n.more() {
		n.fail("end", "bytes after the last field")
	}
}

func (n *node) integer(field string, least, most int64) int {
	_, raw := n.element(field, asn1.INTEGER, 8)
	var v int64
	element := cryptobyte.String(raw)
	if *n.fault == nil && (!element.ReadASN1Integer(&v) || v < least || v > most) {
		n.fail(field, fmt.Sprintf("not an INTEGER from %d to %d", least, most))
		return 0
	}
	return int(v)
}

func (n *node) octets(field string, limit int) (content, raw []byte) {
	content, raw = n.element(field, asn1.OCTET_STRING, limit)
	if *n.fault == nil && len(content) == 0 {
		n.fail(field, "empty")
	}
	return content, raw
}

func (n *node) bits(field string, limit int) []byte {
	_, raw := n.element(field, asn1.BIT_STRING, limit+1)
	var v []byte
	element := cryptobyte.String(raw)
	if *n.fault == nil && (!element.ReadASN1BitStringAsBytes(&v) || len(v) == 0) {
		n.fail(field, "not a BIT STRING of whole bytes")
	}
	return v
}

// bitsOrOctets is for the first generation, where some vendors write OCTET
// STRING for timeInfo and dataHash.
func (n *node) bitsOrOctets(field string, limit int) []byte {
	if n.next(asn1.OCTET_STRING) {
		content, _ := n.octets(field, limit)
		return content
	}
	return n.bits(field, limit)
}

func (n *node) oid(field string) (text string, raw []byte) {
	_, raw = n.element(field, asn1.OBJECT_IDENTIFIER, 64)
	var v encasn1.ObjectIdentifier
	element := cryptobyte.String(raw)
	if *n.fault == nil && !element.ReadASN1ObjectIdentifier(&v) {
		n.fail(field, "not an OBJECT IDENTIFIER")
	}
	return v.String(), raw
}

func (n *node) boolean(field string) bool {
	_, raw := n.element(field, asn1.BOOLEAN, 1)
	var v bool
	element := cryptobyte.String(raw)
	if *n.fault == nil && !element.ReadASN1Boolean(&v) {
		n.fail(field, "not a BOOLEAN")
	}
	return v
}

func (n *node) ia5(field string) string {
	return n.text(field, asn1.IA5String, unicode.MaxASCII)
}

func (n *node) printable(field string) string {
	return n.text(field, tagPrintable, unicode.MaxASCII)
}

func (n *node) utf8(field string) string {
	return n.text(field, asn1.UTF8String, unicode.MaxRune)
}

func (n *node) text(field string, tag asn1.Tag, most rune) string {
	content, _ := n.element(field, tag, maxString)
	s := string(content)
	if s != "" && !isText(s, most) {
		n.fail(field, "has a character that the type does not have, or a control character")
		return ""
	}
	return s
}

// isText refuses the empty text and, besides what the encoding refuses, control
// characters: these texts reach file names, logs and pages.
func isText(s string, most rune) bool {
	bad := func(r rune) bool { return r > most || unicode.IsControl(r) }
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, bad)
}

const (
	generalizedLayout = "20060102150405Z"
	utcLayout         = "060102150405Z"
)

func (n *node) generalizedTime(field string) time.Time {
	content, _ := n.element(field, asn1.GeneralizedTime, len(generalizedLayout))
	return n.parseTime(field, generalizedLayout, string(content))
}

// anyTime reads UTCTime, and GeneralizedTime where vendors of the first
// generation write that.
func (n *node) anyTime(field string) time.Time {
	if n.next(asn1.GeneralizedTime) {
		return n.generalizedTime(field)
	}
	content, _ := n.element(field, asn1.UTCTime, len(utcLayout))
	t := n.parseTime(field, utcLayout, string(content))
	if t.Year() >= 2050 { // X.509: two digits mean 1950 to 2049
		t = t.AddDate(-100, 0, 0)
	}
	return t
}

func (n *node) parseTime(field, layout, text string) time.Time {
	if *n.fault != nil {
		return time.Time{}
	}
	t, err := time.Parse(layout, text)
	if err != nil || t.Format(layout) != text || t.Year() < 1950 {
		n.fail(field, "not a time since 1950 in whole seconds of UTC")
		return time.Time{}
	}
	return t
}
