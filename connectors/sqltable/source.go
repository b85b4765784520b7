package sqltable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// source implements [connectors.Source], [connectors.Rereader] and [connectors.Scanner] on a table.
type source struct {
	def   connectors.Definition
	cfg   *connectors.SQL
	log   *slog.Logger
	now   func() time.Time
	table *Table // nil when not open
	order []int  // indexes into the table's columns: cursor, then key

	position position
	// heads are what the delay needs of what was seen of the head of the table.
	heads []mark
	seen  memory
	// turn says what is read next.
	turn int
	// roundOver says that a round through the whole table ended, which the caller has not been told yet.
	roundOver bool
	// looked is when rows that the order cannot reach were looked for since Open, unreached is the fault if there are some.
	looked    time.Time
	unreached error
}

const (
	// lookTime is how long looking for rows that the order cannot reach may take, which may have no index.
	lookTime = 5 * time.Second
	// lookEvery is how often they are looked for; rows may lose their cursor at any time.
	lookEvery = time.Hour
)

// New is the [connectors.Constructor] of tables.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	if def.SQL == nil {
		return nil, fmt.Errorf("%w: %s has no sql section", connectors.ErrDefinition, def.Name)
	}
	if _, err := dialectOf(def.SQL.Driver); err != nil {
		return nil, err
	}
	if order := def.SQL.Order(); len(order) == 0 || order[0] == "" {
		return nil, fmt.Errorf("%w: %s names no cursor, or in mode bulk no key", connectors.ErrDefinition, def.Name)
	}
	return &source{def: def, cfg: def.SQL, log: logger, now: time.Now}, nil
}

func (s *source) tableConfig() TableConfig {
	columns := s.def.Map.Columns()
	return TableConfig{
		Driver: s.cfg.Driver, DSNFile: s.cfg.DSNFile, Table: s.cfg.Table, Key: s.cfg.Key,
		Columns: columns, Mapped: len(columns), Charset: s.cfg.Charset, Limits: s.def.Limits,
	}
}

func (s *source) open(ctx context.Context) (*Table, error) {
	return openTable(ctx, s.tableConfig(), s.cfg.Order())
}

// Columns returns the columns of the table as they are now; it needs no Open and
// changes nothing.
func (s *source) Columns(ctx context.Context) ([]connectors.Column, error) {
	return ColumnsOf(ctx, s.tableConfig())
}

// Open connects and compares the definition with the table.
func (s *source) Open(ctx context.Context, after json.RawMessage) error {
	at, err := parsePosition(after, len(s.cfg.Order()), len(s.cfg.Key))
	if err != nil {
		return err
	}
	table, err := s.open(ctx)
	if err != nil {
		return err
	}
	s.table, s.order, s.position = table, table.order, at
	s.heads, s.seen, s.turn, s.roundOver, s.looked, s.unreached = nil, memory{}, 0, false, time.Time{}, nil
	s.beginMarks(s.now())
	return nil
}

// Close ends the connection.
func (s *source) Close(context.Context) error {
	if s.table == nil {
		return nil
	}
	table := s.table
	s.table = nil
	return table.Close()
}

// Read takes turns: what is new, then the overlap when it is due, then a range
// that is to be read again. So none of them keeps the others waiting.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.table == nil {
		return connectors.Batch{}, connectors.Away(connectors.FaultUnreachable, nil, "%s is not open", s.def.Name)
	}
	until, wait, err := s.observe(ctx)
	if err != nil {
		return connectors.Batch{}, err
	}
	s.duePass(s.now())
	for range 3 {
		turn := s.turn
		s.turn = (s.turn + 1) % 3
		switch {
		case turn == 0 && !wait:
			if rows, more, err := s.live(ctx, until); err != nil || more {
				return s.batch(rows, err)
			}
		case turn == 1 && s.position.Pass != nil:
			return s.batch(s.overlap(ctx))
		case turn == 2 && len(s.position.Rereads) > 0:
			return s.batch(s.chunk(ctx))
		}
	}
	if s.turn, s.roundOver = 0, false; wait && len(s.heads) > 0 {
		return connectors.Batch{}, connectors.ErrCaughtUp
	}
	return connectors.Batch{}, s.caughtUp(ctx)
}

// live reads what is new, or the next rows of a round through the whole table,
// of which it returns those that were not handed on as they are now. more is
// false when nothing was left to read.
func (s *source) live(ctx context.Context, until []string) (rows []connectors.Row, more bool, err error) {
	if s.roundOver {
		return nil, false, nil
	}
	current := s.cfg.Mode != connectors.Bulk
	rows, last, err := s.table.read(ctx, span{order: s.order, after: s.position.At, to: until, current: current}, s.def.Batch)
	if err != nil {
		return nil, false, err
	}
	more = len(rows) > 0
	switch {
	case s.cfg.Mode == connectors.Bulk:
		s.position.At, s.roundOver = last, !more
		rows = s.seen.news(rows)
	case more:
		s.position.At = last
		if s.cfg.Overlap > 0 {
			s.seen.add(rows)
		}
	}
	return rows, more, nil
}

