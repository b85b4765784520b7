package ofd

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// markup writes XML in OFD's namespace. Names and attribute names are ours;
// values are escaped.
type markup struct{ bytes.Buffer }

// root begins a part. Its attributes are pairs of name and value.
func (m *markup) root(name string, attrs ...string) {
	m.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	m.tag(name, append([]string{"xmlns:ofd", Namespace}, attrs...))
	m.WriteByte('>')
}

func (m *markup) tag(name string, attrs []string) {
	m.WriteString("<ofd:")
	m.WriteString(name)
	for i := 0; i < len(attrs); i += 2 {
		m.WriteByte(' ')
		m.WriteString(attrs[i])
		m.WriteString(`="`)
		m.escape(attrs[i+1])
		m.WriteByte('"')
	}
}

// open begins an element, close ends it.
func (m *markup) open(name string, attrs ...string) {
	m.tag(name, attrs)
	m.WriteByte('>')
}

func (m *markup) close(name string) {
	m.WriteString("</ofd:")
	m.WriteString(name)
	m.WriteByte('>')
}

// empty writes an element without content.
func (m *markup) empty(name string, attrs ...string) {
	m.tag(name, attrs)
	m.WriteString("/>")
}

// leaf writes an element with text.
func (m *markup) leaf(name, text string, attrs ...string) {
	m.open(name, attrs...)
	m.escape(text)
	m.close(name)
}

func (m *markup) escape(s string) {
	for len(s) > 0 {
		i := strings.IndexAny(s, "<>&\"\r\n\t")
		if i < 0 {
			break
		}
		m.WriteString(s[:i])
		m.WriteString("&#" + strconv.Itoa(int(s[i])) + ";")
		s = s[i+1:]
	}
	m.WriteString(s)
}

// writable tells whether s can stand in XML at all.
func writable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

// decimal writes a length to the thousandth of a millimetre: a printer's dot is
// forty times as wide.
func decimal(f float64) string {
	return strconv.FormatFloat(math.Round(f*1000)/1000+0, 'f', -1, 64)
}

func decimals(list ...float64) string {
	parts := make([]string, len(list))
	for i, f := range list {
		parts[i] = decimal(f)
	}
	return strings.Join(parts, " ")
}

func (b Box) String() string { return decimals(b.X, b.Y, b.Width, b.Height) }

func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }
