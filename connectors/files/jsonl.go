package files

import (
	"bytes"
	"context"

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

func (j *jsonSyntax) head(_ context.Context, first row) extent {
	written := j.cfg.Charset
	if _, marked := trimBOM(first.bytes); marked {
		written = charset.UTF8
	}
	j.charset, j.failed = charset.New(written)
	j.parser = jsonrow.NewParser(j.columns)
	return nothing
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
