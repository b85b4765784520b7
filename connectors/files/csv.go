package files

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
)

// csvSyntax is [syntax] for fields between delimiters, with the names of the columns in the first row.
type csvSyntax struct {
	*reading
	charset *charset.Decoder
	header  header
	text    []byte   // of the row at hand
	fields  []string // of the row at hand
}

func (c *csvSyntax) head(ctx context.Context, first row) (extent, error) {
	unknown, err := c.readHeader(first)
	if err != nil {
		return nothing, err
	}
	c.header.told(ctx, c.reading, unknown)
	if c.header.width == 0 { // not taken apart; its quotes say nothing about where it ends
		return oneLine, nil
	}
	return allOfIt, nil
}

// readHeader finds the wanted columns and returns the names of the others.
func (c *csvSyntax) readHeader(first row) (unknown []string, err error) {
	text, marked := trimBOM(first.bytes)
	written := c.cfg.Charset
	if marked {
		written = charset.UTF8
	}
	if c.charset, err = charset.New(written); err != nil {
		c.header.reject(exchange.RuleEncoding, "", "%s", err)
		return nil, nil
	}
	decoded, valid := c.charset.Decode(nil, text)
	names, err := split(nil, strings.TrimPrefix(string(decoded), "\ufeff"), c.cfg.Delimiter)
	switch {
	case first.long || first.open || err != nil:
		c.header.reject(exchange.RuleMalformed, "", "the header of the file, its first line, cannot be taken apart")
		return nil, nil //nolint:nilerr // the rejection of each row has it
	case !valid:
		c.header.reject(exchange.RuleEncoding, "", "the header of the file is not %s; say in the definition in which charset the file is written", c.charset.Name())
		return nil, nil
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return c.header.find(names, c.columns)
}

// foreign is why a file without rows cannot be read.
func (c *csvSyntax) foreign(*lines) error { return c.header.fault() }

func (c *csvSyntax) row(next row, firstLine []byte, origin string) (made connectors.Row, onlyFirst bool) {
	if next.open {
		return rejected(origin, firstLine, exchange.RuleMalformed, "", "%s", errOpenQuote), true
	}
	if why := c.header.rejection; why != nil {
		return rejected(origin, next.bytes, why.Rule, why.Field, "%s", why.Detail), false
	}
	text, valid := c.charset.Decode(c.text[:0], next.bytes)
	c.text = text
	fields, err := split(c.fields[:0], string(text), c.cfg.Delimiter)
	c.fields = fields
	if err == nil && len(fields) != c.header.width {
		err = fmt.Errorf("the row has %d fields, the header %d", len(fields), c.header.width)
	}
	switch {
	case err != nil && !valid && next.lines == 1:
		return c.invalid(origin, firstLine, nil), true
	case err != nil:
		return rejected(origin, firstLine, exchange.RuleMalformed, "", "%s", err), true
	case !valid:
		return c.invalid(origin, next.bytes, fields), false
	}
	made = connectors.Row{Raw: bytes.Clone(next.bytes), Origin: origin, Values: make([]connectors.Value, len(c.header.indexes))}
	for i, index := range c.header.indexes {
		made.Values[i].Text = fields[index]
	}
	return made, false
}

// invalid rejects a row with bytes outside the charset; it names the first such column.
func (c *csvSyntax) invalid(origin string, raw []byte, fields []string) connectors.Row {
	field := ""
	if i := slices.IndexFunc(fields, func(f string) bool { return strings.Contains(f, "\ufffd") }); i >= 0 {
		field = c.header.names[i]
	}
	return rejected(origin, raw, exchange.RuleEncoding, field, "%s", notOf(c.charset))
}

// notOf is the detail of a row with bytes outside its charset.
func notOf(c *charset.Decoder) string {
	return fmt.Sprintf("the row holds bytes that are not %s, or characters that were lost before", c.Name())
}
