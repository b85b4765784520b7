package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// step is the smallest difference between the instants of two changes, in
// microseconds; the odd ones between are those of rows that were read from the table.
const step = 2

// Read hands on changes from the log, or a chunk of the table once the log was
// handed on up to where the chunk was read.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.dump == nil {
		return connectors.Batch{}, connectors.Away(connectors.FaultUnreachable, nil, "%s is not open", s.def.Name)
	}
	if ctx.Err() != nil {
		return connectors.Batch{}, ctx.Err()
	}
	batch, err := s.read(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return batch, s.remember(err)
}

func (s *source) read(ctx context.Context) (connectors.Batch, error) {
	if s.fresh {
		s.fresh = false
		return s.batch(nil)
	}
	var end place
	if len(s.position.Rereads) == 0 {
		var err error
		if end, err = s.end(ctx); err != nil {
			return connectors.Batch{}, err
		}
	}
	deadline := time.Now().Add(min(s.def.Interval, longestWait))
	var rows []connectors.Row
	size := 0
	for {
		if s.stale {
			if len(rows) > 0 {
				return s.batch(rows)
			}
			if err := s.reshape(ctx); err != nil {
				return connectors.Batch{}, err
			}
		}
		for len(rows) < s.def.Batch && size < connectors.MaxBatchBytes {
			row, ok, err := s.change(ctx)
			if err != nil {
				return connectors.Batch{}, err
			}
			if !ok {
				break
			}
			rows = append(rows, row)
			size += len(row.Raw)
		}
		if s.between() && len(s.position.Rereads) > 0 {
			batch, done, err := s.reread(ctx, rows)
			if done || err != nil {
				return batch, err
			}
		}
		switch {
		case len(rows) >= s.def.Batch, size >= connectors.MaxBatchBytes, s.gap && s.between(), s.overdue(rows):
			return s.batch(rows)
		}
		wait := lull
		if len(rows) == 0 {
			wait = max(time.Until(deadline), lull)
		}
		e, err := s.dump.next(ctx, wait)
		switch {
		case errors.Is(err, errQuiet) && len(rows) > 0:
			return s.batch(rows)
		case errors.Is(err, errQuiet):
		case err != nil:
			return connectors.Batch{}, s.streamFault(ctx, err)
		default:
			if err := s.handle(ctx, e); err != nil {
				return connectors.Batch{}, err
			}
		}
		if len(rows) == 0 && s.event == nil && s.between() && !s.gap && !s.stale && len(s.position.Rereads) == 0 &&
			!s.dump.at.before(end) && !time.Now().Before(deadline) {
			return connectors.Batch{}, connectors.ErrCaughtUp
		}
	}
}

// between says whether the log is between two transactions.
func (s *source) between() bool {
	return !s.group.open && s.event == nil && len(s.queue) == 0 && !s.stale
}

// overdue says whether the position should be saved although there was nothing
// to hand on, so that it does not fall behind what the server keeps.
func (s *source) overdue(rows []connectors.Row) bool {
	return len(rows) == 0 && s.between() && s.position.place != s.saved && time.Since(s.savedAt) > s.heartbeat()
}

// end is the place up to which the log is at least read before the source is caught up.
func (s *source) end(ctx context.Context) (place, error) {
	if err := s.connect(ctx); err != nil {
		return place{}, err
	}
	end, err := s.control.end(ctx, s.limit())
	var my *mysql.MyError
	if err != nil && ctx.Err() == nil && !errors.As(err, &my) && !errors.Is(err, connectors.ErrRefused) {
		s.release() // servers end connections that were idle for long; that is no fault yet
		if err := s.connect(ctx); err != nil {
			return place{}, err
		}
		end, err = s.control.end(ctx, s.limit())
	}
	if err != nil {
		return place{}, s.fault(ctx, "asking for the end of the binlog", err)
	}
	return end, nil
}

// batch completes a batch.
func (s *source) batch(rows []connectors.Row) (connectors.Batch, error) {
	text, err := s.position.encode()
	if err != nil {
		return connectors.Batch{}, err
	}
	b := connectors.Batch{Rows: rows, Position: text, Columns: declared(s.position.Columns), Gap: s.gap}
	s.gap = false
	s.saved, s.savedAt = s.position.place, time.Now()
	return b, nil
}

// handle takes note of one event.
func (s *source) handle(ctx context.Context, e *event) error {
	switch p := e.parsed.(type) {
	case *replication.TableMapEvent:
		return s.tableMap(p)
	case *replication.RotateEvent:
		s.group = group{} // a server that died in the middle of a transaction begins a new file
	case *replication.QueryEvent:
		s.statement(ctx, e, textOf(p))
	case nil:
		if err := s.unparsed(ctx, e); err != nil {
			return err
		}
	}
	if !s.group.open && !s.stale && s.event == nil {
		s.pass()
	}
	return nil
}

// pass moves the position to where the log is, between two transactions.
func (s *source) pass() {
	s.position.place, s.position.Born, s.position.Done, s.skip = s.dump.at, s.dump.born, 0, 0
}

func (s *source) unparsed(ctx context.Context, e *event) error {
	switch e.EventType {
	case replication.MARIADB_GTID_EVENT:
		s.open(e)
		const flags, standalone = 12, 1
		s.group.transaction = len(e.body) > flags && e.body[flags]&standalone == 0
	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT, replication.GTID_TAGGED_LOG_EVENT:
		s.open(e)
	case replication.XID_EVENT, replication.XA_PREPARE_LOG_EVENT:
		s.group = group{}
	case replication.INCIDENT_EVENT, replication.EXECUTE_LOAD_QUERY_EVENT:
		s.distrust(ctx, "the server logged that something is missing from its binlog, or a LOAD DATA as a statement")
	case replication.TRANSACTION_PAYLOAD_EVENT:
		return connectors.Refused(connectors.FaultLogSettings, nil, "the server compresses transactions in its binlog (binlog_transaction_compression), "+
			"which is not read here; run SET GLOBAL binlog_transaction_compression = OFF and start this source anew")
	default:
		r, err := parseRows(e)
		switch {
		case err != nil:
			return connectors.Away(connectors.FaultUnclassified, err, "an event of the binlog near %s cannot be understood", s.dump.at)
		case r == nil:
		case s.plan != nil && r.tableID == s.tableID:
			s.event = r
			s.gap = s.gap || s.ownParent && r.kind != inserted
		case slices.Contains(s.parentIDs, r.tableID) && r.kind != inserted:
			s.gap = true // the server does not log what foreign keys make of it in our table
		}
	}
	return nil
}

func (s *source) open(e *event) {
	s.group = group{open: true, start: place{s.dump.at.File, e.start}}
	s.parentIDs = s.parentIDs[:0]
}

// tableMap makes ready to read the rows of our table.
func (s *source) tableMap(m *replication.TableMapEvent) error {
	if !s.target.is(string(m.Schema), string(m.Table)) {
		if s.tableID == m.TableID {
			s.plan = nil // numbers are used again when the server was restarted
		}
		if s.parents[string(m.Schema)+"."+string(m.Table)] && !slices.Contains(s.parentIDs, m.TableID) {
			s.parentIDs = append(s.parentIDs, m.TableID)
		}
		return nil
	}
	if s.plan != nil && s.tableID == m.TableID && s.plan.sameAs(m) {
		return nil
	}
	p, err := newPlan(m, s.position.Columns, s.selected)
	if err != nil {
		return connectors.Refused(connectors.FaultSchema, err, "the rows of table %q in the binlog at %s do not fit its columns, "+
			"which were changed while the binlog was not read; the table is read anew", s.cfg.Table, s.group.start)
	}
	s.plan, s.tableID = p, m.TableID
	return nil
}

// change returns the next change of the event at hand; ok is false if there is none.
func (s *source) change(ctx context.Context) (row connectors.Row, ok bool, err error) {
	for len(s.queue) == 0 {
		if s.event == nil {
			return row, false, nil
		}
		if len(s.event.rest) == 0 {
			s.event = nil
			continue
		}
		if err := s.changes(ctx, s.event); err != nil {
			return row, false, err
		}
	}
	row, s.queue = s.queue[0], s.queue[1:]
	s.position.Done++
	s.position.Clock = max(s.position.Clock+step, row.ChangedAt.UnixMicro())
	row.ChangedAt = time.UnixMicro(s.position.Clock).UTC()
	return row, true, nil
}

