package files

import (
	"bytes"
	"errors"
	"io"

	"github.com/onewindow/onewindow/connectors"
)

const readSize = 256 << 10

// lines cuts a stream into rows: physical lines, or several of them while a
// quote is open. It holds at most MaxRowBytes and one read in memory.
type lines struct {
	r     io.Reader
	plain bool // quotes mean nothing
	buf   []byte
	start int // of what is not consumed
	end   int
	eof   bool
}

// row is the extent of a row in the buffer, valid until the next call of peek or skip.
type row struct {
	bytes []byte // without the last line end
	first int    // length of the first line with its line end
	size  int    // length with the last line end
	lines int    // physical lines
	// open says that a quote is not closed within MaxRowBytes or the file
	open bool
	// long says that the first line alone is longer than MaxRowBytes; bytes is its head
	long bool
}

// peek returns the next row without consuming it; io.EOF at the end.
func (l *lines) peek() (row, error) {
	size, err := l.line(0)
	if err != nil {
		return row{}, err
	}
	if size > connectors.MaxRowBytes {
		return row{bytes: l.buf[l.start : l.start+connectors.RowHead], long: true, lines: 1}, nil
	}
	r := row{first: size, size: size, lines: 1}
	for quotes := 0; !l.plain; r.lines++ {
		quotes += bytes.Count(l.buf[l.start+r.size-size:l.start+r.size], []byte{'"'})
		if quotes%2 == 0 {
			break
		}
		size, err = l.line(r.size)
		if errors.Is(err, io.EOF) || err == nil && r.size+size > connectors.MaxRowBytes {
			r.open = true
			break
		}
		if err != nil {
			return row{}, err
		}
		r.size += size
	}
	r.bytes = trimLineEnd(l.buf[l.start : l.start+r.size])
	return r, nil
}

// line returns the length of the line that begins at offset behind start, with
// its line end; more than MaxRowBytes if it is longer than that.
func (l *lines) line(offset int) (int, error) {
	searched := offset
	for {
		if i := bytes.IndexByte(l.buf[l.start+searched:l.end], '\n'); i >= 0 {
			return searched + i + 1 - offset, nil
		}
		searched = l.end - l.start
		if searched-offset > connectors.MaxRowBytes {
			return searched - offset, nil
		}
		if l.eof {
			if searched == offset {
				return 0, io.EOF
			}
			return searched - offset, nil
		}
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
}

func (l *lines) fill() error {
	if len(l.buf)-l.end < readSize {
		if l.end-l.start+readSize > len(l.buf) {
			grown := make([]byte, max(2*len(l.buf), l.end-l.start+readSize))
			l.end = copy(grown, l.buf[l.start:l.end])
			l.buf = grown
		} else {
			l.end = copy(l.buf, l.buf[l.start:l.end])
		}
		l.start = 0
	}
	n, err := l.r.Read(l.buf[l.end:])
	l.end += n
	if errors.Is(err, io.EOF) {
		l.eof = true
		return nil
	}
	return err
}

// consume takes the next n bytes, which peek has shown, and passes them to use.
func (l *lines) consume(n int, use func([]byte)) {
	use(l.buf[l.start : l.start+n])
	l.start += n
}

// skipLine consumes the rest of a line of any length and returns its length.
func (l *lines) skipLine(use func([]byte)) (int64, error) {
	var skipped int64
	for {
		if i := bytes.IndexByte(l.buf[l.start:l.end], '\n'); i >= 0 {
			l.consume(i+1, use)
			return skipped + int64(i) + 1, nil
		}
		skipped += int64(l.end - l.start)
		l.consume(l.end-l.start, use)
		if l.eof {
			return skipped, nil
		}
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
}

func trimLineEnd(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte{'\n'})
	return bytes.TrimSuffix(b, []byte{'\r'})
}
