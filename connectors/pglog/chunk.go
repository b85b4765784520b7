package pglog

import (
	"context"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/onewindow/onewindow/connectors"
)

// settling is how long a commit may take from being logged to being seen,
// where it waits for no standby.
const settling = 200 * time.Millisecond

// seldom is how seldom the database is asked, at last, whether commits are visible.
const seldom = time.Second

// maxStreamed bounds the keys that are remembered so that no row comes twice.
// Beyond it some do, which their instants make harmless.
const maxStreamed = 100_000

// chunk is a part of the table that was read and is kept until the stream has
// passed what it may have seen.
type chunk struct {
	rows []connectors.Row
	// at are the indexes of rows by key, without those that changed since.
	at   map[string]int
	last []string
	high pglogrepl.LSN
}

func (c *chunk) empty() { clear(c.at) }

// came notes that the stream has a change of a row: the chunk at hand, which
// may be older, does not tell of it, and later ones need not.
func (s *source) came(key []string) {
	joined := join(key)
	if s.chunk != nil {
		delete(s.chunk.at, joined)
	}
	if len(s.streamed) < maxStreamed {
		s.streamed[joined] = true
	}
}

// reread does what can be done now about the first range that is read again.
// It fills an empty batch with rows that are due; ready says that the batch
// has to be handed on.
func (s *source) reread(ctx context.Context, b *batch) (ready bool, err error) {
	if len(s.at.Rereads) == 0 {
		return false, nil
	}
	if s.chunk == nil {
		if b.moved || time.Now().Before(s.again) {
			return false, nil
		}
		finished, err := s.readChunk(ctx)
		s.pause = max(linger, min(2*s.pause, seldom))
		if s.chunk != nil || finished {
			s.pause = 0
		}
		s.again = time.Now().Add(s.pause)
		if err != nil || !finished {
			return false, err
		}
		s.at = s.at.advance(nil, true)
		clear(s.streamed)
		if len(s.at.Rereads) == 0 {
			_ = s.table.Close() // it connects again when it is wanted
		}
		b.moved = true
		return true, nil
	}
	if !s.passed(s.chunk.high) {
		return false, nil
	}
	if b.moved {
		return true, nil // what came before it first
	}
	for i, row := range s.chunk.rows {
		if at, unchanged := s.chunk.at[join(row.Key)]; unchanged && at == i {
			// Behind every change that was handed on, and before every one to come.
			row.ChangedAt = instant(s.at.Clock + 1)
			b.rows = append(b.rows, row)
		}
	}
	s.at = s.at.advance(s.chunk.last, false)
	s.chunk = nil
	b.moved = true
	return true, nil
}

// readChunk reads the next chunk, unless a transaction that was handed on
// might not be seen by it yet. finished says that there are no more rows.
func (s *source) readChunk(ctx context.Context) (finished bool, err error) {
	if s.at.Hold > 0 {
		if !s.passed(s.at.Hold) {
			return false, nil
		}
		s.at.Hold = 0
		clear(s.streamed)
	}
	began, err := s.db.visibility(ctx, s.facts.oid)
	if err != nil || !s.settled(began) {
		return false, err
	}
	r := s.at.Rereads[0]
	rows, err := s.table.Chunk(ctx, r.KeyRange, r.After, s.def.Batch)
	if err != nil {
		return false, err
	}
	ended, err := s.db.visibility(ctx, s.facts.oid)
	if err != nil || ended.file != began.file {
		return false, err // the table was rewritten meanwhile and may have looked empty
	}
	s.columns = s.table.Columns()
	if len(rows) == 0 {
		return true, nil
	}
	c := &chunk{rows: rows, at: make(map[string]int, len(rows)), last: rows[len(rows)-1].Key}
	for i, row := range rows {
		if key := join(row.Key); !s.streamed[key] {
			c.at[key] = i
		}
	}
	if c.high, err = s.db.mark(ctx); err != nil {
		return false, err
	}
	s.chunk = c
	return false, nil
}

// settled says whether everything that was handed on is visible. A commit is
// logged, and may be streamed, before others see it: for an instant, or until a
// standby has confirmed it.
func (s *source) settled(v visibility) bool {
	s.forget(v)
	if len(s.recent) > 0 {
		return false
	}
	// What began before we opened may have been handed on before, or was logged before the slot begins: it is in
	// neither stream nor chunk until it is seen.
	return v.ended(s.opened) || !s.sync && time.Since(s.since) > settling
}

// visible waits until everything that was handed on is visible.
func (s *source) visible(ctx context.Context) error {
	wait := linger
	for end := time.Now().Add(silence); len(s.recent) > 0; wait = min(2*wait, seldom) {
		v, err := s.db.visibility(ctx, s.facts.oid)
		if err != nil {
			return err
		}
		if s.forget(v); len(s.recent) == 0 {
			break
		}
		if time.Now().After(end) {
			return connectors.Away(connectors.FaultSlow, nil, "changes of table %q are logged, but not visible after %s, as if their commits wait for a standby; "+
				"see to it that the standbys in synchronous_standby_names answer", s.cfg.Table, silence)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

// forget drops the transactions that are visible.
func (s *source) forget(v visibility) {
	for xid := range s.recent {
		if v.sees(xid) {
			delete(s.recent, xid)
		}
	}
}
