package pglog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

// source implements [connectors.Source], [connectors.Acknowledger],
// [connectors.Rereader] and [connectors.Scanner].
type source struct {
	def    connectors.Definition
	cfg    *connectors.Log
	log    *slog.Logger
	config sqltable.TableConfig
	// identity are the columns that say which row and which record it is; the log must have them of deleted rows.
	identity     []string
	slotPatience time.Duration
	// reported says that a loss was told: Open begins anew, until a position of the new beginning is saved. Such
	// positions have a Clock of at least anew; it is 0 before there is a beginning.
	reported bool
	anew     int64

	open
}

// open is what Open makes.
type open struct {
	table *sqltable.Table
	db    *server
	wire  *wire
	facts facts
	oid   uint32
	// columns of the table as they were told last.
	columns []connectors.Column
	at      position
	from    pglogrepl.LSN // where the stream began
	// handed is when the last batch was returned, beat when the last sign of life was given.
	handed, beat time.Time
	told         pglogrepl.LSN // LSN of the last position that was returned
	gap          bool          // is told with the next batch

	relation relation
	stale    bool  // the columns must be asked for before the next rows
	where    []int // for each column selected, its place in the tuples, or -1
	identAt  []int // of identity, in the columns selected
	change   change
	cells    [][]byte
	tx       transaction
	skip     int // rows of the transaction at position.Tx that are handed on already
	lookups  int // how many rows are looked up at once

	chunk *chunk
	again time.Time     // when the next chunk may be tried
	pause time.Duration // how long was waited for it last
	// streamed are keys of rows that came since the first range began to be read again.
	streamed map[string]bool
	// recent are transactions that came and were not known to be visible yet.
	recent map[uint32]bool
	opened uint32 // a transaction that began when we opened
	since  time.Time
	sync   bool // commits wait for a standby, and may come long before they are visible
}

// transaction is the one at hand.
type transaction struct {
	begin
	open, touched bool
	rows          int
}

// New is the [connectors.Constructor] of PostgreSQL tables that are followed in the log.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	l := def.Log
	if l == nil || l.Driver != "postgres" || len(l.Key) == 0 || l.Slot == "" || l.Publication == "" {
		return nil, fmt.Errorf("%w: %s has no log section for PostgreSQL with key, slot and publication", connectors.ErrDefinition, def.Name)
	}
	columns := def.Map.Columns()
	s := &source{
		def: def, cfg: l, log: logger, identity: slices.Clone(l.Key), slotPatience: slotPatience,
		config: sqltable.TableConfig{
			Driver: l.Driver, DSNFile: l.DSNFile, Table: l.Table, Key: l.Key, Columns: columns, Mapped: len(columns),
			Charset: l.Charset, Limits: def.Limits,
		},
	}
	for _, f := range def.Map.Fields {
		if slices.Contains(def.Map.Key, f.To) && f.From != "" && !slices.Contains(s.identity, f.From) {
			s.identity = append(s.identity, f.From)
		}
	}
	return s, nil
}

// Columns returns the columns of the table as they are now; it needs no Open and
// changes nothing.
func (s *source) Columns(ctx context.Context) ([]connectors.Column, error) {
	return sqltable.ColumnsOf(ctx, s.config)
}

// Open connects, checks table, publication and slot, makes what is absent, and begins the stream.
func (s *source) Open(ctx context.Context, after json.RawMessage) (err error) {
	var at *position
	if after != nil {
		parsed, err := parsePosition(after, len(s.cfg.Key))
		if err != nil {
			return err
		}
		at = &parsed
	}
	defer func() {
		if err != nil {
			s.release()
			err = s.fault(ctx, "beginning to follow the log", err)
		}
	}()
	s.open = open{recent: map[uint32]bool{}, streamed: map[string]bool{}, lookups: 2, stale: true}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx, s.db, at); err != nil {
		return err
	}
	if err := s.reshape(ctx); err != nil {
		return err
	}
	row, err := s.db.one(ctx, `SELECT current_setting('synchronous_standby_names') <> '', txid_current()`)
	if err != nil {
		return err
	}
	if s.opened, err = shortXID(row[1]); err != nil {
		return err
	}
	s.sync, s.since, s.skip = row[0] == "t", time.Now(), s.at.Done
	s.handed, s.beat, s.told, s.from = s.since, s.since, s.at.LSN, s.at.LSN
	s.wire, err = start(ctx, s.db.cfg, s.cfg.Slot, s.db.names.Stored(s.cfg.Publication), s.at.LSN)
	if err != nil {
		if loses(err) {
			return s.lost("cannot give what comes next", err)
		}
		return err
	}
	s.wire.seen.Store(uint64(s.at.LSN))
	return nil
}

