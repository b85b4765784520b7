package pglog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// maxPositionBytes has room for maxRangeBytes and one key of any length that an index can hold.
	maxPositionBytes = 16 << 20
	maxRangeBytes    = 8 << 20
	// maxRereads bounds the requests that wait, the snapshot not counted.
	maxRereads = 10_000
)

// position is a place in the stream: everything that was committed before LSN
// is handed on, and Done rows of the transaction that commits at Tx, if that
// is not zero. What is being read again, the snapshot first of all, is part of it.
type position struct {
	// Of names the database, the table and its place in the publication; where
	// it differs, changes may have been missed.
	Of   string
	LSN  pglogrepl.LSN
	Tx   pglogrepl.LSN
	Done int
	// Clock is the instant of the last change, in microseconds since 1970. It is
	// a function of the stream alone, so that the same change always gets the same.
	Clock   int64
	Rereads []reread
	// Shape is how the columns were stored when the table began to be read; nil if it is not known.
	Shape *shape
	// Hold is what the stream must pass before ranges are read again; 0 for nothing.
	Hold pglogrepl.LSN
}

// reread is a range of keys that is read again; the snapshot has an empty ID.
type reread struct {
	ID string `json:"id"`
	connectors.KeyRange
	// After is the key of the last row that was handed on.
	After []string `json:"after,omitempty"`
}

// positionJSON is a position as it is saved. Pointers tell what is missing.
type positionJSON struct {
	Of      *string  `json:"of"`
	LSN     *string  `json:"lsn"`
	Tx      string   `json:"tx,omitempty"`
	Done    int      `json:"done,omitempty"`
	Clock   *int64   `json:"clock"`
	Rereads []reread `json:"rereads,omitempty"`
	Shape   *shape   `json:"shape,omitempty"`
	Hold    string   `json:"hold,omitempty"`
}

// fits says whether the ends can be compared with a key of so many columns.
func (r reread) fits(keys int) bool {
	for _, end := range [][]string{r.From, r.To} {
		if end != nil && (len(end) == 0 || len(end) > keys) {
			return false
		}
	}
	return true
}

// size is the most that the request takes in a position, every byte of its texts escaped.
func (r reread) size() int {
	size := len(r.ID)
	for _, end := range [][]string{r.From, r.To} {
		for _, text := range end {
			size += len(text) + 1
		}
	}
	return 64 + 6*size
}

func (p position) encode() (json.RawMessage, error) {
	lsn := p.LSN.String()
	out := positionJSON{Of: &p.Of, LSN: &lsn, Done: p.Done, Clock: &p.Clock, Rereads: p.Rereads, Shape: p.Shape}
	if p.Hold != 0 {
		out.Hold = p.Hold.String()
	}
	if p.Tx != 0 {
		out.Tx = p.Tx.String()
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("connectors: encode position: %w", err)
	}
	return encoded, nil
}

// parsePosition accepts what encode writes and nothing else.
func parsePosition(text json.RawMessage, keys int) (position, error) {
	foreign := func() (position, error) {
		return position{}, fmt.Errorf("%w: %d bytes are no position in the log of a PostgreSQL table", connectors.ErrPosition, len(text)) // keys may be among them
	}
	if len(text) > maxPositionBytes {
		return foreign()
	}
	var in positionJSON
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil || decoder.More() {
		return foreign()
	}
	if in.Of == nil || *in.Of == "" || in.LSN == nil || in.Clock == nil || *in.Clock < 0 || *in.Clock > math.MaxInt64/2 {
		return foreign()
	}
	p := position{Of: *in.Of, Done: in.Done, Clock: *in.Clock, Rereads: in.Rereads, Shape: in.Shape}
	var ok bool
	if p.LSN, ok = parseLSN(*in.LSN); !ok {
		return foreign()
	}
	if in.Tx != "" {
		if p.Tx, ok = parseLSN(in.Tx); !ok {
			return foreign()
		}
	}
	if in.Hold != "" {
		if p.Hold, ok = parseLSN(in.Hold); !ok {
			return foreign()
		}
	}
	if p.Done < 0 || (p.Done > 0) != (p.Tx > 0) || p.Tx > 0 && p.Tx < p.LSN || len(p.Rereads) > maxRereads+1 {
		return foreign()
	}
	for _, r := range p.Rereads {
		if !r.fits(keys) || r.After != nil && len(r.After) != keys {
			return foreign()
		}
	}
	return p, nil
}

// parseLSN reads the one way in which an LSN is written.
func parseLSN(text string) (pglogrepl.LSN, bool) {
	if len(text) > 17 || strings.Trim(text, "0123456789ABCDEF/") != "" {
		return 0, false
	}
	lsn, err := pglogrepl.ParseLSN(text)
	return lsn, err == nil && lsn.String() == text
}

// advance returns the position after the key of the first reread that was
// handed on, or without that reread when it is finished.
func (p position) advance(after []string, finished bool) position {
	p.Rereads = slices.Clone(p.Rereads)
	if finished {
		p.Rereads = slices.Delete(p.Rereads, 0, 1)
	} else {
		p.Rereads[0].After = after
	}
	return p
}
