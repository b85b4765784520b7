package files

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var (
	errBareQuote  = errors.New("a quote stands inside a field that is not quoted")
	errAfterQuote = errors.New("something stands between the closing quote of a field and the delimiter")
	errOpenQuote  = errors.New("a quote is not closed")
)

// split appends the fields of a row to fields, as encoding/csv reads them:
// quotes only around a whole field and doubled within, CR LF within quotes
// becomes LF.
func split(fields []string, text string, delimiter rune) ([]string, error) {
	width := utf8.RuneLen(delimiter)
	for {
		if text == "" || text[0] != '"' {
			i := strings.IndexRune(text, delimiter)
			field := text
			if i >= 0 {
				field = text[:i]
			}
			if strings.IndexByte(field, '"') >= 0 {
				return fields, errBareQuote
			}
			fields = append(fields, field)
			if i < 0 {
				return fields, nil
			}
			text = text[i+width:]
			continue
		}
		field, rest, err := quoted(text[1:])
		if err != nil {
			return fields, err
		}
		fields = append(fields, field)
		if rest == "" {
			return fields, nil
		}
		if !strings.HasPrefix(rest, string(delimiter)) {
			return fields, errAfterQuote
		}
		text = rest[width:]
	}
}

// quoted reads up to the closing quote.
func quoted(text string) (field, rest string, err error) {
	end := 0
	doubled := false
	for {
		i := strings.IndexByte(text[end:], '"')
		if i < 0 {
			return "", "", errOpenQuote
		}
		end += i
		if !strings.HasPrefix(text[end:], `""`) {
			break
		}
		doubled = true
		end += 2
	}
	field = text[:end]
	if doubled {
		field = strings.ReplaceAll(field, `""`, `"`)
	}
	return strings.ReplaceAll(field, "\r\n", "\n"), text[end+1:], nil
}