// changes puts what became of the next row of an event into the queue: an
// update of the key is a delete and an upsert.
func (s *source) changes(ctx context.Context, r *rowsEvent) error {
	if !r.complete(r.present) || !r.complete(r.after) || r.partial {
		s.distrust(ctx, "a row was logged without some of its columns (binlog_row_image)")
		s.event = nil
		return nil
	}
	head := r.rest
	err := r.image(s.plan, r.present)
	if err == nil && r.kind == updated {
		before := make([][]byte, len(s.plan.cells))
		for i, cell := range s.plan.cells {
			if s.identifies[i] {
				before[i] = bytes.Clone(cell)
			}
		}
		if err = r.image(s.plan, r.after); err == nil && s.keyChanged(before, s.plan.cells) {
			if err := s.enqueue(r, before, exchange.Delete, nil); err != nil {
				return err
			}
		}
	}
	switch {
	case errors.Is(err, errShort) && r.cut:
		s.event = nil
		s.distrust(ctx, "an event is longer than what is read of it")
		return s.enqueue(r, s.keyOf(s.plan.cells), "", head[:min(len(head), connectors.RowHead)])
	case err != nil:
		return connectors.Refused(connectors.FaultSchema, err, "a row of table %q in the binlog at %s cannot be read", s.cfg.Table, s.group.start)
	case r.kind == deleted:
		return s.enqueue(r, s.keyOf(s.plan.cells), exchange.Delete, nil)
	}
	return s.enqueue(r, s.plan.cells, "", nil)
}

// keyOf leaves only what identifies the row.
func (s *source) keyOf(cells [][]byte) [][]byte {
	key := slices.Clone(cells)
	for i := range key {
		if !s.identifies[i] {
			key[i] = nil
		}
	}
	return key
}

func (s *source) keyChanged(before, after [][]byte) bool {
	for i := range before {
		if s.identifies[i] && !bytes.Equal(before[i], after[i]) {
			return true
		}
	}
	return false
}

// enqueue makes a change of cells; tooLong is the head of a row that could not be read.
func (s *source) enqueue(r *rowsEvent, cells [][]byte, operation exchange.Operation, tooLong []byte) error {
	s.group.changes++
	if s.skip > 0 { // it was handed on before
		s.skip--
		return nil
	}
	cells, clipped := s.clip(cells)
	row, err := s.rows.Row(cells)
	if err != nil {
		return err
	}
	if clipped {
		row.Values = nil
		row.Rejection = &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead),
		}
	}
	if tooLong != nil {
		row.Raw, row.Values = bytes.Clone(tooLong), nil
		row.Rejection = &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row is longer than %d bytes; only its first %d, as they are in the binlog, are kept", maxEvent, len(tooLong)),
		}
	}
	row.Operation = operation
	row.ChangedAt = time.UnixMicro(r.time)
	row.Origin = fmt.Sprintf("%s+%d", s.group.start, s.group.changes)
	s.chunk.touch(row.Key)
	if tooLong == nil { // otherwise the table is read again to have the row
		s.seen.add(row.Key)
	}
	s.queue = append(s.queue, row)
	return nil
}

// clip cuts values that alone are too long for a row, so that making one of them needs no more memory than of others.
func (s *source) clip(cells [][]byte) (_ [][]byte, clipped bool) {
	for i, cell := range cells {
		if len(cell) > connectors.MaxRowBytes {
			if !clipped {
				cells, clipped = slices.Clone(cells), true
			}
			cells[i] = cell[:connectors.MaxRowBytes]
		}
	}
	return cells, clipped
}

// distrust makes up for changes that the log does not tell: all of the table is read again, and what it no longer has is looked for.
func (s *source) distrust(ctx context.Context, why string) {
	s.log.WarnContext(ctx, "changes may be missing from the binlog; the table is read again", slog.String("cause", why), slog.String("place", s.dump.at.String()))
	s.gap = true
	s.restart()
}
