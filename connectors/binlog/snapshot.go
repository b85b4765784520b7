package binlog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

const (
	// snapshotTries is how often a chunk is read again because it is older than what was handed on from the log already.
	snapshotTries = 100
	snapshotPause = 20 * time.Millisecond
	// mismatchTries is how often the table is described again because a chunk has other columns, mismatchPause the first
	// pause before that; each is twice as long as the one before.
	mismatchTries = 4
	mismatchPause = 200 * time.Millisecond
)

// chunk is a part of the table that was read and waits for the log.
type chunk struct {
	rows []connectors.Row
	// at is up to where the log must have been handed on before the rows are.
	at place
	// touched are the rows that the log had meanwhile, by key; of those it knows better.
	touched map[string]bool
	columns []connectors.Column
}

// joined makes one text of a key, each key another one.
func joined(key []string) string {
	var b strings.Builder
	for _, part := range key {
		b.WriteString(strings.ReplaceAll(part, "\x01", "\x01\x02"))
		b.WriteByte('\x01')
	}
	return b.String()
}

// touch notes that the log had a change of the row with this key.
func (c *chunk) touch(key []string) {
	if c == nil {
		return
	}
	if text := joined(key); !c.touched[text] {
		if _, ours := c.touched[text]; ours {
			c.touched[text] = true
		}
	}
}

// restart has all of the table read again.
func (s *source) restart() {
	rereads := slices.Clone(s.position.Rereads)
	if i := slices.IndexFunc(rereads, func(r reread) bool { return r.ID == "" }); i >= 0 {
		if rereads[i].After = nil; i == 0 {
			s.chunk = nil
		}
	} else {
		rereads = append(rereads, reread{})
	}
	s.position.Rereads, s.seen = rereads, newSeen()
	s.later()
}

// later has rows that are read once more, with changes that the log did not tell, dated after those read before.
func (s *source) later() {
	if s.skip == 0 { // otherwise it was done before the source was opened
		s.position.Clock += step
	}
}

// reread reads or hands on a chunk, between two transactions. rows are those of
// the batch that is being gathered; done says that batch is to be handed on.
func (s *source) reread(ctx context.Context, rows []connectors.Row) (batch connectors.Batch, done bool, err error) {
	switch {
	case s.chunk == nil && len(rows) > 0, s.chunk != nil && !s.dump.at.before(s.chunk.at) && len(rows) > 0:
		batch, err = s.batch(rows)
		return batch, true, err
	case s.chunk == nil:
		if err := s.readChunk(ctx); err != nil {
			return batch, true, err
		}
	}
	if s.dump.at.before(s.chunk.at) {
		return batch, false, nil
	}
	if have := declared(s.position.Columns); !slices.Equal(s.chunk.columns, have) {
		return batch, false, s.mismatch(ctx, have, s.chunk.columns)
	}
	s.mismatches = 0
	batch, err = s.handChunk()
	return batch, true, err
}

// mismatch describes the table again, after a chunk of it had other columns than the log: they were changed without
// a trace in the log, or while the chunk was read. It pauses before each try, and reports what differs after several.
func (s *source) mismatch(ctx context.Context, known, found []connectors.Column) error {
	if s.chunk = nil; s.mismatches >= mismatchTries {
		s.mismatches = 0
		return connectors.Away(connectors.FaultMismatch, nil,
			"table %q has other columns each time it is looked at (%s); let it be altered no more while it is read for the first time, "+
				"and if it is not being altered, report this", s.cfg.Table, difference(known, found))
	}
	timer := time.NewTimer(mismatchPause << s.mismatches)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	s.mismatches++
	s.described = place{} // the log says nothing of such a change
	return s.reshape(ctx)
}

// difference names the first column that differs.
func difference(known, found []connectors.Column) string {
	for i := range min(len(known), len(found)) {
		if a, b := known[i], found[i]; a != b {
			return fmt.Sprintf("first %q %s, then %q %s", a.Name, a.Type, b.Name, b.Type)
		}
	}
	return fmt.Sprintf("first %d columns, then %d", len(known), len(found))
}

// readChunk reads the next rows of the first range, and up to where the log is in them.
func (s *source) readChunk(ctx context.Context) error {
	if s.table == nil {
		s.release() // two connections are enough
		table, err := sqltable.OpenTable(ctx, s.tableConfig())
		if err != nil {
			return err
		}
		s.table = table
	}
	next := s.position.Rereads[0]
	for range snapshotTries {
		rows, err := s.table.Chunk(ctx, next.Range, next.After, s.def.Batch)
		if err != nil {
			return err
		}
		file, offset := s.table.LogPlace()
		c := &chunk{rows: rows, at: place{file, offset}, columns: s.table.Columns(), touched: make(map[string]bool, len(rows))}
		if !c.at.before(s.dump.at) {
			for _, row := range rows {
				c.touched[joined(row.Key)] = false
			}
			s.chunk = c
			return nil
		}
		// A transaction is in the log, and was handed on, but is not seen in the table yet.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(snapshotPause):
		}
	}
	return connectors.Away(connectors.FaultBusy, nil, "table %q cannot be read: the server takes too long to finish transactions that are in its binlog", s.cfg.Table)
}

// handChunk hands the chunk on: its rows are as they were after everything that
// came before and before everything that comes after.
func (s *source) handChunk() (connectors.Batch, error) {
	at := time.UnixMicro(s.position.Clock + 1).UTC()
	rows := make([]connectors.Row, 0, len(s.chunk.rows))
	for _, row := range s.chunk.rows {
		if !s.chunk.touched[joined(row.Key)] && (s.position.Rereads[0].ID != "" || !s.seen.has(row.Key)) {
			row.ChangedAt = at
			rows = append(rows, row)
		}
	}
	rereads := slices.Clone(s.position.Rereads)
	if n := len(s.chunk.rows); n > 0 {
		rereads[0].After = s.chunk.rows[n-1].Key
	} else {
		if rereads[0].ID == "" {
			s.seen = nil
		}
		rereads = rereads[1:]
		s.later()
	}
	s.position.Rereads = rereads
	s.chunk = nil
	if len(rereads) == 0 && s.table != nil {
		_ = s.table.Close()
		s.table = nil
	}
	return s.batch(rows)
}

// reshape takes over the columns as they are now, after they were changed here in the log.
func (s *source) reshape(ctx context.Context) error {
	if s.dump.at.before(s.sure) {
		// The columns were asked for when this change had been made already, so rows before it may have been taken for other columns.
		s.distrust(ctx, "the columns were changed several times while the binlog was not read")
	}
	if !s.dump.at.before(s.described) { // otherwise they were asked for after this change, of which there may be thousands
		if err := s.redescribe(ctx); err != nil {
			return err
		}
	}
	s.stale = false
	if !s.group.open && s.event == nil {
		s.pass()
	}
	return nil
}

// redescribe asks for the columns again.
func (s *source) redescribe(ctx context.Context) error {
	s.described = place{}
	if s.control != nil { // a connection only for this would cost more than it saves
		var err error
		if s.described, err = s.end(ctx); err != nil {
			return err
		}
	}
	if s.table != nil { // two connections are enough
		_ = s.table.Close()
		s.table = nil
	}
	s.release()
	if err := s.openRows(ctx); err != nil {
		return err
	}
	columns, err := s.describe(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(columns, s.position.Columns) {
		if s.sure, err = s.end(ctx); err != nil {
			return err
		}
		if s.fits(s.position.Columns, columns) != nil {
			s.restart() // the values of all rows may be other ones now, which the log does not tell
		}
	}
	s.position.Columns = columns
	return nil
}
