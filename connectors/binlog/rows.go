package binlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// The kinds of change.
const (
	inserted = iota
	updated
	deleted
)

// rowsEvent is an event with changes of rows of one table.
type rowsEvent struct {
	tableID uint64
	kind    int
	// present and after say which columns the images have: of the row, or of the row before and behind an update.
	present, after []byte
	columns        int
	// rest are the rows that were not read yet.
	rest []byte
	cut  bool
	// time is when the statement ran, in microseconds.
	time int64
	// partial says that JSON documents may be logged as differences.
	partial bool
}

// maxUnpacked bounds an event that MariaDB compressed.
const maxUnpacked = maxEvent

// parseRows reads the head of an event with rows; it returns nil for other events.
func parseRows(e *event) (*rowsEvent, error) {
	r := &rowsEvent{cut: e.cut, time: int64(e.Timestamp) * 1_000_000}
	second, compressed := false, false
	switch e.EventType {
	case replication.WRITE_ROWS_EVENTv1:
	case replication.WRITE_ROWS_EVENTv2:
		second = true
	case replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:
		compressed = true
	case replication.UPDATE_ROWS_EVENTv1:
		r.kind = updated
	case replication.UPDATE_ROWS_EVENTv2:
		r.kind, second = updated, true
	case replication.PARTIAL_UPDATE_ROWS_EVENT:
		r.kind, second, r.partial = updated, true, true
	case replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1:
		r.kind, compressed = updated, true
	case replication.DELETE_ROWS_EVENTv1:
		r.kind = deleted
	case replication.DELETE_ROWS_EVENTv2:
		r.kind, second = deleted, true
	case replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		r.kind, compressed = deleted, true
	default:
		return nil, nil
	}
	body := e.body
	take := func(n int) []byte {
		if n < 0 || len(body) < n {
			body = nil
			return nil
		}
		taken := body[:n]
		body = body[n:]
		return taken
	}
	r.tableID = littleEndian(take(6))
	take(2) // flags
	if second {
		if n := littleEndian(take(2)); n > 2 {
			take(int(n - 2)) //nolint:gosec // 16 bits
		}
	}
	if len(body) == 0 {
		return nil, errShort
	}
	count, _, size := mysql.LengthEncodedInt(append(body[:min(len(body), 9):min(len(body), 9)], make([]byte, 9)...))
	take(size)
	if count > maxColumns {
		return nil, errShort
	}
	r.columns = int(count)
	r.present = take((r.columns + 7) / 8)
	r.after = r.present
	if r.kind == updated {
		r.after = take((r.columns + 7) / 8)
	}
	if len(r.present) == 0 || len(r.after) == 0 || body == nil {
		return nil, errShort
	}
	if r.rest = body; compressed {
		if e.cut {
			return nil, errShort
		}
		var err error
		if r.rest, err = unpack(body); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// unpack undoes MariaDB's compression of events.
func unpack(body []byte) ([]byte, error) {
	if len(body) < 2 || len(body) < 1+int(body[0]&7) {
		return nil, errShort
	}
	if size := bigEndian(body[1 : 1+body[0]&7]); size > maxUnpacked {
		return nil, fmt.Errorf("a compressed event has %d bytes, at most %d are read", size, maxUnpacked)
	}
	return mysql.DecompressMariadbData(body)
}

// complete says whether images with these columns have all of them.
func (r *rowsEvent) complete(present []byte) bool {
	n := 0
	for i, b := range present {
		if left := r.columns - 8*i; left < 8 {
			b &= 1<<left - 1
		}
		n += bits.OnesCount8(b)
	}
	return n == r.columns
}

// image reads the row that rest begins with into p.cells, which are valid until the next one is read.
func (r *rowsEvent) image(p *plan, present []byte) error {
	if r.columns != len(p.columns) {
		return fmt.Errorf("a row in the log has %d columns, its description %d", r.columns, len(p.columns))
	}
	clear(p.cells)
	p.scratch = p.scratch[:0]
	here := 0
	for i := range r.columns {
		if set(present, i) {
			here++
		}
	}
	if here == 0 || len(r.rest) < (here+7)/8 {
		return errShort
	}
	nulls, rest := r.rest[:(here+7)/8], r.rest[(here+7)/8:]
	at := 0
	for i := range p.columns {
		if !set(present, i) {
			continue
		}
		null := set(nulls, at)
		at++
		if null {
			continue
		}
		c := &p.columns[i]
		value, more, err := cell(rest, c.real, c.length)
		if err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
		rest = more
		if c.target >= 0 {
			p.cells[c.target] = p.text(c, value)
		}
	}
	r.rest = rest
	return nil
}

func set(bitmap []byte, i int) bool { return bitmap[i>>3]&(1<<(i&7)) != 0 }

// text writes a value as the server does in its text protocol.
func (p *plan) text(c *logColumn, value []byte) []byte {
	start := len(p.scratch)
	switch c.real {
	case mysql.MYSQL_TYPE_TINY, mysql.MYSQL_TYPE_SHORT, mysql.MYSQL_TYPE_INT24, mysql.MYSQL_TYPE_LONG, mysql.MYSQL_TYPE_LONGLONG:
		p.scratch = appendInteger(p.scratch, value, c.unsigned)
	case mysql.MYSQL_TYPE_NEWDECIMAL:
		p.scratch = appendDecimal(p.scratch, value, c.length>>8, c.length&0xff)
	case mysql.MYSQL_TYPE_FLOAT:
		p.scratch = c.float(p.scratch, float64(math.Float32frombits(binary.LittleEndian.Uint32(value))), 6)
	case mysql.MYSQL_TYPE_DOUBLE:
		p.scratch = c.float(p.scratch, math.Float64frombits(binary.LittleEndian.Uint64(value)), -1)
	case mysql.MYSQL_TYPE_YEAR:
		year := uint64(value[0])
		if year > 0 {
			year += 1900
		}
		if c.width == 2 {
			year %= 100
		}
		p.scratch = appendPadded(p.scratch, year, c.width)
	case mysql.MYSQL_TYPE_DATE:
		p.scratch = appendDate(p.scratch, value)
	case mysql.MYSQL_TYPE_TIME:
		p.scratch = appendOldTime(p.scratch, value)
	case mysql.MYSQL_TYPE_TIME2:
		p.scratch = appendTime(p.scratch, value, c.length)
	case mysql.MYSQL_TYPE_DATETIME:
		p.scratch = appendOldDatetime(p.scratch, value)
	case mysql.MYSQL_TYPE_DATETIME2:
		p.scratch = appendDatetime(p.scratch, value, c.length)
	case mysql.MYSQL_TYPE_TIMESTAMP:
		p.scratch = appendTimestamp(p.scratch, littleEndian(value), 0, 0)
	case mysql.MYSQL_TYPE_TIMESTAMP2:
		p.scratch = appendTimestamp(p.scratch, bigEndian(value[:4]), bigEndian(value[4:]), c.length)
	case mysql.MYSQL_TYPE_ENUM:
		if n := littleEndian(value); n > 0 && n <= uint64(len(c.members)) {
			return c.members[n-1]
		}
		return []byte{} // what was not of the list is stored as the empty text
	case mysql.MYSQL_TYPE_SET:
		bits := littleEndian(value)
		for i, name := range c.members {
			if i < 64 && bits&(1<<i) != 0 {
				if len(p.scratch) > start {
					p.scratch = append(p.scratch, c.comma()...)
				}
				p.scratch = append(p.scratch, name...)
			}
		}
	case mysql.MYSQL_TYPE_STRING:
		switch { // what is stored as BINARY(n) is logged without the zeros at its end
		case c.format != nil:
			whole := [16]byte{}
			copy(whole[:], value)
			p.scratch = c.format(p.scratch, whole)
		case len(value) >= c.width:
			return value
		default:
			p.scratch = append(p.scratch, value...)
			p.scratch = append(p.scratch, make([]byte, c.width-len(value))...)
		}
	default:
		return value
	}
	if short := c.zeros - (len(p.scratch) - start); short > 0 {
		p.scratch = slices.Insert(p.scratch, start, bytes.Repeat([]byte{'0'}, short)...)
	}
	if p.scratch == nil {
		return []byte{}
	}
	return p.scratch[start:len(p.scratch):len(p.scratch)]
}

// float writes a FLOAT or DOUBLE, with the decimals that were declared.
func (c *logColumn) float(dst []byte, value float64, digits int) []byte {
	if c.digits >= 0 {
		return appendFixed(dst, value, c.digits)
	}
	return appendFloat(dst, value, digits)
}