// batch completes a batch of rows that were just read.
func (s *source) batch(rows []connectors.Row, err error) (connectors.Batch, error) {
	if err != nil {
		return connectors.Batch{}, err
	}
	encoded, err := json.Marshal(s.position)
	if err != nil {
		return connectors.Batch{}, fmt.Errorf("connectors: encode position: %w", err)
	}
	return connectors.Batch{Rows: rows, Position: encoded, Columns: s.table.Columns()}, nil
}

// caughtUp is ErrCaughtUp, unless there are rows that the order cannot reach.
func (s *source) caughtUp(ctx context.Context) error {
	if now := s.now(); s.unreached != nil || s.looked.IsZero() || now.Sub(s.looked) >= lookEvery {
		unreached, err := s.look(ctx)
		var f *connectors.Fault
		switch {
		case err == nil:
			s.looked, s.unreached = now, unreached
		case errors.As(err, &f) && f.Code == connectors.FaultSlow:
			s.looked = now
			s.log.WarnContext(ctx, "not known whether rows lack cursor or key: looking for them took too long", slog.String("table", s.cfg.Table))
		default:
			return err
		}
	}
	if s.unreached != nil {
		return s.unreached
	}
	return connectors.ErrCaughtUp
}

// look looks for rows that the order cannot reach, or must not.
func (s *source) look(ctx context.Context) (unreached, err error) {
	var faults []error
	rows, _, err := s.table.read(ctx, span{order: s.order, absent: true}, 1)
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		faults = append(faults, connectors.Refused(connectors.FaultKeyless, nil,
			"table %q has rows without %s, which cannot be read; fill these columns and declare them NOT NULL",
			s.cfg.Table, strings.Join(s.cfg.Order(), " or ")))
	}
	if s.cfg.Mode != connectors.Bulk {
		if rows, _, err = s.table.read(ctx, span{order: s.order[:1], ahead: true}, 1); err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			faults = append(faults, connectors.Refused(connectors.FaultColumn, nil,
				"column %q of table %q has values that lie more than a day ahead of the database's clock; these rows are not read, "+
					"because all that come later would be missed; correct them, or choose another cursor", s.cfg.Cursor, s.cfg.Table))
		}
	}
	return errors.Join(faults...), nil
}

// Reread queues a range of the key.
func (s *source) Reread(_ context.Context, id string, r connectors.KeyRange) error {
	if len(s.cfg.Key) == 0 {
		return connectors.Refused(connectors.FaultDefinition, nil, "table %q is read by its cursor alone; name its key to read ranges of it again", s.cfg.Table)
	}
	for _, end := range [][]string{r.From, r.To} {
		if end != nil && len(end) != len(s.cfg.Key) {
			return connectors.Refused(connectors.FaultDefinition, nil, "the key of table %q is (%s); an end of a range has that many values, not %d",
				s.cfg.Table, strings.Join(s.cfg.Key, ", "), len(end))
		}
	}
	if !slices.ContainsFunc(s.position.Rereads, func(q request) bool { return q.ID == id }) {
		s.position.Rereads = append(slices.Clone(s.position.Rereads), request{ID: id, Range: r})
	}
	return nil
}

// chunk reads on in the first of the ranges that are to be read again.
func (s *source) chunk(ctx context.Context) ([]connectors.Row, error) {
	first := s.position.Rereads[0]
	rows, err := s.table.Chunk(ctx, first.Range, first.After, s.def.Batch)
	if err != nil {
		return nil, err
	}
	s.position.Rereads = slices.Clone(s.position.Rereads)
	if len(rows) == 0 {
		s.position.Rereads = s.position.Rereads[1:]
	} else {
		s.position.Rereads[0].After = rows[len(rows)-1].Key
		s.seen.add(rows)
	}
	return rows, nil
}

// Scan reads the rows of a range of the key on a connection of its own.
func (s *source) Scan(ctx context.Context, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	if len(s.cfg.Key) == 0 && (r.From != nil || r.To != nil) {
		return connectors.Refused(connectors.FaultDefinition, nil, "table %q is read by its cursor alone; name its key to read ranges of it", s.cfg.Table)
	}
	table, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	what := span{order: table.keyOrder(), from: r.From, to: r.To}
	if len(what.order) == 0 {
		what.order = table.order
	}
	for {
		rows, last, err := table.read(ctx, what, s.def.Batch)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := yield(rows); err != nil {
			return err
		}
		what.after = last
	}
}
