package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
)

// ctrlZ may end a file that was written under DOS.
const ctrlZ = 0x1a

// reading is one file under way.
type reading struct {
	file    *os.File
	name    string
	state   fileState
	cfg     *connectors.Files
	columns []string

	charset *charset.Decoder
	header  header
	lines   *lines
	hash    hash.Hash
	offset  int64
	line    int64

	text   []byte   // of the row at hand
	fields []string // of the row at hand
}

// header says where the wanted columns are, or why no row of the file can be read.
type header struct {
	width     int
	names     []string
	indexes   []int // of the wanted columns
	rejection *exchange.Rejection
}

func newReading(file *os.File, name string, state fileState, cfg *connectors.Files, columns []string) *reading {
	return &reading{file: file, name: name, state: state, cfg: cfg, columns: columns, hash: sha256.New()}
}

func (r *reading) position() position {
	return position{File: r.name, Offset: r.offset, Line: r.line, SHA256: hex.EncodeToString(r.hash.Sum(nil))}
}

func (r *reading) broken(err error) error {
	return fmt.Errorf("%w: file %q: %w", connectors.ErrNotConnected, r.name, err)
}

// verify hashes the part of the file before a position and says whether it is what was read.
func (r *reading) verify(ctx context.Context, at position) (bool, error) {
	if r.state.size < at.Offset {
		return false, nil
	}
	h := sha256.New()
	for done := int64(0); done < at.Offset; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := io.Copy(h, io.NewSectionReader(r.file, done, min(64<<20, at.Offset-done)))
		if err != nil {
			return false, r.broken(err)
		}
		if n == 0 {
			return false, nil
		}
		done += n
	}
	if hex.EncodeToString(h.Sum(nil)) != at.SHA256 {
		return false, nil
	}
	r.hash = h
	return true, nil
}

// start reads the header and goes to the position.
func (r *reading) start(ctx context.Context, at position, log *slog.Logger) error {
	r.lines = &lines{r: io.NewSectionReader(r.file, 0, r.state.size)}
	first, err := r.lines.peek()
	switch {
	case errors.Is(err, io.EOF): // an empty file
	case err != nil:
		return r.broken(err)
	default:
		unknown := r.readHeader(first)
		if r.header.rejection != nil {
			log.WarnContext(ctx, "no row of the file can be read", slog.String("file", r.name), slog.String("reason", r.header.rejection.Detail))
		} else if len(unknown) > 0 {
			log.WarnContext(ctx, "file has columns that the definition does not know", slog.String("file", r.name), slog.Any("columns", unknown))
		}
	}
	if at.Offset > 0 {
		r.offset, r.line = at.Offset, at.Line
		r.lines = &lines{r: io.NewSectionReader(r.file, at.Offset, r.state.size-at.Offset)}
		return nil
	}
	switch {
	case first.long:
		return r.skipLong()
	case r.header.width == 0: // not taken apart; its quotes say nothing about where it ends
		r.consume(first.first, min(1, first.lines))
	default:
		r.consume(first.size, first.lines)
	}
	return nil
}

