package pglog

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// linger is how long the stream may pause before a batch that has rows is handed on, lingerMost how long it may take in all.
	linger, lingerMost = 2 * time.Millisecond, 50 * time.Millisecond
	// nudge is how long we wait for the stream before we ask, or write, for an answer.
	nudge = 100 * time.Millisecond
	// maxRecent bounds what is remembered of transactions.
	maxRecent = 4096
)

// Read returns the next changes, or rows of what is read again.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.wire == nil {
		return connectors.Batch{}, connectors.Away(connectors.FaultUnreachable, nil, "%s is not open", s.def.Name)
	}
	if err := ctx.Err(); err != nil {
		return connectors.Batch{}, err
	}
	conn := s.wire.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := s.read(ctx)
	if errors.Is(err, connectors.ErrCaughtUp) {
		return connectors.Batch{}, err
	}
	out := connectors.Batch{Columns: s.columns}
	if err == nil {
		out.Rows, out.Gap = b.rows, b.gap || s.gap
		out.Position, err = s.at.encode()
	}
	if err != nil {
		s.release() // who went on reading would miss what was gathered
		if ctx.Err() == nil && loses(err) {
			err = s.lost("cannot give what comes next", err)
		}
		return connectors.Batch{}, s.fault(ctx, "following the log", err)
	}
	s.gap, s.handed, s.told = false, time.Now(), s.at.LSN
	return out, nil
}

// batch is what a Read gathers.
type batch struct {
	rows []connectors.Row
	size int
	gap  bool
	// moved says that there is something to hand on, rows or not.
	moved, full bool
	first       time.Time // when it began to move
	// lookups are indexes of rows that the log does not have whole.
	lookups []int
}

// wait is what a Read without changes waits for.
type wait struct {
	began, until time.Time
	heard, asked time.Time
	target       pglogrepl.LSN // what was committed before the call lies before it; 0 before it is known
	marked       bool
}

func (s *source) read(ctx context.Context) (*batch, error) {
	if err := s.tend(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	w := wait{began: now, heard: now, asked: now, until: now.Add(min(s.def.Interval, time.Second))}
	b := &batch{}
	for {
		ready, err := s.reread(ctx, b)
		if err != nil {
			return nil, err
		}
		if ready || b.full {
			return b, s.lookUp(ctx, b)
		}
		message, err := s.wire.next(ctx, s.patience(b, w))
		quiet := errors.Is(err, errQuiet)
		switch {
		case quiet && ctx.Err() != nil:
			return nil, ctx.Err()
		case quiet && b.moved:
			return b, s.lookUp(ctx, b)
		case quiet:
			err = s.quiet(ctx, b, &w)
		case err == nil:
			if err = s.take(ctx, b, message); err == nil && !b.moved {
				if w.heard = time.Now(); w.heard.After(w.until) { // others may never be quiet
					err = s.quiet(ctx, b, &w)
				}
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// patience is until when the next message is waited for.
func (s *source) patience(b *batch, w wait) time.Time {
	now := time.Now()
	switch {
	case b.moved && now.Add(linger).Before(b.first.Add(lingerMost)):
		return now.Add(linger)
	case b.moved:
		return b.first.Add(lingerMost)
	case w.target == 0:
		return now.Add(linger)
	case s.chunk == nil && len(s.at.Rereads) > 0:
		if s.again.After(now) {
			return s.again
		}
		return now.Add(linger)
	case now.Before(w.until):
		return w.until
	}
	return now.Add(nudge)
}

// quiet is called while nothing comes. It returns ErrCaughtUp when everything
// that was committed before the call has been handed on, and moves the batch
// when it is time to save that the log moved on without us.
func (s *source) quiet(ctx context.Context, b *batch, w *wait) (err error) {
	now := time.Now()
	if w.target == 0 {
		w.target, err = s.db.end(ctx)
		return err
	}
	if now.Before(w.until) {
		return nil
	}
	if s.at.LSN > s.told && !s.tx.open && now.Sub(s.handed) >= s.cfg.Heartbeat {
		b.moved, b.full = true, true
		return nil
	}
	if s.seen() >= w.target && !s.tx.open && s.chunk == nil && len(s.at.Rereads) == 0 {
		return connectors.ErrCaughtUp
	}
	if !w.marked { // the end of the log may be the middle of something, of which the rest is not written yet
		w.marked = true
		_, err = s.db.mark(ctx)
		return err
	}
	if now.Sub(w.heard) > silence {
		return connectors.Away(connectors.FaultUnreachable, nil, "the database has sent nothing for %s", silence)
	}
	if now.Sub(w.asked) > silence/12 {
		w.asked = now
		return s.wire.status(true)
	}
	return nil
}

// tend gives signs of life and looks after the slot, once per Heartbeat, and
// forgets transactions.
func (s *source) tend(ctx context.Context) error {
	if len(s.recent) > maxRecent {
		v, err := s.db.visibility(ctx, s.facts.oid)
		if err != nil {
			return err
		}
		s.forget(v)
	}
	if time.Since(s.beat) < s.cfg.Heartbeat {
		return nil
	}
	s.beat = time.Now()
	if _, err := s.db.mark(ctx); err != nil {
		return err
	}
	if err := s.reshape(ctx); err != nil { // an ALTER shows in the stream only with the next change
		return err
	}
	place, err := s.place(ctx, s.db, s.facts, false)
	if err != nil {
		return err
	}
	found, err := s.findSlot(ctx, s.db)
	if err != nil {
		return err
	}
	found.confirmed = 0 // the server may know of an acknowledgement that s.at is ahead of
	if why := s.loss(found, s.at, place); why != "" {
		s.wire.close()
		s.wire = nil
		if found, err = s.freeSlot(ctx, s.db); err != nil {
			return err
		}
		if found.there {
			if err := s.dropSlot(ctx, s.db); err != nil {
				return err
			}
		}
		return s.lost(why, nil)
	}
	return nil
}

func (s *source) seen() pglogrepl.LSN { return pglogrepl.LSN(s.wire.seen.Load()) }

// passed says whether everything that was committed before lsn has come.
func (s *source) passed(lsn pglogrepl.LSN) bool {
	return s.seen() >= lsn || s.tx.open && s.tx.final >= lsn
}

// see notes that everything that was committed before lsn has come.
func (s *source) see(lsn pglogrepl.LSN) {
	s.wire.seen.Store(max(s.wire.seen.Load(), uint64(lsn)))
	if !s.tx.open && s.at.Tx == 0 {
		s.at.LSN = max(s.at.LSN, lsn)
	}
}

// take takes one message of the stream.
func (s *source) take(ctx context.Context, b *batch, m []byte) error {
	switch {
	case len(m) == 1+8+8+1 && m[0] == pglogrepl.PrimaryKeepaliveMessageByteID:
		s.see(pglogrepl.LSN(binary.BigEndian.Uint64(m[1:])))
		if m[17] == 1 {
			return s.wire.status(false)
		}
		return nil
	case len(m) < 1+8+8+8+1 || m[0] != pglogrepl.XLogDataByteID:
		return errMessage
	}
	kind, m := m[25], m[26:]
	switch kind {
	case 'B':
		return s.beginning(m)
	case 'C':
		end, err := parseCommit(m)
		if err != nil {
			return err
		}
		s.at.LSN, s.at.Tx, s.at.Done = end, 0, 0
		s.tx, s.skip = transaction{}, 0
		s.see(end)
		return nil
	case 'R':
		r, err := parseRelation(m)
		if err != nil || r.id != s.oid {
			return err
		}
		for i, name := range r.columns {
			r.columns[i] = s.db.names.Text([]byte(name))
		}
		return s.described(ctx, b, r)
	case 'I', 'U', 'D':
		if len(m) < 4 || binary.BigEndian.Uint32(m) != s.oid {
			return nil // of another table of the publication
		}
		if err := s.change.parse(kind, m); err != nil {
			return err
		}
		return s.changed(ctx, b)
	case 'T':
		emptied, err := parseTruncate(m, s.oid)
		if err != nil || !emptied {
			return err
		}
		if s.chunk != nil {
			s.chunk.empty()
		}
		if s.step(b) {
			b.gap = true
		}
	}
	return nil // what remains says nothing about rows
}

func (s *source) beginning(m []byte) (err error) {
	s.tx = transaction{open: true}
	if s.tx.begin, err = parseBegin(m); err != nil {
		return err
	}
	if s.at.Tx == 0 || s.tx.final == s.at.Tx {
		return nil
	}
	return s.lost("does not give the transaction again of which a part is handed on", nil)
}

// described notes the shape of the rows to come. A batch ends before they
// come, so that it has one shape only.
func (s *source) described(ctx context.Context, b *batch, r relation) error {
	if slices.Equal(r.columns, s.relation.columns) && slices.Equal(r.types, s.relation.types) {
		return s.reshape(ctx) // the server describes the table again after every ALTER
	}
	s.relation, s.stale = r, true
	s.where = s.where[:0]
	for _, name := range s.table.Selected() {
		s.where = append(s.where, slices.Index(r.columns, name))
	}
	if len(b.rows) > 0 {
		b.full = true
		return nil
	}
	return s.describe(ctx)
}

// describe asks for the columns as they are now. They may be newer than the
// rows to come: a column that these do not have is looked up in the table.
func (s *source) describe(ctx context.Context) error {
	columns, err := s.table.Describe(ctx)
	if err != nil {
		return err
	}
	var names, missing []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	for _, name := range s.table.Selected() {
		if !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return connectors.Refused(connectors.FaultColumn, nil, "table %q no longer has column %s; it has %s", s.cfg.Table, listed(missing), listed(names))
	}
	faults, err := s.inspectKey(ctx, s.db, s.facts)
	if err == nil {
		err = errors.Join(faults...)
	}
	if err != nil {
		return err
	}
	s.columns, s.stale = columns, false
	return s.reshape(ctx)
}

// step counts a row of the transaction and gives it its instant. It is false
// for one that was handed on before.
func (s *source) step(b *batch) bool {
	s.tx.rows++
	if s.tx.rows <= s.skip {
		return false
	}
	// Two microseconds apart, so that rows of chunks, which are not part of the sequence, fit in between.
	s.at.Clock = max(s.tx.time, s.at.Clock+2)
	s.at.Tx, s.at.Done = s.tx.final, s.tx.rows
	if !b.moved {
		b.moved, b.first = true, time.Now()
	}
	return true
}

func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
