package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// content is a file that is taken apart: the rows of one format.
type content interface {
	// next returns the next row and goes behind it; io.EOF behind the last.
	// [errFormat] errors say that the file is not of its format, others that it cannot be read.
	next() (connectors.Row, error)
	// place is where next goes on.
	place() place
	// none reports, of content opened at its beginning, that there is no row in it.
	none() bool
}

// place is a place in a file, as a position keeps it.
type place struct {
	// Offset is the number of bytes that SHA256 covers: those of the rows read,
	// or all of a file that is read as a whole.
	Offset int64 `json:"offset"`
	// Line counts the lines read, or the rows of a file that is read as a whole.
	Line   int64  `json:"line"`
	SHA256 string `json:"sha256"`
	// End says that a file that is read as a whole has no more rows.
	End bool `json:"end,omitempty"`
}

// grows says whether files of a format may be added to: these are lines, and
// read on where they ended. The others are read as a whole.
func grows(format string) bool {
	return format != connectors.FormatExcel && format != connectors.FormatDBF && format != connectors.FormatXML
}

// formatError says that a file is not of its format.
type formatError struct {
	code connectors.FaultCode
	// short says that the file may be whole once more of it has come.
	short bool
	text  string
}

func (e *formatError) Error() string { return e.text }

// broken, short, tooLarge and forbidden are what can be wrong with a file as a whole.
func broken(format string, args ...any) error {
	return &formatError{code: connectors.FaultBroken, text: fmt.Sprintf(format, args...)}
}

func short(format string, args ...any) error {
	return &formatError{code: connectors.FaultBroken, short: true, text: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &formatError{code: connectors.FaultTooLarge, text: fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error {
	return &formatError{code: connectors.FaultForbidden, text: fmt.Sprintf(format, args...)}
}

// looksLike says what a file is that does not begin as its format does; empty if that cannot be told.
func looksLike(head []byte) string {
	trimmed := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))))
	starts := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return bytes.HasPrefix(trimmed, []byte(p)) })
	}
	switch {
	case starts("<!doctype html", "<html"):
		return "a web page (HTML)"
	case starts("<?xml"):
		return "XML"
	case starts("pk\x03\x04"):
		return "a zip archive, as .xlsx files are"
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		return "an Excel file of the old kind (.xls), or one with a password"
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return "text in UTF-16; save it as UTF-8"
	case starts("%pdf"):
		return "a PDF document"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "compressed (gzip)"
	}
	return ""
}

// medium remembers the error of the disk or the network, so that it is not
// taken for a fault of what the file holds.
type medium struct {
	io.ReaderAt
	err error
}

