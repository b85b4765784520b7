package binlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

const (
	openTimeout = 30 * time.Second
	// longestWait bounds how long a Read waits for the first change.
	longestWait = time.Second
	// beyond is the first offset in a file that the server cannot be asked for.
	beyond = 1 << 32
	// lull is how long a batch that has rows waits for more.
	lull = time.Millisecond
)

// source implements [connectors.Source], [connectors.Rereader] and
// [connectors.Scanner] on the binlog. One goroutine reads the log and, between
// two transactions of it, the table.
type source struct {
	def    connectors.Definition
	cfg    *connectors.Log
	log    *slog.Logger
	target target

	control *control
	dump    *dump
	// rows makes rows of cells; it has no connection. table reads, while something is to be read.
	rows, table *sqltable.Table
	selected    []string
	// identifies says which cells are the key, for the source or for the record.
	identifies []bool

	// position is behind the rows that were handed on; it becomes that of the next batch.
	position position
	// skip is how many changes of the next transaction were handed on before the source was opened.
	skip  int
	group group
	plan  *plan
	// tableID is that of plan in the log.
	tableID uint64
	// parents are the tables by whose changes foreign keys change ours, parentIDs
	// are their numbers in the transaction at hand.
	parents   map[string]bool
	parentIDs []uint64
	// ownParent says that ours is one of them.
	ownParent bool
	// event is the one that is being handed on, queue what was made of its last row.
	event *rowsEvent
	queue []connectors.Row
	chunk *chunk
	// seen is set while all of the table is to be read.
	seen *seen

	// fresh says that the position must be saved before any row is handed on, so that what follows is the same when it is repeated.
	fresh bool
	// gap goes to the next batch.
	gap bool
	// stale says that the columns were changed here; sure is up to where the log agrees with the columns as they were
	// asked for. Changes before described were made when they were asked for.
	stale           bool
	sure, described place
	// mismatches is how often in a row a chunk had other columns than the log.
	mismatches int
	// anew says that a loss of the log, or columns that do not fit it, was reported: the next Open starts anew.
	anew bool
	// begun is when the source last began anew, and with which columns.
	begun beginning
	// saved and savedAt are the position of the last batch and when it was handed on.
	saved   place
	savedAt time.Time
}

// patience is how long rows that do not fit columns which are the same still do not have the table read anew once more.
const patience = time.Hour

// beginning is one anew.
type beginning struct {
	at      time.Time
	columns []column
}

// group is the transaction at hand.
type group struct {
	// open is set between its first event and its last.
	open bool
	// transaction is set once it is known not to be a single statement.
	transaction bool
	start       place
	// changes of our table were seen so far.
	changes int
}

// New is the [connectors.Constructor] of tables that are followed in a binlog.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	switch {
	case def.Log == nil:
		return nil, fmt.Errorf("%w: %s has no log section", connectors.ErrDefinition, def.Name)
	case def.Log.Driver != "mysql" && def.Log.Driver != "mariadb":
		return nil, fmt.Errorf("%w: %s: driver %q has no binlog", connectors.ErrDefinition, def.Name, def.Log.Driver)
	case def.Log.ServerID == 0 || len(def.Log.Key) == 0:
		return nil, fmt.Errorf("%w: %s needs log.server_id and log.key", connectors.ErrDefinition, def.Name)
	case def.Limits.Connections == 1:
		return nil, fmt.Errorf("%w: %s needs two connections: limits.connections must be 2 or more", connectors.ErrDefinition, def.Name)
	}
	return &source{def: def, cfg: def.Log, log: logger}, nil
}

func (s *source) tableConfig() sqltable.TableConfig {
	columns := s.def.Map.Columns()
	return sqltable.TableConfig{
		Driver: s.cfg.Driver, DSNFile: s.cfg.DSNFile, Table: s.cfg.Table, Key: s.cfg.Key,
		Columns: columns, Mapped: len(columns), Charset: s.cfg.Charset, Limits: s.def.Limits, LogPlace: true,
	}
}

// Columns returns the columns of the table as they are now; it needs no Open and
// changes nothing.
func (s *source) Columns(ctx context.Context) ([]connectors.Column, error) {
	cfg := s.tableConfig()
	cfg.LogPlace = false
	return sqltable.ColumnsOf(ctx, cfg)
}

