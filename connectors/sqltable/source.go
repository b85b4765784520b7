package sqltable

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

const (
	openTimeout  = 15 * time.Second
	queryTimeout = 70 * time.Second // above the database's own limit, which gives the better message
	maxDSNBytes  = 4096
	rawHead      = 64 << 10
)

// source implements [connectors.Source] on a table.
type source struct {
	def     connectors.Definition
	cfg     *connectors.SQL
	log     *slog.Logger
	dialect dialect
	// selected are the columns of the mapping, then cursor and key if they are not among them.
	selected     []string
	mapped       int
	cursor, key  int // indexes into selected
	db           *sql.DB
	position     *position
	first, after string // queries without and with a position
	// unreachable says that there are rows without cursor or key.
	unreachable bool
}

// position is the cursor and key of the last row: a JSON string with the
// database's own text, or a JSON number for an integer of SQLite.
type position struct {
	Cursor json.RawMessage `json:"cursor"`
	Key    json.RawMessage `json:"key"`
}

// New is the [connectors.Constructor] of tables.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	if def.SQL == nil {
		return nil, fmt.Errorf("%w: %s has no sql section", connectors.ErrDefinition, def.Name)
	}
	s := &source{def: def, cfg: def.SQL, log: logger, dialect: dialectOf(def.SQL.Driver), selected: def.Map.Columns()}
	s.mapped = len(s.selected)
	index := func(name string) int {
		if i := slices.Index(s.selected, name); i >= 0 {
			return i
		}
		s.selected = append(s.selected, name)
		return len(s.selected) - 1
	}
	s.cursor, s.key = index(s.cfg.Cursor), index(s.cfg.Key[0])
	return s, nil
}

// Open connects and compares the definition with the table.
func (s *source) Open(ctx context.Context, after json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.setPosition(after); err != nil {
		return err
	}
	dsn, err := s.readDSN()
	if err != nil {
		return err
	}
	if s.db, err = sql.Open(s.dialect.driver, dsn); err != nil {
		return fmt.Errorf("%w: the database URL cannot be used: %w", connectors.ErrRefused, err)
	}
	s.db.SetMaxOpenConns(1)
	columns, err := s.dialect.describe(ctx, s.db, s.cfg.Table)
	if err != nil {
		return s.fault("connecting", err)
	}
	if err := s.check(ctx, columns); err != nil {
		return err
	}
	return s.prepare(ctx, columns)
}

func (s *source) setPosition(after json.RawMessage) error {
	s.position = nil
	if after == nil {
		return nil
	}
	var at position
	decoder := json.NewDecoder(bytes.NewReader(after))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&at); err != nil {
		return fmt.Errorf("%w: %q is no position in a table", connectors.ErrPosition, after)
	}
	for _, part := range []json.RawMessage{at.Cursor, at.Key} {
		if _, err := parameter(part); err != nil {
			return fmt.Errorf("%w: %q is no position in a table", connectors.ErrPosition, after)
		}
	}
	s.position = &at
	return nil
}

func (s *source) readDSN() (string, error) {
	name := filepath.Base(s.cfg.DSNFile)
	content, err := os.ReadFile(s.cfg.DSNFile)
	if err != nil {
		return "", fmt.Errorf("%w: dsn_file: %w", connectors.ErrRefused, err)
	}
	text := strings.TrimSpace(string(content))
	if len(text) > maxDSNBytes || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("%w: dsn_file %q must hold one line", connectors.ErrRefused, name)
	}
	dsn, err := s.dialect.dataSource(text, filepath.Dir(s.cfg.DSNFile))
	if err != nil {
		return "", fmt.Errorf("%w: dsn_file %q: %w", connectors.ErrRefused, name, err)
	}
	return dsn, nil
}

// check compares the definition with the columns of the table.
func (s *source) check(ctx context.Context, columns []column) error {
	if len(columns) == 0 {
		tables, err := s.dialect.list(ctx, s.db)
		if err != nil {
			return s.fault("listing tables", err)
		}
		return fmt.Errorf("%w: there is no table %q, or no right to read it; there are %s", connectors.ErrRefused, s.cfg.Table, listed(tables))
	}
	var names, missing []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	for _, name := range s.selected {
		if !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: table %q has no column %s; it has %s", connectors.ErrRefused, s.cfg.Table, listed(missing), listed(names))
	}
	for _, name := range []string{s.cfg.Cursor, s.cfg.Key[0]} {
		switch kind := strings.ToLower(columns[slices.Index(names, name)].kind); {
		case strings.HasPrefix(kind, "real"), strings.HasPrefix(kind, "double"), strings.HasPrefix(kind, "float"):
			return fmt.Errorf("%w: column %q is of type %s, which cannot be compared exactly; use a timestamp or an integer as cursor and key",
				connectors.ErrRefused, name, kind)
		}
	}
	return nil
}

