package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// rowHead is how much of a row that is too long is kept.
const rowHead = 64 << 10

// parsePage returns the rows of an answer: the elements of the array that is
// the member records of the object body, as their own bytes. Nothing but white
// space may follow the object.
func parsePage(body []byte, records string) ([]json.RawMessage, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '<' {
		return nil, errors.New("the answer is a web page instead of JSON; is it a login page, or is a proxy in between?")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var members map[string]json.RawMessage
	if err := decoder.Decode(&members); err != nil {
		return nil, fmt.Errorf("the answer is not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object of the answer")
	}
	list, ok := members[records]
	if !ok {
		return nil, fmt.Errorf("the answer has no member %q", records)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(list, &rows); err != nil || list[0] != '[' {
		return nil, fmt.Errorf("the member %q of the answer is not an array", records)
	}
	return rows, nil
}

// parseRow makes a row of one element.
func parseRow(raw json.RawMessage, columns []string, origin string) connectors.Row {
	row := connectors.Row{Raw: raw, Origin: origin}
	reject := func(rule, detail string) connectors.Row {
		row.Values = nil
		row.Rejection = &exchange.Rejection{Rule: rule, Detail: detail}
		return row
	}
	if len(raw) > connectors.MaxRowBytes {
		row.Raw = bytes.Clone(raw[:rowHead])
		return reject(exchange.RuleMalformed, fmt.Sprintf("the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, rowHead))
	}
	if !utf8.Valid(raw) {
		return reject(exchange.RuleEncoding, "the row holds bytes that are not UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return reject(exchange.RuleMalformed, "the row is not a JSON object")
	}
	row.Values = make([]connectors.Value, len(columns))
	for i, column := range columns {
		member, ok := members[column]
		if !ok || string(member) == "null" {
			row.Values[i].Null = true
			continue
		}
		if member[0] != '"' {
			row.Values[i].Text = string(member)
			continue
		}
		if err := json.Unmarshal(member, &row.Values[i].Text); err != nil {
			return reject(exchange.RuleMalformed, fmt.Sprintf("the member %q cannot be read", column))
		}
		if halfCharacter(member) {
			return reject(exchange.RuleEncoding, fmt.Sprintf("the member %q holds half a character", column))
		}
	}
	return row
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