// readHeader finds the wanted columns and returns the names of the others.
func (r *reading) readHeader(first row) (unknown []string) {
	text := bytes.TrimPrefix(first.bytes, []byte("\xef\xbb\xbf"))
	reject := func(rule, field, format string, args ...any) {
		r.header.rejection = &exchange.Rejection{Rule: rule, Field: field, Detail: fmt.Sprintf(format, args...)}
	}
	written := r.cfg.Charset
	if len(text) < len(first.bytes) {
		written = charset.UTF8
	}
	var err error
	if r.charset, err = charset.New(written); err != nil {
		reject(exchange.RuleEncoding, "", "%s", err)
		return nil
	}
	decoded, valid := r.charset.Decode(nil, text)
	names, err := split(nil, strings.TrimPrefix(string(decoded), "\ufeff"), r.cfg.Delimiter)
	switch {
	case first.long || first.open || err != nil:
		reject(exchange.RuleMalformed, "", "the header of the file, its first line, cannot be taken apart")
		return nil
	case !valid:
		reject(exchange.RuleEncoding, "", "the header of the file is not %s; say in the definition in which charset the file is written", r.charset.Name())
		return nil
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	r.header.width, r.header.names = len(names), names
	var missing, double []string
	for _, column := range r.columns {
		i := slices.Index(names, column)
		switch {
		case i < 0:
			missing = append(missing, column)
		case slices.Contains(names[i+1:], column):
			double = append(double, column)
		}
		r.header.indexes = append(r.header.indexes, i)
	}
	switch {
	case len(missing) > 0:
		reject(exchange.RuleColumn, missing[0], "the file has no column %s; it has %s", quoteList(missing), quoteList(names))
	case len(double) > 0:
		reject(exchange.RuleColumn, double[0], "the file has the column %s twice", quoteList(double))
	}
	for _, name := range names {
		if !slices.Contains(r.columns, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// quoteList names columns in a message, at most 40 of them.
func quoteList(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i == 40 {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(name))
	}
	return b.String()
}

func (r *reading) consume(n, lines int) {
	r.lines.consume(n, r.hashed)
	r.offset += int64(n)
	r.line += int64(lines)
}

func (r *reading) hashed(b []byte) { r.hash.Write(b) }

// skipLong consumes a line that is longer than a row may be.
func (r *reading) skipLong() error {
	n, err := r.lines.skipLine(r.hashed)
	if err != nil {
		return r.broken(err)
	}
	r.offset += n
	r.line++
	return nil
}

// batch returns up to limit rows, and no more once they have size bytes; end says that the file is read.
func (r *reading) batch(ctx context.Context, limit, size int) (rows []connectors.Row, end bool, err error) {
	for len(rows) < limit && size > 0 {
		if len(rows)%512 == 0 && ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		next, err := r.lines.peek()
		if errors.Is(err, io.EOF) {
			if r.offset != r.state.size {
				return nil, false, r.broken(fmt.Errorf("it became shorter while it was read (%d of %d bytes)", r.offset, r.state.size))
			}
			return rows, true, nil
		}
		if err != nil {
			return nil, false, r.broken(err)
		}
		if !next.long && (len(next.bytes) == 0 || len(next.bytes) == 1 && next.bytes[0] == ctrlZ) {
			r.consume(next.size, next.lines)
			continue
		}
		made, err := r.row(next)
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, made)
		size -= len(made.Raw)
	}
	return rows, false, nil
}

// row makes a row of what peek has shown, and consumes it: as a whole, or its
// first line if it cannot be taken apart.
func (r *reading) row(next row) (connectors.Row, error) {
	made := connectors.Row{Origin: r.name + ":" + strconv.FormatInt(r.line+1, 10)}
	reject := func(rule, field, format string, args ...any) {
		made.Rejection = &exchange.Rejection{Rule: rule, Field: field, Detail: fmt.Sprintf(format, args...)}
	}
	if next.long {
		made.Raw = bytes.Clone(next.bytes)
		reject(exchange.RuleMalformed, "", "the line is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, longRowHead)
		return made, r.skipLong()
	}
	firstLine := func() {
		made.Raw = bytes.Clone(trimLineEnd(r.lines.buf[r.lines.start : r.lines.start+next.first]))
		r.consume(next.first, 1)
	}
	if next.open {
		reject(exchange.RuleMalformed, "", "%s", errOpenQuote)
		firstLine()
		return made, nil
	}
	if r.header.rejection != nil {
		reject(r.header.rejection.Rule, r.header.rejection.Field, "%s", r.header.rejection.Detail)
		made.Raw = bytes.Clone(next.bytes)
		r.consume(next.size, next.lines)
		return made, nil
	}
	text, valid := r.charset.Decode(r.text[:0], next.bytes)
	r.text = text
	fields, err := split(r.fields[:0], string(text), r.cfg.Delimiter)
	r.fields = fields
	if err == nil && len(fields) != r.header.width {
		err = fmt.Errorf("the row has %d fields, the header %d", len(fields), r.header.width)
	}
	if err != nil {
		reject(exchange.RuleMalformed, "", "%s", err)
		if !valid && next.lines == 1 {
			made.Rejection = r.invalid(nil)
		}
		firstLine()
		return made, nil
	}
	made.Raw = bytes.Clone(next.bytes)
	r.consume(next.size, next.lines)
	if !valid {
		made.Rejection = r.invalid(fields)
		return made, nil
	}
	made.Values = make([]connectors.Value, len(r.header.indexes))
	for i, index := range r.header.indexes {
		made.Values[i].Text = fields[index]
	}
	return made, nil
}

// invalid is the rejection of a row with bytes outside the charset; it names the first such column.
func (r *reading) invalid(fields []string) *exchange.Rejection {
	field := ""
	if i := slices.IndexFunc(fields, func(f string) bool { return strings.Contains(f, "\ufffd") }); i >= 0 {
		field = r.header.names[i]
	}
	return &exchange.Rejection{
		Rule: exchange.RuleEncoding, Field: field,
		Detail: fmt.Sprintf("the row holds bytes that are not %s, or characters that were lost before", r.charset.Name()),
	}
}