// prepare writes the queries and looks for rows that they cannot reach.
func (s *source) prepare(ctx context.Context, columns []column) error {
	find := func(name string) column {
		return columns[slices.IndexFunc(columns, func(c column) bool { return c.name == name })]
	}
	cursor, key := find(s.cfg.Cursor), find(s.cfg.Key[0])
	table := s.dialect.table(s.cfg.Table)
	// Qualified, because ORDER BY takes a bare name for that of an output column, and those are text here: 10 would come
	// before 9, and rows be skipped.
	column := func(name string) string { return "t." + quote(name) }
	pair := column(cursor.name) + ", " + column(key.name)
	expressions := make([]string, len(s.selected))
	for i, name := range s.selected {
		expressions[i] = s.dialect.expression(column(name))
	}
	list := "SELECT " + strings.Join(expressions, ", ") + " FROM " + table + " AS t"
	order := fmt.Sprintf(" ORDER BY %s LIMIT %d", pair, s.def.Batch)
	s.first = fmt.Sprintf("%s WHERE %s IS NOT NULL AND %s IS NOT NULL%s", list, column(cursor.name), column(key.name), order)
	s.after = fmt.Sprintf("%s WHERE (%s) > (%s, %s)%s", list, pair, s.dialect.parameter(1, cursor), s.dialect.parameter(2, key), order)

	return s.findUnreachable(ctx, table, cursor, key)
}

// findUnreachable looks for rows without cursor or key. On a large table
// without index the answer may take too long; then it is left open.
func (s *source) findUnreachable(ctx context.Context, table string, columns ...column) error {
	s.unreachable = false
	var without []string
	for _, c := range columns {
		if c.nullable {
			without = append(without, quote(c.name)+" IS NULL")
		}
	}
	if len(without) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, openTimeout/2)
	defer cancel()
	var one int
	err := s.db.QueryRowContext(limited, "SELECT 1 FROM "+table+" WHERE "+strings.Join(without, " OR ")+" LIMIT 1").Scan(&one)
	switch {
	case err == nil:
		s.unreachable = true
	case errors.Is(err, sql.ErrNoRows):
	case limited.Err() != nil && ctx.Err() == nil:
		s.log.WarnContext(ctx, "not known whether rows lack cursor or key: looking for them took too long", slog.String("table", s.cfg.Table))
	default:
		return s.fault("looking for rows without cursor in", err)
	}
	return nil
}

// Close ends the connection.
func (s *source) Close(context.Context) error {
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// Read runs one query in one read-only transaction.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.db == nil {
		return connectors.Batch{}, fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return connectors.Batch{}, s.fault("beginning to read", err)
	}
	rows, last, err := s.query(ctx, tx)
	if rerr := tx.Rollback(); err == nil && rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
		err = rerr
	}
	switch {
	case err != nil:
		return connectors.Batch{}, s.fault("reading", err)
	case len(rows) > 0:
	case s.unreachable:
		return connectors.Batch{}, fmt.Errorf("%w: table %q has rows without %s or %s, which cannot be read; fill these columns or declare them NOT NULL",
			connectors.ErrRefused, s.cfg.Table, s.cfg.Cursor, s.cfg.Key[0])
	default:
		return connectors.Batch{}, connectors.ErrCaughtUp
	}
	encoded, err := json.Marshal(last)
	if err != nil {
		return connectors.Batch{}, fmt.Errorf("connectors: encode position: %w", err)
	}
	s.position = last
	return connectors.Batch{Rows: rows, Position: encoded}, nil
}