// Open compares the definition with the table and the server's settings, and
// asks for the binlog behind the position.
func (s *source) Open(ctx context.Context, after json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	*s = source{def: s.def, cfg: s.cfg, log: s.log, anew: s.anew, begun: s.begun}
	var from *position
	if after != nil {
		p, err := parsePosition(after)
		if err != nil {
			return err
		}
		from = &p
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.openRows(ctx); err != nil {
		return err
	}
	columns, err := s.describe(ctx)
	if err != nil {
		return err
	}
	switch {
	case from == nil:
		return s.begin(ctx, nil, columns)
	case s.anew:
		if err = s.begin(ctx, from, columns); err == nil {
			s.anew = false
		}
		return err
	}
	if err = s.lost(ctx, from, columns); err == nil {
		s.position, s.skip = *from, from.Done
		s.position.Columns = withMembers(from.Columns, columns)
		if slices.ContainsFunc(from.Rereads, func(r reread) bool { return r.ID == "" }) {
			s.seen = newSeen()
		}
		err = s.follow(ctx)
	}
	return s.remember(err)
}

// remember makes the next Open start anew if changes of the log cannot be had
// any more. Rows that never fit must not have all of the table read again and again.
func (s *source) remember(err error) error {
	var f *connectors.Fault
	if !errors.As(err, &f) {
		return err
	}
	if f.Code == connectors.FaultLogPurged {
		s.anew = true
	}
	if f.Code == connectors.FaultSchema {
		s.anew = time.Since(s.begun.at) > patience || !slices.Equal(s.position.Columns, s.begun.columns)
	}
	return err
}

// withMembers completes columns, as they were, with the names of values that were not wanted then; they are as they are
// now if the columns are.
func withMembers(before, now []column) []column {
	all := slices.Clone(before)
	for i, was := range all {
		if k := slices.IndexFunc(now, func(is column) bool { return is.Name == was.Name }); k >= 0 && was.Members == "" {
			if was.Members = now[k].Members; was == now[k] {
				all[i] = was
			}
		}
	}
	return all
}

// openRows checks the table and the columns, and makes ready to make rows.
func (s *source) openRows(ctx context.Context) error {
	rows, err := sqltable.OpenTable(ctx, s.tableConfig())
	if err != nil {
		return err
	}
	if err := rows.Close(); err != nil {
		return err
	}
	s.rows, s.selected = rows, rows.Selected()
	s.identifies = make([]bool, len(s.selected))
	for i, name := range s.selected {
		s.identifies[i] = slices.Contains(s.cfg.Key, name)
		for _, f := range s.def.Map.Fields {
			if f.From == name && slices.Contains(s.def.Map.Key, f.To) {
				s.identifies[i] = true
			}
		}
	}
	s.plan = nil
	return nil
}

// describe returns the columns of the table, as openRows found them, and refuses what of them cannot be read from the log.
func (s *source) describe(ctx context.Context) ([]column, error) {
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	charsets := s.rows.CharacterSets()
	columns := make([]column, len(charsets))
	for i, c := range s.rows.Columns() {
		columns[i] = column{Name: c.Name, Type: c.Type, Nullable: c.Nullable, Charset: charsets[i]}
	}
	for _, c := range columns {
		why := c.unreadable()
		if c.kind() == "uuid" && !s.control.atLeast(10, 11) { // versions before were not at hand
			why = "is of type uuid, whose form in the binlog of this version is not known here"
		}
		if why != "" && (c.compressed() || slices.Contains(s.selected, c.Name)) {
			return nil, connectors.Refused(connectors.FaultColumn, nil, "column %q of table %q %s; leave it out, or follow the table with kind: sql", c.Name, s.cfg.Table, why)
		}
	}
	if err := s.describeMembers(ctx, columns); err != nil {
		return nil, err
	}
	why, err := s.control.hidden(ctx, s.limit(), s.target.schema, s.target.table)
	if err != nil {
		return nil, s.fault(ctx, "describing the table", err)
	}
	if why != "" {
		return nil, connectors.Refused(connectors.FaultColumn, nil, "table %q %s; its rows in the binlog are of another form, follow it with kind: sql", s.cfg.Table, why)
	}
	if s.parents, err = s.control.parents(ctx, s.limit(), s.target.schema, s.target.table); err != nil {
		return nil, s.fault(ctx, "listing the foreign keys", err)
	}
	s.ownParent = false
	for name := range s.parents {
		schema, table, _ := strings.Cut(name, ".")
		s.ownParent = s.ownParent || s.target.is(schema, table)
	}
	return columns, nil
}

// describeMembers finds the names of the values of ENUM and SET columns that are wanted.
func (s *source) describeMembers(ctx context.Context, columns []column) error {
	for i, c := range columns {
		if !c.listed() || !slices.Contains(s.selected, c.Name) {
			continue
		}
		var err error
		if columns[i].Members, err = s.control.members(ctx, s.limit(), s.target, c); err != nil {
			return s.fault(ctx, "describing the table", err)
		}
		if columns[i].Members != "" {
			continue
		}
		rows, err := s.control.query(ctx, s.limit(), "SHOW GLOBAL VARIABLES LIKE 'binlog_row_metadata'")
		if err != nil {
			return s.fault(ctx, "asking for the settings", err)
		}
		if len(rows) == 0 || !strings.EqualFold(rows[0]["value"], "FULL") {
			return connectors.Refused(connectors.FaultColumn, nil, "a value of column %q of table %q has a question mark in its name, for which another character "+
				"may stand that the server's catalogue cannot show; run SET GLOBAL binlog_row_metadata = 'FULL', leave the column out, or follow the table with kind: sql",
				c.Name, s.cfg.Table)
		}
	}
	return nil
}

// lost says why the log cannot be followed from a position; nil if it can, as far as is known.
func (s *source) lost(ctx context.Context, from *position, columns []column) error {
	if from.Offset >= beyond {
		return connectors.Refused(connectors.FaultLogPurged, nil, "the binlog cannot be asked for what lies beyond 4 GiB in one file (%s)", from.place)
	}
	held, err := s.control.holds(ctx, s.limit(), from.place)
	if err != nil {
		return s.fault(ctx, "listing the binlog", err)
	}
	if !held {
		return s.purged(from.place)
	}
	if err := s.fits(from.Columns, columns); err != nil {
		return err
	}
	for i, c := range columns {
		if len(columns) == len(from.Columns) && slices.Contains(s.selected, c.Name) && !slices.ContainsFunc(from.Columns, func(was column) bool { return was.Name == c.Name }) {
			return connectors.Refused(connectors.FaultSchema, nil, "column %q of table %q was called %q while the binlog was not read, so older rows in it cannot be read rightly; "+
				"the table is read again", c.Name, s.cfg.Table, from.Columns[i].Name)
		}
	}
	return nil
}

// fits compares the wanted columns as they were with what they are.
func (s *source) fits(before, now []column) error {
	for _, was := range before {
		for _, is := range now {
			other := was.Type != is.Type || was.Charset != is.Charset || was.Members != "" && was.Members != is.Members
			if was.Name == is.Name && slices.Contains(s.selected, is.Name) && other {
				return connectors.Refused(connectors.FaultSchema, nil,
					"column %q of table %q was changed from %s to %s while the binlog was not read, so older rows in it cannot be read rightly; "+
						"the table is read anew", is.Name, s.cfg.Table, was.Type, is.Type)
			}
		}
	}
	return nil
}

func (s *source) purged(p place) error {
	return connectors.Refused(connectors.FaultLogPurged, nil,
		"the server no longer has its binlog at %s, where reading stopped: changes may be missed, the table is read anew; "+
			"let the server keep its binlog for longer (binlog_expire_logs_seconds, expire_logs_days)", p)
}

// begin starts at the end of the log, with all of the table to be read.
func (s *source) begin(ctx context.Context, before *position, columns []column) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	end, err := s.control.end(ctx, s.limit())
	if err != nil {
		return s.fault(ctx, "asking for the end of the binlog", err)
	}
	now, err := s.control.now(ctx, s.limit())
	if err != nil {
		return s.fault(ctx, "asking for the time", err)
	}
	s.position = position{place: end, Clock: now, Columns: columns, Rereads: []reread{{}}}
	s.fresh, s.skip, s.gap, s.seen = true, 0, before != nil, newSeen()
	if before != nil {
		s.begun = beginning{at: time.Now(), columns: columns}
		s.position.Clock = max(now, before.Clock+2)
		for _, r := range before.Rereads {
			if r.ID != "" {
				s.position.Rereads = append(s.position.Rereads, reread{ID: r.ID, Range: r.Range})
			}
		}
	}
	return s.follow(ctx)
}

