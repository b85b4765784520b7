package xmltree

import (
	"strconv"
	"strings"
)

// text gathers the character data of one element: mostly it is one piece, which
// then costs no copy.
type text struct {
	first string
	rest  strings.Builder
}

func (t *text) add(piece string) {
	if t.first == "" {
		t.first = piece
		return
	}
	t.rest.WriteString(piece)
}

// in returns the text of n. White space that only sets child elements apart is
// dropped: it says nothing and would fill memory.
func (t *text) in(n *Node) string {
	all := t.first
	if t.rest.Len() > 0 {
		all += t.rest.String()
	}
	if len(n.Nodes) > 0 && strings.TrimLeft(all, " \t\r\n") == "" {
		return ""
	}
	return all
}

func lineEnds(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// checkChars refuses characters outside XML 1.0 §2.2.
func checkChars(s string) error {
	for _, r := range s {
		if !isChar(r) {
			return syntax("character U+%04X", r)
		}
	}
	return nil
}

func isChar(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

// expand resolves references, and normalises line ends and, in attributes,
// white space (XML 1.0 §2.11, §3.3.3).
func expand(raw string, attribute bool) (string, error) {
	if err := checkChars(raw); err != nil {
		return "", err
	}
	raw = lineEnds(raw)
	if attribute && strings.ContainsAny(raw, "\t\n") {
		raw = strings.NewReplacer("\t", " ", "\n", " ").Replace(raw)
	}
	amp := strings.IndexByte(raw, '&')
	if amp < 0 {
		return raw, nil
	}
	var b strings.Builder
	for ; amp >= 0; amp = strings.IndexByte(raw, '&') {
		b.WriteString(raw[:amp])
		name, rest, found := strings.Cut(raw[amp+1:], ";")
		if !found {
			return "", syntax("a reference does not end")
		}
		r, err := reference(name)
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
		raw = rest
	}
	b.WriteString(raw)
	return b.String(), nil
}

func reference(name string) (rune, error) {
	switch name {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "apos":
		return '\'', nil
	case "quot":
		return '"', nil
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if len(digits) == len(name) {
		return 0, syntax("entity %.40q is not predefined", name)
	}
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	code, err := strconv.ParseUint(digits, base, 21)
	if err != nil || len(digits) > 8 || strings.ContainsAny(digits, "+_") || !isChar(rune(code)) {
		return 0, syntax("character reference %.40q", name)
	}
	return rune(code), nil
}