func (s *source) query(ctx context.Context, tx *sql.Tx) (batch []connectors.Row, last *position, err error) {
	if s.dialect.begin != "" {
		if _, err := tx.ExecContext(ctx, s.dialect.begin); err != nil {
			return nil, nil, err
		}
	}
	query, args := s.first, []any(nil)
	if s.position != nil {
		query = s.after
		for _, part := range []json.RawMessage{s.position.Cursor, s.position.Key} {
			arg, err := parameter(part)
			if err != nil {
				return nil, nil, err
			}
			args = append(args, arg)
		}
	}
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }()
	cells := make([]any, len(s.selected))
	targets := make([]any, len(cells))
	for i := range cells {
		targets[i] = &cells[i]
	}
	size := 0
	for size < connectors.MaxBatchBytes && rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, nil, err
		}
		row, err := s.row(cells)
		if err != nil {
			return nil, nil, err
		}
		batch = append(batch, row)
		size += len(row.Raw)
	}
	if err := rows.Err(); err != nil || len(batch) == 0 {
		return nil, nil, err
	}
	last = &position{} // the cells are still those of the last row
	if last.Cursor, err = positionPart(cells[s.cursor]); err != nil {
		return nil, nil, fmt.Errorf("column %q: %w", s.cfg.Cursor, err)
	}
	if last.Key, err = positionPart(cells[s.key]); err != nil {
		return nil, nil, fmt.Errorf("column %q: %w", s.cfg.Key[0], err)
	}
	return batch, last, nil
}

func (s *source) row(cells []any) (connectors.Row, error) {
	values := make([]connectors.Value, len(cells))
	size := 0
	for i, cell := range cells {
		var err error
		if values[i], err = text(cell); err != nil {
			return connectors.Row{}, fmt.Errorf("column %q: %w", s.selected[i], err)
		}
		size += len(values[i].Text) + len(s.selected[i]) + 8
	}
	row := connectors.Row{
		Values: values[:s.mapped],
		Raw:    connectors.RawJSON(make([]byte, 0, size), s.selected, values),
		Origin: s.cfg.Table + ":" + values[s.key].Text,
	}
	if len(row.Raw) > connectors.MaxRowBytes {
		row.Values, row.Raw = nil, bytes.Clone(row.Raw[:rawHead])
		row.Rejection = &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, rawHead),
		}
	}
	return row, nil
}

// text is the text of a cell. PostgreSQL sends text for everything; SQLite has
// five types of value, and its floats are written with the digits that give
// the same float again.
func text(cell any) (connectors.Value, error) {
	switch v := cell.(type) {
	case nil:
		return connectors.Value{Null: true}, nil
	case string:
		return connectors.Value{Text: v}, nil
	case int64:
		return connectors.Value{Text: strconv.FormatInt(v, 10)}, nil
	case float64:
		format := byte('f')
		if abs := math.Abs(v); abs >= 1e21 || abs != 0 && abs < 1e-6 {
			format = 'e'
		}
		return connectors.Value{Text: strconv.FormatFloat(v, format, -1, 64)}, nil
	case []byte:
		return connectors.Value{Text: `\x` + hex.EncodeToString(v)}, nil
	}
	return connectors.Value{}, fmt.Errorf("unexpected value of type %T", cell)
}

// positionPart encodes a cursor or key.
func positionPart(cell any) (json.RawMessage, error) {
	switch v := cell.(type) {
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: a value is not UTF-8", connectors.ErrRefused)
		}
		return json.Marshal(v)
	case int64:
		return strconv.AppendInt(nil, v, 10), nil
	}
	return nil, fmt.Errorf("%w: a value of type %T cannot be compared exactly; use a timestamp or an integer as cursor and key",
		connectors.ErrRefused, cell)
}

// parameter decodes what positionPart encoded.
func parameter(part json.RawMessage) (any, error) {
	if len(part) > 0 && part[0] == '"' {
		var text string
		err := json.Unmarshal(part, &text)
		return text, err
	}
	return strconv.ParseInt(string(part), 10, 64)
}

// fault says whether the database is away or does not agree with the definition.
func (s *source) fault(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, connectors.ErrRefused) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "57014":
			return fmt.Errorf("%w: %s table %q took too long; it needs an index on (%s, %s): %w",
				connectors.ErrNotConnected, doing, s.cfg.Table, s.cfg.Cursor, s.cfg.Key[0], err)
		case strings.HasPrefix(pg.Code, "42"), strings.HasPrefix(pg.Code, "28"), strings.HasPrefix(pg.Code, "3D"), strings.HasPrefix(pg.Code, "22"):
			return fmt.Errorf("%w: %s table %q: %w", connectors.ErrRefused, doing, s.cfg.Table, err)
		}
	}
	return fmt.Errorf("%w: %s table %q: %w", connectors.ErrNotConnected, doing, s.cfg.Table, err)
}

// listed names tables or columns in a message, at most 40 of them.
func listed(names []string) string {
	more := ""
	if len(names) > 40 {
		names, more = names[:40], " and more"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return strings.Join(quoted, ", ") + more
}