// follow opens the stream of events at the position.
func (s *source) follow(ctx context.Context) error {
	if s.position.Offset >= beyond {
		return connectors.Away(connectors.FaultBusy, nil,
			"the binlog cannot be followed from %s, beyond 4 GiB in one file; wait for the server's next file, or run FLUSH BINARY LOGS", s.position.place)
	}
	conn, err := s.target.connect(ctx)
	if err != nil {
		return s.fault(ctx, "connecting", err)
	}
	flags := uint16(0)
	if s.control != nil && s.control.mariadb && s.control.atLeast(11, 4) {
		flags = annotate
	}
	s.dump, err = startDump(ctx, conn, s.cfg.ServerID, s.position.place, flags, s.heartbeat())
	if err != nil {
		_ = conn.Close()
		s.dump = nil
		return s.streamFault(ctx, err)
	}
	if s.position.Born != 0 && s.position.Born != s.dump.born {
		s.dump.close()
		s.dump = nil
		return s.purged(s.position.place)
	}
	s.position.Born = s.dump.born
	s.saved, s.savedAt = s.position.place, time.Now()
	return nil
}

func (s *source) limit() time.Duration { return cmp.Or(s.def.Limits.QueryTime, time.Minute) }

func (s *source) heartbeat() time.Duration {
	return min(max(s.cfg.Heartbeat, time.Second), 10*time.Second)
}

