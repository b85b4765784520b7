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
	"strconv"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// ctrlZ may end a file that was written under DOS.
const ctrlZ = 0x1a

// text is the [content] of a file of lines.
type text struct {
	in     io.ReaderAt
	name   string
	size   int64
	syntax syntax
	lines  *lines
	hash   hash.Hash
	offset int64
	line   int64
	empty  bool // there is no row behind the head
}

// syntax says what a line means.
type syntax interface {
	// head reads the first row of the file, from which nothing is consumed
	// yet, and says how much of it is not data: all of it, or its first line, or nothing.
	head(ctx context.Context, first row) (extent, error)
	// foreign is why a file cannot be read of whose rows none says so. ahead has the lines behind the head.
	foreign(ahead *lines) error
	// row makes a row of a line. firstLine says that only the first line of it was used, since it cannot be taken apart.
	row(next row, firstLine []byte, origin string) (made connectors.Row, onlyFirst bool)
}

// extent is a part of a row.
type extent int

const (
	nothing extent = iota
	oneLine
	allOfIt
)

// openText opens a file of lines at a place; ok is false if what was read there before is not what is there now.
func openText(ctx context.Context, in io.ReaderAt, size int64, r *reading, at place) (t *text, ok bool, err error) {
	t = &text{in: in, name: r.name, size: size, hash: sha256.New()}
	if same, err := t.verify(ctx, at); err != nil || !same {
		return nil, false, err
	}
	var syntax syntax = &csvSyntax{reading: r}
	if r.cfg.Format == connectors.FormatJSONL {
		syntax = &jsonSyntax{reading: r}
	}
	t.syntax = syntax
	return t, true, t.start(ctx, at)
}

func (t *text) place() place {
	return place{Offset: t.offset, Line: t.line, SHA256: hex.EncodeToString(t.hash.Sum(nil))}
}

// verify hashes the part of the file before a place and says whether it is what was read.
func (t *text) verify(ctx context.Context, at place) (bool, error) {
	if at.Offset == 0 {
		return true, nil
	}
	if t.size < at.Offset {
		return false, nil
	}
	if t.size > at.Offset { // the last line that was read may be longer now
		var last [1]byte
		if _, err := t.in.ReadAt(last[:], at.Offset-1); err != nil || last[0] != '\n' {
			return false, err
		}
	}
	done, err := hashed(ctx, t.hash, t.in, at.Offset)
	return done == at.Offset && hex.EncodeToString(t.hash.Sum(nil)) == at.SHA256, err
}

// hashed writes the first size bytes of a file to w, as many as there are.
func hashed(ctx context.Context, w io.Writer, in io.ReaderAt, size int64) (done int64, err error) {
	buffer := make([]byte, readSize)
	for done < size {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		n, err := in.ReadAt(buffer[:min(int64(len(buffer)), size-done)], done)
		if _, err := w.Write(buffer[:n]); err != nil {
			return done, err
		}
		done += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return done, err
		}
		if n == 0 {
			break
		}
	}
	return done, nil
}

// start reads the head and goes to the place.
func (t *text) start(ctx context.Context, at place) error {
	_, plain := t.syntax.(*jsonSyntax)
	t.lines = &lines{r: io.NewSectionReader(t.in, 0, t.size), plain: plain}
	first, err := t.lines.peek()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if what := looksLike(first.bytes); what != "" {
		return broken("it is %s", what)
	}
	if trimmed, _ := trimBOM(first.bytes); plain && bytes.HasPrefix(trimmed, []byte("[")) {
		return broken("it is a JSON array; each row must be an object on a line of its own")
	}
	extent := nothing
	if err == nil {
		if extent, err = t.syntax.head(ctx, first); err != nil {
			return err
		}
	} else if !plain {
		return short("it is empty: it does not even have a line with the names of the columns")
	}
	if at.Offset > 0 {
		t.offset, t.line = at.Offset, at.Line
		t.lines = &lines{r: io.NewSectionReader(t.in, at.Offset, t.size-at.Offset), plain: plain}
		return nil
	}
	switch {
	case extent == nothing:
	case first.long:
		err = t.skipLong()
	case extent == oneLine:
		t.consume(first.first, min(1, first.lines))
	default:
		t.consume(first.size, first.lines)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return t.lookAhead(plain)
}

// lookAhead finds out whether there is a row, and whether there can be one.
func (t *text) lookAhead(plain bool) error {
	next, err := t.skipBlank()
	if t.empty = errors.Is(err, io.EOF); err != nil && !t.empty {
		return err
	}
	if t.empty || plain && !next.long {
		return t.syntax.foreign(&lines{r: io.NewSectionReader(t.in, t.offset, t.size-t.offset), plain: plain})
	}
	return nil
}

// skipBlank consumes lines without anything in them and returns what stands behind them.
func (t *text) skipBlank() (row, error) {
	for {
		next, err := t.lines.peek()
		if err != nil || next.long || len(next.bytes) > 1 || len(next.bytes) == 1 && next.bytes[0] != ctrlZ {
			return next, err
		}
		t.consume(next.size, next.lines)
	}
}

func (t *text) none() bool { return t.empty }

func (t *text) consume(n, lines int) {
	t.lines.consume(n, t.hashed)
	t.offset += int64(n)
	t.line += int64(lines)
}

func (t *text) hashed(b []byte) { t.hash.Write(b) }

// skipLong consumes a line that is longer than a row may be.
func (t *text) skipLong() error {
	n, err := t.lines.skipLine(t.hashed)
	if err != nil {
		return err
	}
	t.offset += n
	t.line++
	return nil
}

// next makes a row of what peek has shown, and consumes it: as a whole, or its
// first line if it cannot be taken apart.
func (t *text) next() (connectors.Row, error) {
	next, err := t.skipBlank()
	if errors.Is(err, io.EOF) && t.offset != t.size {
		return connectors.Row{}, fmt.Errorf("it became shorter while it was read (%d of %d bytes)", t.offset, t.size)
	}
	if err != nil {
		return connectors.Row{}, err
	}
	origin := t.name + ":" + strconv.FormatInt(t.line+1, 10)
	if next.long {
		made := rejected(origin, next.bytes, exchange.RuleMalformed, "",
			"the line is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead)
		return made, t.skipLong()
	}
	firstLine := trimLineEnd(t.lines.buf[t.lines.start : t.lines.start+next.first])
	made, onlyFirst := t.syntax.row(next, firstLine, origin)
	if onlyFirst {
		t.consume(next.first, 1)
	} else {
		t.consume(next.size, next.lines)
	}
	return made, nil
}

// trimBOM takes the byte-order mark of UTF-8 from a text.
func trimBOM(b []byte) ([]byte, bool) {
	trimmed := bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	return trimmed, len(trimmed) < len(b)
}
