package pglog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// lookupBytes is about how much is looked up at once.
const lookupBytes = 2 << 20

// changed makes rows of a change of the table.
func (s *source) changed(ctx context.Context, b *batch) error {
	if s.relation.id != s.oid || len(s.where) == 0 {
		return fmt.Errorf("%w: change of a table that was not described", errMessage)
	}
	if s.stale {
		if err := s.describe(ctx); err != nil {
			return err
		}
	}
	if !s.tx.touched {
		s.tx.touched = true
		s.recent[s.tx.xid] = true
	}
	c := &s.change
	for _, cells := range [][]cell{c.old, c.new} {
		if cells != nil && len(cells) != len(s.relation.columns) {
			return fmt.Errorf("%w: %d values for %d columns", errMessage, len(cells), len(s.relation.columns))
		}
	}
	if c.old != nil && (c.kind == 'D' || s.keyChanged()) {
		if err := s.deleted(b); err != nil {
			return err
		}
	}
	if c.kind == 'D' {
		return nil
	}
	return s.upserted(ctx, b)
}

// keyChanged says whether an update made another row, or another record, of the row.
func (s *source) keyChanged() bool {
	for _, i := range s.identAt {
		at := s.where[i]
		if at < 0 {
			continue
		}
		old, fresh := s.change.old[at], s.change.new[at]
		if fresh.kind != 'u' && (old.kind != fresh.kind || !bytes.Equal(old.text, fresh.text)) {
			return true
		}
	}
	return false
}

// deleted hands on that the old row is gone.
func (s *source) deleted(b *batch) error {
	clear(s.cells)
	for _, i := range s.identAt {
		if at := s.where[i]; at >= 0 && s.change.old[at].kind == 't' {
			s.cells[i] = s.change.old[at].text
			continue
		}
		// The log did not have the key at that time. What is gone is found by comparing.
		if s.step(b) {
			b.gap = true
		}
		return nil
	}
	row, fresh, err := s.row(b)
	if err != nil || !fresh {
		return err
	}
	row.Operation = exchange.Delete
	s.add(b, row)
	return nil
}

// upserted hands on the row as it is after the change.
func (s *source) upserted(ctx context.Context, b *batch) error {
	c := &s.change
	whole := true
	for i, at := range s.where {
		s.cells[i] = nil
		if at < 0 {
			whole = false
			continue
		}
		value := c.new[at]
		if value.kind == 'u' && c.old != nil && c.old[at].kind == 't' {
			value = c.old[at] // it did not change
		}
		switch value.kind {
		case 't':
			if s.cells[i] = value.text; s.wire.cut {
				s.cells[i] = uncut(value.text)
			}
		case 'u':
			whole = false
		}
	}
	for _, i := range s.identAt {
		if s.cells[i] == nil && (s.where[i] < 0 || c.new[s.where[i]].kind != 'n') {
			return s.lost(fmt.Sprintf("has changes from before column %q, of the key, was made", s.table.Selected()[i]), nil)
		}
	}
	row, fresh, err := s.row(b)
	if err != nil || !fresh {
		return err
	}
	if s.wire.cut {
		row.Values = nil
		row.Rejection = &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead),
		}
		row.Raw = row.Raw[:min(len(row.Raw), connectors.RowHead)]
	}
	s.add(b, row)
	if whole {
		return nil
	}
	if b.lookups = append(b.lookups, len(b.rows)-1); len(b.lookups) >= s.lookups {
		return s.lookUp(ctx, b)
	}
	return nil
}

// uncut drops what a cut left of the last character.
func uncut(text []byte) []byte {
	if len(text) != cutValue && len(text) != cutLater {
		return text
	}
	for n := range min(utf8.UTFMax, len(text)) {
		if r, _ := utf8.DecodeLastRune(text[:len(text)-n]); r != utf8.RuneError {
			return text[:len(text)-n]
		}
	}
	return text
}

// row makes a row of the cells; fresh is false if it was handed on before.
func (s *source) row(b *batch) (row connectors.Row, fresh bool, err error) {
	fresh = s.step(b)
	if !fresh && len(s.at.Rereads) == 0 {
		return row, false, nil
	}
	if row, err = s.table.Row(s.cells); err != nil {
		return row, false, err
	}
	row.ChangedAt = instant(s.at.Clock)
	if len(s.at.Rereads) > 0 {
		s.came(row.Key)
	}
	return row, fresh, nil
}

func (s *source) add(b *batch, row connectors.Row) {
	b.rows = append(b.rows, row)
	b.size += len(row.Raw)
	// A change may give two rows.
	b.full = b.full || len(b.rows) >= max(s.def.Batch-1, 1) || b.size >= connectors.MaxBatchBytes
}

// lookUp reads rows of which the log does not have every value: large ones
// that did not change are not logged again. What is read may be newer than the
// change, whose successor then follows in the stream; a row that is gone is
// left out, since its delete follows. What is older than the change is not
// read: a commit may come in the stream before others see it.
func (s *source) lookUp(ctx context.Context, b *batch) error {
	if len(b.lookups) == 0 {
		return nil
	}
	if err := s.visible(ctx); err != nil {
		return err
	}
	keys := make([][]string, 0, len(b.lookups))
	asked := map[string]bool{}
	for _, i := range b.lookups {
		key := b.rows[i].Key
		if joined := join(key); !asked[joined] {
			asked[joined] = true
			keys = append(keys, key)
		}
	}
	found, err := s.table.ByKey(ctx, keys)
	if err != nil {
		return err
	}
	now := make(map[string]connectors.Row, len(found))
	size := 0
	for _, row := range found {
		now[join(row.Key)] = row
		size += len(row.Raw)
	}
	if len(found) > 0 {
		s.lookups = min(max(lookupBytes/(size/len(found)+1), 2), 256)
	}
	gone := map[int]bool{}
	for _, i := range b.lookups {
		row, there := now[join(b.rows[i].Key)]
		gone[i] = !there
		if there {
			b.size += len(row.Raw) - len(b.rows[i].Raw)
			row.ChangedAt = b.rows[i].ChangedAt
			b.rows[i] = row
		}
	}
	b.lookups = nil
	n := -1
	b.rows = slices.DeleteFunc(b.rows, func(connectors.Row) bool { n++; return gone[n] })
	b.full = b.full || b.size >= connectors.MaxBatchBytes
	return nil
}

// join makes one text of a key; no text of PostgreSQL has a zero byte.
func join(key []string) string {
	if len(key) == 1 {
		return key[0]
	}
	return strings.Join(key, "\x00")
}