// connect opens the table and compares it with the definition.
func (s *source) connect(ctx context.Context) error {
	var faults []error
	var err error
	if s.table, err = sqltable.OpenTable(ctx, s.config); err != nil {
		if !errors.Is(err, connectors.ErrRefused) {
			return err
		}
		faults = append(faults, err)
	}
	if s.db, err = dial(ctx, s.cfg); err != nil {
		if len(faults) > 0 {
			return faults[0] // the same, most likely
		}
		return s.fault(ctx, "connecting", err)
	}
	if s.facts, err = s.inspect(ctx, s.db); err != nil {
		faults = append(faults, s.fault(ctx, "looking at the table", err))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	oid, err := strconv.ParseUint(s.facts.oid, 10, 32)
	if err != nil {
		return err
	}
	s.oid = uint32(oid)
	selected := s.table.Selected()
	s.cells, s.identAt = make([][]byte, len(selected)), nil
	for _, name := range s.identity {
		s.identAt = append(s.identAt, slices.Index(selected, name))
	}
	s.columns = s.table.Columns()
	return nil
}

// Acknowledge lets the server drop the log before position.
func (s *source) Acknowledge(_ context.Context, saved json.RawMessage) error {
	if s.wire == nil {
		return connectors.Away(connectors.FaultUnreachable, nil, "%s is not open", s.def.Name)
	}
	at, err := parsePosition(saved, len(s.cfg.Key))
	if err != nil {
		return err
	}
	if at.Of != s.at.Of || at.LSN < s.from || at.LSN > s.told {
		return nil // of a slot that was lost, or of a state of the server that was
	}
	s.begun(at)
	s.wire.flushed.Store(max(s.wire.flushed.Load(), uint64(at.LSN)))
	return nil
}

// Reread queues a range of keys, once it is known that the database can
// compare them: in the position, a range that it cannot would stop the source.
func (s *source) Reread(ctx context.Context, id string, r connectors.KeyRange) error {
	if s.wire == nil {
		return connectors.Away(connectors.FaultUnreachable, nil, "%s is not open", s.def.Name)
	}
	asked := reread{ID: id, KeyRange: r}
	switch {
	case id == "" || len(id) > 200:
		return connectors.Refused(connectors.FaultDefinition, nil, "a request to read again needs an id of at most 200 bytes")
	case !asked.fits(len(s.cfg.Key)):
		return connectors.Refused(connectors.FaultDefinition, nil, "an end of a range has the columns of the key, %d of them", len(s.cfg.Key))
	case slices.ContainsFunc(s.at.Rereads, func(q reread) bool { return q.ID == id }):
		return nil
	}
	size := asked.size()
	for _, q := range s.at.Rereads {
		size += q.size()
	}
	if len(s.at.Rereads) >= maxRereads || size > maxRangeBytes {
		return connectors.Refused(connectors.FaultBusy, nil, "%d requests to read again are waiting, or their keys are too long; ask again when they are done", len(s.at.Rereads))
	}
	_, err := s.table.Chunk(ctx, r, nil, 1)
	var fault *connectors.Fault
	switch {
	case errors.As(err, &fault) && fault.Code == connectors.FaultDefinition: // its cause has the key
		return connectors.Refused(connectors.FaultDefinition, nil, "an end of the range is no key (%s) of table %q that the database can compare",
			strings.Join(s.cfg.Key, ", "), s.cfg.Table)
	case err != nil:
		return s.fault(ctx, "reading again", err)
	}
	s.at.Rereads = append(slices.Clone(s.at.Rereads), asked)
	return nil
}

// Scan reads the table as it is now.
func (s *source) Scan(ctx context.Context, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	other := *s // shares nothing that changes
	other.open = open{}
	defer other.release()
	if err := other.connect(ctx); err != nil {
		return err
	}
	if _, err := other.publication(ctx, other.db, other.facts, false); err != nil {
		return s.fault(ctx, "looking at the publication", err)
	}
	other.db.close()
	other.db = nil
	var after []string
	for {
		rows, err := other.table.Chunk(ctx, r, after, s.def.Batch)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].Key
		if err := yield(rows); err != nil {
			return err
		}
	}
}

// Close ends the connections. The slot stays.
func (s *source) Close(context.Context) error {
	s.release()
	return nil
}

func (s *source) release() {
	if s.wire != nil {
		s.wire.close()
	}
	if s.db != nil {
		s.db.close()
	}
	if s.table != nil {
		_ = s.table.Close() // its error says that the connection was broken
	}
	s.open = open{}
}