func (m *medium) ReadAt(b []byte, offset int64) (int, error) {
	n, err := m.ReaderAt.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// rowReader reads the rows of a file that is read as a whole.
type rowReader interface {
	next() (connectors.Row, error)
}

// whole is the [content] of a file that is read as a whole.
type whole struct {
	medium *medium
	rows   rowReader
	at     place
	empty  bool
}

// openWhole opens a file whose bytes have a hash, behind at.Line rows. A file that
// nobody has seen before is read once without giving rows, so that a file
// that turns out to be broken gives none.
func openWhole(ctx context.Context, in io.ReaderAt, size int64, hash string, r *reading, at place) (*whole, error) {
	w := &whole{medium: &medium{ReaderAt: in}, at: place{Offset: size, SHA256: hash}}
	again := at.Offset == size && at.SHA256 == hash
	for pass := range 2 {
		if pass == 0 && again {
			continue
		}
		if err := w.open(ctx, size, r); err != nil {
			return nil, err
		}
		for w.at.Line = 0; pass == 0 || w.at.Line < at.Line; {
			if w.at.Line%512 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if _, err := w.next(); errors.Is(err, io.EOF) {
				w.empty = w.at.Line == 0
				break
			} else if err != nil {
				return nil, err
			}
		}
	}
	w.at.End = false
	return w, nil
}

func (w *whole) open(ctx context.Context, size int64, r *reading) (err error) {
	switch r.cfg.Format {
	case connectors.FormatExcel:
		w.rows, err = openExcel(ctx, w.medium, size, r)
	case connectors.FormatDBF:
		w.rows, err = openDBF(ctx, w.medium, size, r)
	default:
		w.rows, err = openXML(w.medium, size, r)
	}
	if w.medium.err != nil {
		return w.medium.err
	}
	return err
}

func (w *whole) next() (connectors.Row, error) {
	row, err := w.rows.next()
	switch {
	case w.medium.err != nil:
		return connectors.Row{}, w.medium.err
	case errors.Is(err, io.EOF):
		w.at.End = true
		return connectors.Row{}, io.EOF
	case err != nil:
		return connectors.Row{}, err
	}
	w.at.Line++
	return row, nil
}

func (w *whole) place() place { return w.at }

func (w *whole) none() bool { return w.empty }

// header says where the wanted columns are, or why no row of the file can be read.
type header struct {
	width     int
	names     []string
	indexes   []int // of the wanted columns
	rejection *exchange.Rejection
}

// find finds the wanted columns among the names and returns the names of the others. A head with none of them is none:
// a cover sheet, or the message of an error. Its words are not repeated, because they may be the values of a person.
func (h *header) find(names, wanted []string) (unknown []string, err error) {
	h.width, h.names = len(names), names
	var missing, double []string
	for _, column := range wanted {
		i := slices.Index(names, column)
		switch {
		case i < 0:
			missing = append(missing, column)
		case slices.Contains(names[i+1:], column):
			double = append(double, column)
		}
		h.indexes = append(h.indexes, i)
	}
	switch {
	case len(missing) == len(wanted) && len(wanted) > 0:
		return nil, broken("where the names of the columns should stand there is none of %s; is it a cover sheet, or the message of an error?", quoteList(wanted))
	case len(missing) > 0:
		h.reject(exchange.RuleColumn, missing[0], "the file has no column %s; it has %s", quoteList(missing), quoteNames(names))
	case len(double) > 0:
		h.reject(exchange.RuleColumn, double[0], "the file has the column %s twice", quoteList(double))
	}
	for _, name := range names {
		if name != "" && !slices.Contains(wanted, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown, nil
}

// fault is why a file whose head cannot be used cannot be read, where no row below it says so.
func (h *header) fault() error {
	if h.rejection == nil {
		return nil
	}
	return &formatError{code: connectors.FaultColumn, text: h.rejection.Detail + "; it has no row"}
}

func (h *header) reject(rule, field, format string, args ...any) {
	h.rejection = &exchange.Rejection{Rule: rule, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// told says in the log what is odd about a header.
func (h *header) told(ctx context.Context, r *reading, unknown []string) {
	if r.told {
		return
	}
	r.told = true
	if h.rejection != nil {
		r.log.WarnContext(ctx, "no row of the file can be read", slog.String("file", r.name), slog.String("reason", h.rejection.Detail))
	} else if len(unknown) > 0 {
		r.log.WarnContext(ctx, "file has columns that the definition does not know", slog.String("file", r.name), slog.String("columns", quoteNames(unknown)))
	}
}

// quoteNames is quoteList of names that a file has. If a header is missing, what is taken for names may be the values
// of a person: what has digits, or is long, is counted only.
func quoteNames(names []string) string {
	plain := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return len(name) > 64 || strings.ContainsAny(name, "0123456789０１２３４５６７８９")
	})
	text := quoteList(plain)
	switch hidden := len(names) - len(plain); {
	case hidden > 0 && text == "":
		return fmt.Sprintf("%d with digits, or long; is there a header?", hidden)
	case hidden > 0:
		return fmt.Sprintf("%s, and %d with digits, or long", text, hidden)
	}
	return text
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

// rejected makes a row that cannot be read; of raw no more than a row may have is kept.
func rejected(origin string, raw []byte, rule, field, format string, args ...any) connectors.Row {
	if len(raw) > connectors.MaxRowBytes {
		raw = raw[:connectors.RowHead]
	}
	return connectors.Row{
		Raw: append([]byte{}, raw...), Origin: origin,
		Rejection: &exchange.Rejection{Rule: rule, Field: field, Detail: fmt.Sprintf(format, args...)},
	}
}

// rawObject writes a row whose own form a person could not read as a JSON
// object, in the order of its columns.
func rawObject(names []string, values []connectors.Value) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	write := func(v any) {
		_ = encoder.Encode(v) // texts and nil: a buffer takes them all
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		write(name)
		b.WriteByte(':')
		if values[i].Null {
			b.WriteString("null")
		} else {
			write(values[i].Text)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}
