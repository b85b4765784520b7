package county

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// table is the name of a source's table.
func (s *source) table() string {
	_, name, _ := strings.Cut(s.name, "/")
	return strings.ReplaceAll(name, "-", "_")
}

// tableColumns are the columns of the table but row_id. updated_at is what a
// reader follows: it grows as rows are entered, which the event time does not.
func (s *source) tableColumns() []column {
	return append(s.allColumns(), column{"updated_at", "", moment})
}

// createTable is the statement that creates the table, in the dialect.
func (s *source) createTable(rowID string, typeOf func(columnType) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (row_id %s", s.table(), rowID)
	for _, column := range s.tableColumns() {
		fmt.Fprintf(&b, ", %s %s", column.name, typeOf(column.kind))
	}
	b.WriteString(")")
	return b.String()
}

func (s *source) createIndex() string {
	return fmt.Sprintf("CREATE INDEX %s_changes ON %s (updated_at, row_id)", s.table(), s.table())
}

const (
	ownerName  = "county"
	readerName = "hub"
)

// postgresType is the type of a column in PostgreSQL.
func postgresType(kind columnType) string {
	switch kind {
	case integer:
		return "integer"
	case decimal:
		return "numeric(18,2)"
	case boolean:
		return "boolean"
	case calDate:
		return "date"
	case moment:
		return "timestamptz"
	default:
		return "text"
	}
}

func postgresValue(value any) any {
	switch v := value.(type) {
	case cents:
		return pgtype.Numeric{Int: big.NewInt(int64(v)), Exp: -2, Valid: true}
	case date:
		return v.time()
	case instant:
		return v.time()
	default:
		return v
	}
}

// loadPostgres fills the tables of the database unless its mark says that they
// are full. All of it is one transaction, so a half-loaded database does not exist.
func (c *County) loadPostgres(ctx context.Context, conn *pgx.Conn, reader string) (loaded bool, err error) {
	var found string
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('loaded') IS NOT NULL`).Scan(&exists); err != nil {
		return false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	if exists {
		if err := conn.QueryRow(ctx, `SELECT mark FROM loaded`).Scan(&found); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return false, fmt.Errorf("%w: %w", ErrDatabase, err)
		}
	}
	if found == c.mark() {
		return false, nil
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range c.sourcesOf(market) {
			if err := s.copyInto(ctx, tx); err != nil {
				return fmt.Errorf("table %s: %w", s.table(), err)
			}
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			DROP ROLE IF EXISTS %[1]s;
			CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s';
			GRANT pg_read_all_data TO %[1]s;
			DROP TABLE IF EXISTS loaded;
			CREATE TABLE loaded (mark text NOT NULL);
			INSERT INTO loaded VALUES ('%[3]s')`, readerName, reader, c.mark()))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("%w: load: %w", ErrDatabase, err)
	}
	if _, err := conn.Exec(ctx, `ANALYZE`); err != nil {
		return false, fmt.Errorf("%w: load: %w", ErrDatabase, err)
	}
	return true, nil
}

func (s *source) copyInto(ctx context.Context, tx pgx.Tx) error {
	create := s.createTable("bigserial PRIMARY KEY", postgresType)
	if _, err := tx.Exec(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s; %s", s.table(), create)); err != nil {
		return err
	}
	columns := s.tableColumns()
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = column.name
	}
	next, stop := iter.Pull(s.rows())
	defer stop()
	values := make([]any, len(names))
	_, err := tx.CopyFrom(ctx, pgx.Identifier{s.table()}, names, pgx.CopyFromFunc(func() ([]any, error) {
		r, more := next()
		if !more {
			return nil, nil
		}
		for i, value := range r.values {
			values[i] = postgresValue(value)
		}
		values[len(values)-1] = r.entered.time()
		return values, nil
	}))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, s.createIndex())
	return err
}

// sqliteType is the type of a column in SQLite. Amounts and times are text:
// the one keeps its digits, the other sorts by time.
func sqliteType(kind columnType) string {
	if kind == integer || kind == boolean {
		return "INTEGER"
	}
	return "TEXT"
}

func sqliteValue(value any) any {
	switch v := value.(type) {
	case nil, int, bool:
		return v
	default:
		return plain(v)
	}
}

const sqliteFile = "market.db"

// loadSQLite writes the tables into a new file of dir and gives it its name
// when it is complete, unless that file is there and has the mark.
func (c *County) loadSQLite(ctx context.Context, dir string) (loaded bool, err error) {
	path := filepath.Join(dir, sqliteFile)
	if _, err := os.Stat(path); err == nil {
		full, err := c.sqliteMarked(ctx, path)
		if full || err != nil {
			return false, err
		}
	}
	temporary := path + ".tmp"
	if err := os.RemoveAll(temporary); err != nil {
		return false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	// Nothing needs to survive a crash until the file has its name.
	db, err := sql.Open("sqlite", "file:"+temporary+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	db.SetMaxOpenConns(1)
	if err := errors.Join(c.fillSQLite(ctx, db), db.Close()); err != nil {
		return false, fmt.Errorf("%w: load: %w", ErrDatabase, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return true, nil
}

func (c *County) sqliteMarked(ctx context.Context, path string) (bool, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	var found string
	err = db.QueryRowContext(ctx, `SELECT mark FROM loaded`).Scan(&found)
	if err := errors.Join(err, db.Close()); err != nil {
		return false, fmt.Errorf("%w: %s is damaged; remove it: %w", ErrDatabase, sqliteFile, err)
	}
	return found == c.mark(), nil
}

func (c *County) fillSQLite(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for _, s := range c.sourcesOf(market) {
		if err := s.insertInto(ctx, tx); err != nil {
			return fmt.Errorf("table %s: %w", s.table(), err)
		}
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE loaded (mark TEXT NOT NULL)`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO loaded VALUES (?)`, c.mark()); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *source) insertInto(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, s.createTable("INTEGER PRIMARY KEY", sqliteType)); err != nil {
		return err
	}
	columns := s.tableColumns()
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = column.name
	}
	insert, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s)",
		s.table(), strings.Join(names, ", "), strings.Repeat(", ?", len(names)-1)))
	if err != nil {
		return err
	}
	defer insert.Close() //nolint:errcheck // the transaction ends with it
	if err := s.insertRows(ctx, insert, len(names)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, s.createIndex())
	return err
}

func (s *source) insertRows(ctx context.Context, insert *sql.Stmt, width int) error {
	values := make([]any, width)
	for r := range s.rows() {
		for i, value := range r.values {
			values[i] = sqliteValue(value)
		}
		values[len(values)-1] = sqliteValue(r.entered)
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}
