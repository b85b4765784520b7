package pglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pglogrepl"
)

// The bytes below come from the server, version 1 of the protocol of pgoutput.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

// errMessage means that a message is not of the protocol; nothing of it is used.
var errMessage = errors.New("message is not of the replication protocol")

const (
	// maxColumns is PostgreSQL's own bound.
	maxColumns = 1664
	// epoch2000 is the beginning of PostgreSQL's time, in microseconds since 1970.
	epoch2000 = 946_684_800_000_000
	// maxWhole is the longest message that is kept whole. It has room for the old and the new form of any row that is
	// not too long; of longer messages each value is cut.
	maxWhole = 4 << 20
	// cutValue and cutLater are how much of a value is kept then, at first and behind the first 2 MiB; a key, which an index
	// must hold, is shorter than either.
	cutValue, cutLater = 64 << 10, 8 << 10
)

// cell is a column of a tuple: kind 'n' for null, 'u' for an unchanged value
// that is not sent, 't' for a text.
type cell struct {
	kind byte
	text []byte
}

// relation is what the server says about a table before its changes.
type relation struct {
	id      uint32
	columns []string
	types   []uint64 // type and modifier
}

// begin starts a transaction. All of its changes follow, then its end.
type begin struct {
	final pglogrepl.LSN // where it commits
	time  int64         // of its commit, in microseconds since 1970
	xid   uint32
}

// change is an insert, update or delete. Its texts are valid until the next message.
type change struct {
	kind     byte // 'I', 'U' or 'D'
	relation uint32
	old, new []cell // nil where there is none

	oldCells, newCells []cell // kept for the next message
}

// bytesReader takes a message apart. After a fault it gives zeros, and ok is false.
type bytesReader struct {
	b      []byte
	failed bool
}

func (r *bytesReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed = true
		r.b = nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *bytesReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *bytesReader) uint16() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *bytesReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *bytesReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *bytesReader) text() string {
	for i, c := range r.b {
		if c == 0 {
			text := string(r.b[:i])
			r.b = r.b[i+1:]
			return text
		}
	}
	r.failed = true
	return ""
}

// done says whether all of the message was understood.
func (r *bytesReader) done(what string) error {
	if r.failed || len(r.b) > 0 {
		return fmt.Errorf("%w: %s", errMessage, what)
	}
	return nil
}

func parseBegin(b []byte) (begin, error) {
	r := bytesReader{b: b}
	m := begin{final: pglogrepl.LSN(r.uint64()), time: int64(r.uint64()) + epoch2000, xid: r.uint32()} //nolint:gosec // it is signed on the wire
	return m, r.done("begin")
}

// parseCommit returns where the transaction ends.
func parseCommit(b []byte) (pglogrepl.LSN, error) {
	r := bytesReader{b: b}
	r.take(1 + 8) // flags; where the commit is
	end := pglogrepl.LSN(r.uint64())
	r.take(8)
	return end, r.done("commit")
}

func parseRelation(b []byte) (relation, error) {
	r := bytesReader{b: b}
	m := relation{id: r.uint32()}
	r.text() // schema
	r.text() // table
	r.byte() // replica identity
	n := r.uint16()
	if n > maxColumns {
		return relation{}, fmt.Errorf("%w: relation of %d columns", errMessage, n)
	}
	for range n {
		r.byte() // whether it is part of the key
		m.columns = append(m.columns, r.text())
		m.types = append(m.types, r.uint64())
	}
	return m, r.done("relation")
}

// parseTruncate says whether the table is among those that were emptied.
func parseTruncate(b []byte, table uint32) (bool, error) {
	r := bytesReader{b: b}
	n := r.uint32()
	r.byte() // options
	found := false
	for i := uint32(0); i < n && !r.failed; i++ {
		found = r.uint32() == table || found
	}
	return found, r.done("truncate")
}

// parse takes a change apart. It keeps the cells of c for the next.
func (c *change) parse(kind byte, b []byte) error {
	r := bytesReader{b: b}
	c.kind, c.relation = kind, r.uint32()
	c.old, c.new = nil, nil
	marker := r.byte()
	if kind != 'I' && (marker == 'K' || marker == 'O') {
		c.oldCells = r.tuple(c.oldCells[:0])
		if c.old = c.oldCells; kind == 'U' {
			marker = r.byte()
		}
	}
	switch {
	case kind == 'D' && c.old != nil:
	case kind != 'D' && marker == 'N':
		c.newCells = r.tuple(c.newCells[:0])
		c.new = c.newCells
	default:
		r.failed = true
	}
	return r.done("change")
}

func (r *bytesReader) tuple(cells []cell) []cell {
	n := r.uint16()
	if n > maxColumns {
		r.failed = true
		return cells
	}
	for range n {
		c := cell{kind: r.byte()}
		switch c.kind {
		case 'n', 'u':
		case 't':
			c.text = r.take(int(r.uint32()))
		default:
			r.failed = true
		}
		cells = append(cells, c)
	}
	return cells
}

// shrink reads a message of n bytes that is too long to be kept and appends
// it to dst with its values cut. Memory stays bounded whatever n is.
func shrink(dst []byte, in io.Reader, n int) ([]byte, error) {
	left := n
	read := func(size int) ([]byte, error) {
		if left -= size; left < 0 {
			return nil, fmt.Errorf("%w: change of %d bytes", errMessage, n)
		}
		start := len(dst)
		dst = append(dst, make([]byte, size)...)
		_, err := io.ReadFull(in, dst[start:])
		return dst[start:], err
	}
	head, err := read(1 + 24 + 1 + 4) // 'w', three positions, the kind of message, the table
	if err != nil {
		return nil, err
	}
	if head[0] != 'w' || head[25] != 'I' && head[25] != 'U' && head[25] != 'D' {
		return nil, fmt.Errorf("%w: message %q of %d bytes", errMessage, head[25], n)
	}
	for left > 0 {
		if head, err = read(1 + 2); err != nil {
			return nil, err
		}
		columns := int(binary.BigEndian.Uint16(head[1:]))
		if columns > maxColumns {
			return nil, fmt.Errorf("%w: tuple of %d columns", errMessage, columns)
		}
		for range columns {
			if head, err = read(1); err != nil {
				return nil, err
			}
			if head[0] != 't' {
				continue
			}
			if head, err = read(4); err != nil {
				return nil, err
			}
			size := int(binary.BigEndian.Uint32(head))
			kept := min(size, cutValue)
			if len(dst) > 2<<20 {
				kept = min(size, cutLater)
			}
			binary.BigEndian.PutUint32(head, uint32(kept)) //nolint:gosec // at most 64 KiB
			if _, err = read(kept); err != nil {
				return nil, err
			}
			if left -= size - kept; left < 0 {
				return nil, fmt.Errorf("%w: value of %d bytes", errMessage, size)
			}
			if _, err = io.CopyN(io.Discard, in, int64(size-kept)); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}
