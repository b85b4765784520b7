package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
)

// jsonSyntax is [syntax] for lines that are JSON objects; their members are the columns.
type jsonSyntax struct {
	*reading
	charset *charset.Decoder
	failed  error // there is no such charset
	text    []byte
}

func (j *jsonSyntax) head(_ context.Context, first row) extent {
	written := j.cfg.Charset
	if _, marked := trimBOM(first.bytes); marked {
		written = charset.UTF8
	}
	j.charset, j.failed = charset.New(written)
	return nothing
}

func (j *jsonSyntax) row(next row, _ []byte, origin string) (made connectors.Row, onlyFirst bool) {
	raw, _ := trimBOM(next.bytes)
	if j.failed != nil {
		return rejected(origin, raw, exchange.RuleEncoding, "", "%s", j.failed), false
	}
	text, valid := j.charset.Decode(j.text[:0], raw)
	j.text = text
	if !valid {
		return rejected(origin, raw, exchange.RuleEncoding, "", "%s", notOf(j.charset)), false
	}
	values, field, err := members(bytes.TrimPrefix(text, []byte("\ufeff")), j.columns)
	switch {
	case errors.Is(err, errHalf):
		return rejected(origin, raw, exchange.RuleEncoding, field, "%s", err), false
	case err != nil:
		return rejected(origin, raw, exchange.RuleMalformed, field, "%s", err), false
	}
	return connectors.Row{Raw: bytes.Clone(raw), Origin: origin, Values: values}, false
}

// errHalf is half of a character that is written as an escape ("\ud83d"), or one that was lost before.
var errHalf = errors.New("a text holds half a character, or one that was lost before")

// members returns the texts of the wanted members of a JSON object: numbers
// with all their digits, objects and arrays as JSON. Absent members are null.
// field is the member that err is about.
func members(object []byte, wanted []string) (values []connectors.Value, field string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, "", errors.New("the line is not a JSON object")
	}
	values = make([]connectors.Value, len(wanted))
	seen := make([]bool, len(wanted))
	for i := range values {
		values[i].Null = true
	}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, "", errors.New("the line is not a JSON object")
		}
		var member json.RawMessage
		if err := decoder.Decode(&member); err != nil {
			return nil, "", fmt.Errorf("the member %.100q cannot be read", name)
		}
		i := slices.Index(wanted, name)
		switch {
		case i < 0:
			continue
		case seen[i]:
			return nil, wanted[i], fmt.Errorf("the line has the member %q twice", wanted[i])
		}
		if seen[i] = true; string(member) == "null" {
			continue
		}
		if values[i], err = memberValue(member); err != nil {
			return nil, wanted[i], err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, "", errors.New("the object does not end")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, "", errors.New("something stands behind the object")
	}
	return values, "", nil
}

func memberValue(member json.RawMessage) (connectors.Value, error) {
	if member[0] != '"' {
		return connectors.Value{Text: string(member)}, nil
	}
	var text string
	if err := json.Unmarshal(member, &text); err != nil {
		return connectors.Value{}, err
	}
	if strings.Contains(text, "\ufffd") {
		return connectors.Value{}, errHalf
	}
	return connectors.Value{Text: text}, nil
}
