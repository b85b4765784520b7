package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/jsonrow"
	"github.com/onewindow/onewindow/exchange"
)

// jsonSyntax is [syntax] for lines that are JSON objects; their members are the columns.
type jsonSyntax struct {
	*reading
	charset *charset.Decoder
	failed  error // there is no such charset
	parser  *jsonrow.Parser
}

func (j *jsonSyntax) head(_ context.Context, first row) (extent, error) {
	written := j.cfg.Charset
	if _, marked := trimBOM(first.bytes); marked {
		written = charset.UTF8
	}
	j.charset, j.failed = charset.New(written)
	j.parser = jsonrow.NewParser(j.columns)
	return nothing, nil
}

// foreign is why none of the first lines can be a row: none begins like an object that is broken, or has one of the columns.
func (j *jsonSyntax) foreign(ahead *lines) error {
	const most = 1000
	for n := range most {
		next, err := ahead.peek()
		if errors.Is(err, io.EOF) && n == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || next.long {
			return err
		}
		ahead.consume(next.size, func([]byte) {})
		raw, _ := trimBOM(bytes.TrimSpace(next.bytes))
		if len(raw) == 0 {
			continue
		}
		made, _ := j.row(next, nil, "")
		if made.Rejection != nil && raw[0] == '{' || slices.ContainsFunc(made.Values, func(v connectors.Value) bool { return !v.Null }) {
			return nil
		}
	}
	return broken("none of its first lines is a JSON object with one of %s; is it the message of an error?", quoteList(j.columns))
}

func (j *jsonSyntax) row(next row, _ []byte, origin string) (made connectors.Row, onlyFirst bool) {
	raw, _ := trimBOM(next.bytes)
	if j.failed != nil {
		return rejected(origin, raw, exchange.RuleEncoding, "", "%s", j.failed), false
	}
	if j.charset.Name() == charset.GB18030 {
		raw = bytes.TrimPrefix(raw, []byte("\x84\x31\x95\x33")) // its byte-order mark
	}
	return j.parser.Row(bytes.Clone(raw), j.charset, origin), false
}