// Close ends the connections.
func (s *source) Close(context.Context) error {
	s.release()
	if s.dump != nil {
		s.dump.close()
		s.dump = nil
	}
	if s.table != nil {
		_ = s.table.Close()
		s.table = nil
	}
	return nil
}

// connect makes sure that the server can be asked.
func (s *source) connect(ctx context.Context) error {
	if s.control != nil {
		return nil
	}
	var err error
	if s.target.address == "" {
		if s.target, err = readTarget(s.cfg); err != nil {
			return err
		}
	}
	conn, err := s.target.connect(ctx)
	if err != nil {
		return s.fault(ctx, "connecting", err)
	}
	s.control = newControl(conn)
	if err := s.settings(ctx); err != nil {
		s.release()
		return err
	}
	return nil
}

// release ends the connection for questions.
func (s *source) release() {
	if s.control != nil {
		_ = s.control.conn.Close()
		s.control = nil
	}
}

// Reread puts a range behind those that are still to be read.
func (s *source) Reread(_ context.Context, id string, r connectors.KeyRange) error {
	for _, end := range [][]string{r.From, r.To} {
		if len(end) > len(s.cfg.Key) {
			return connectors.Refused(connectors.FaultDefinition, nil, "an end of the range has %d texts, the key has %d columns (%s)",
				len(end), len(s.cfg.Key), strings.Join(s.cfg.Key, ", "))
		}
	}
	if slices.ContainsFunc(s.position.Rereads, func(r reread) bool { return r.ID == id }) {
		return nil
	}
	if len(s.position.Rereads) >= maxRereads {
		return connectors.Refused(connectors.FaultBusy, nil, "%d ranges are waiting to be read again already", len(s.position.Rereads))
	}
	s.position.Rereads = append(slices.Clone(s.position.Rereads), reread{ID: id, Range: r})
	return nil
}

// Scan reads the table itself on a connection of its own.
func (s *source) Scan(ctx context.Context, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	table, err := s.checked(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	var after []string
	for {
		rows, err := table.Chunk(ctx, r, after, s.def.Batch)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].Key
		if err := yield(rows); err != nil {
			return err
		}
	}
}
