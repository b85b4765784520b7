package jsonrow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
)

// Parser makes rows of JSON objects. It is used by one goroutine.
type Parser struct {
	columns []string
	index   map[string]int
	text    []byte // room for decoding
}

// NewParser returns a parser of rows whose values are those of columns, in order.
func NewParser(columns []string) *Parser {
	p := &Parser{columns: columns, index: make(map[string]int, len(columns))}
	for i, column := range columns {
		p.index[column] = i
	}
	return p
}

// Row reads one object, in the character set of decoder. The row keeps raw, or
// its head if it is too long.
func (p *Parser) Row(raw []byte, decoder *charset.Decoder, origin string) connectors.Row {
	row := connectors.Row{Raw: raw, Origin: origin}
	if len(raw) > connectors.MaxRowBytes {
		row.Raw = bytes.Clone(raw[:connectors.RowHead])
		row.Rejection = reject(exchange.RuleMalformed, "the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead)
		return row
	}
	text, valid := raw, utf8.Valid(raw) && !bytes.Contains(raw, []byte("\ufffd"))
	if decoder.Name() != charset.UTF8 {
		p.text, valid = decoder.Decode(p.text[:0], raw)
		text = p.text
	}
	if !valid {
		row.Rejection = reject(exchange.RuleEncoding, "the row holds bytes that are not of the character set %s, or characters that were lost before", decoder.Name())
		return row
	}
	row.Values, row.Rejection = p.values(text)
	return row
}

func reject(rule, format string, args ...any) *exchange.Rejection {
	return &exchange.Rejection{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// values reads the columns of an object in valid UTF-8.
func (p *Parser) values(text []byte) ([]connectors.Value, *exchange.Rejection) {
	start := space(text, 0)
	if start == len(text) || text[start] != '{' || !json.Valid(text) {
		return nil, reject(exchange.RuleMalformed, "the row is not a JSON object")
	}
	values := make([]connectors.Value, len(p.columns))
	for i := range values {
		values[i].Null = true
	}
	seen := make([]bool, len(p.columns))
	for m := range members(text, start) {
		i, ok := p.column(text[m.name:m.nameEnd])
		if !ok {
			continue
		}
		if seen[i] {
			why := reject(exchange.RuleMalformed, "the row has the member %s twice", text[m.name:m.nameEnd])
			why.Field = p.columns[i]
			return nil, why
		}
		seen[i] = true
		value, known := scalar(text[m.value:m.end])
		if !known {
			why := reject(exchange.RuleEncoding, "the member %s holds half a character, or one that was lost before", text[m.name:m.nameEnd])
			why.Field = p.columns[i]
			return nil, why
		}
		values[i] = value
	}
	return values, nil
}

// column finds the column of a member's name, a JSON string.
func (p *Parser) column(name []byte) (int, bool) {
	if bytes.IndexByte(name, '\\') < 0 {
		i, ok := p.index[string(name[1:len(name)-1])]
		return i, ok
	}
	var text string
	if json.Unmarshal(name, &text) != nil {
		return 0, false
	}
	i, ok := p.index[text]
	return i, ok
}

// scalar is the value of a JSON text: what a string says, nothing for null, the text itself for
// everything else. It is not ok if a string escapes half of a character, or one that was lost before (U+FFFD).
func scalar(text []byte) (v connectors.Value, ok bool) {
	switch {
	case string(text) == "null":
		return connectors.Value{Null: true}, true
	case text[0] != '"':
		return connectors.Value{Text: string(text)}, true
	case bytes.IndexByte(text, '\\') < 0:
		return connectors.Value{Text: string(text[1 : len(text)-1])}, true
	}
	if halfCharacter(text) || json.Unmarshal(text, &v.Text) != nil || strings.Contains(v.Text, "\ufffd") {
		return connectors.Value{}, false
	}
	return v, true
}

// halfCharacter says whether a JSON string escapes one half of a surrogate
// pair without the other, which would be decoded as U+FFFD.
func halfCharacter(text []byte) bool {
	escaped := func(b []byte) rune {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := bytes.IndexByte(text, '\\'); i >= 0 && i < len(text); {
		switch r := escaped(text[i:]); {
		case r < 0:
			i += 2
		case !utf16.IsSurrogate(r):
			i += 6
		case utf16.DecodeRune(r, escaped(text[i+6:])) != utf8.RuneError:
			i += 12
		default:
			return true
		}
		next := bytes.IndexByte(text[min(i, len(text)):], '\\')
		if next < 0 {
			return false
		}
		i += next
	}
	return false
}
