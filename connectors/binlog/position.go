package binlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

// place is an offset in a file of the binlog.
type place struct {
	File   string `json:"file"`
	Offset uint64 `json:"offset"`
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Offset) }

// sequence is the number that the file's name ends with; the names before it may change.
func (p place) sequence() uint64 {
	n, err := strconv.ParseUint(p.File[strings.LastIndexByte(p.File, '.')+1:], 10, 63)
	if err != nil {
		return 0
	}
	return n
}

// before says whether p lies before q.
func (p place) before(q place) bool {
	if p.sequence() != q.sequence() {
		return p.sequence() < q.sequence()
	}
	return p.Offset < q.Offset
}

// position is where to go on. Every batch carries one.
type position struct {
	// place is behind the last transaction that was handed on as a whole.
	place
	// Born is when the server began that file: another one of the same name has another time. 0 if not known yet.
	Born uint32 `json:"born,omitempty"`
	// Done is how many changes of the next transaction were handed on too.
	Done int `json:"done,omitempty"`
	// Clock is the instant of the last change, in microseconds since 1970.
	Clock int64 `json:"clock"`
	// Columns are those of the table at this place in the log.
	Columns []column `json:"columns"`
	// Rereads are the ranges that are still to be read from the table, the first one first.
	Rereads []reread `json:"rereads,omitempty"`
}

// reread is a range of the table that is read beside the log.
type reread struct {
	// ID is that of the request; empty for the whole table as a new position starts with it.
	ID    string              `json:"id,omitempty"`
	Range connectors.KeyRange `json:"range"`
	// After is the key of the last row that was read.
	After []string `json:"after,omitempty"`
}

const (
	maxColumns = 4096 // the most that these databases have
	maxRereads = 10_000
)

// parsePosition reads what encode wrote, and nothing else.
func parsePosition(text json.RawMessage) (position, error) {
	foreign := fmt.Errorf("%w: what was saved is no position in a binlog", connectors.ErrPosition) // it has keys of rows
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var p position
	if err := decoder.Decode(&p); err != nil || decoder.More() {
		return position{}, foreign
	}
	switch {
	case p.sequence() == 0, len(p.File) > 512, strings.ContainsAny(p.File, "\x00\r\n"),
		p.Offset < 4, p.Offset >= 1<<62, p.Done < 0, p.Clock <= 0, p.Clock > 1<<53,
		len(p.Columns) == 0, len(p.Columns) > maxColumns, len(p.Rereads) > maxRereads:
		return position{}, foreign
	}
	return p, nil
}

func (p position) encode() (json.RawMessage, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("connectors: encode position: %w", err)
	}
	return text, nil
}
