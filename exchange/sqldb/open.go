package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	"modernc.org/sqlite"               // registers the driver "sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// ErrUnavailable is returned by [Open] for a URL that names no database or a
// database that does not answer.
var ErrUnavailable = errors.New("sqldb: database unavailable")

// ErrDamaged is wrapped by [Open] for a file that is no whole SQLite database.
var ErrDamaged = errors.New("sqldb: database file is damaged")

// maxAttempts bounds how often [DB.InTx] runs a transaction that lost to
// another one.
const maxAttempts = 8

// DB is an open state database. Its methods may be called concurrently.
type DB struct {
	*sql.DB
	embedded bool
	// after holds what to do once a transaction of InTx has committed: *sql.Tx to *[]func().
	after sync.Map
}

// Open opens the database at rawURL: "sqlite:FILE" or "postgres://…". It
// returns only after a round trip, and wraps [ErrUnavailable] otherwise. A file
// is read through once, about 1 s per GB, and ErrDamaged reports a page that
// does not fit: written to, it would only get worse.
func Open(ctx context.Context, rawURL string) (*DB, error) {
	var db *sql.DB
	var err error
	embedded := false
	switch {
	case strings.HasPrefix(rawURL, "sqlite:"):
		embedded = true
		db, err = openSQLite(strings.TrimPrefix(rawURL, "sqlite:"))
	case strings.HasPrefix(rawURL, "postgres://"), strings.HasPrefix(rawURL, "postgresql://"):
		db, err = sql.Open("pgx", rawURL)
		if db != nil {
			db.SetMaxOpenConns(16)
			db.SetMaxIdleConns(16)
		}
	default:
		return nil, fmt.Errorf("%w: the database URL must begin with sqlite: or postgres://", ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := db.PingContext(ctx); err != nil {
		if damaged(err) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrUnavailable, redact(rawURL), err), db.Close())
	}
	if embedded {
		if err := checkWhole(ctx, db); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", redact(rawURL), err), db.Close())
		}
	}
	return &DB{DB: db, embedded: embedded}, nil
}

// openSQLite opens a file with one connection: SQLite has one writer at a
// time, and a single connection turns lock errors into waiting.
func openSQLite(file string) (*sql.DB, error) {
	pragmas := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(10000)",
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+file+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// checkWhole reads every page of a SQLite file.
func checkWhole(ctx context.Context, db *sql.DB) error {
	var verdict string
	err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict)
	switch {
	case damaged(err):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case verdict != "ok":
		return fmt.Errorf("%w: %s", ErrDamaged, verdict)
	}
	return nil
}

// damaged reports whether SQLite could not read the file as a database.
func damaged(err error) bool {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return false
	}
	code := lite.Code() & 0xff
	return code == sqlitelib.SQLITE_CORRUPT || code == sqlitelib.SQLITE_NOTADB
}

// redact hides the password of a database URL in messages.
func redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "the configured database"
	}
	return u.Redacted()
}

// Embedded says whether the database is a file of this process.
func (db *DB) Embedded() bool { return db.embedded }

// InTx runs fn in a transaction and commits it; when it returns nil the change
// is on disk. An error of fn rolls back. fn runs again, at most eight times,
// when the database reports contention; it must use tx alone.
func (db *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	var err error
	for attempt := range maxAttempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return errors.Join(ctx.Err(), err)
			case <-time.After(time.Duration(attempt*attempt) * 5 * time.Millisecond):
			}
		}
		if err = db.once(ctx, fn); err == nil || !contention(err) {
			return err
		}
	}
	return fmt.Errorf("sqldb: gave up after %d attempts: %w", maxAttempts, err)
}

func (db *DB) once(ctx context.Context, fn func(tx *sql.Tx) error) error {
	opts := &sql.TxOptions{}
	if !db.embedded {
		opts.Isolation = sql.LevelSerializable
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("sqldb: begin: %w", err)
	}
	var after []func()
	db.after.Store(tx, &after)
	defer db.after.Delete(tx)
	if err := fn(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqldb: commit: %w", err)
	}
	for _, do := range after {
		do()
	}
	return nil
}

// AfterCommit has do called once tx, a transaction that [DB.InTx] of the same DB runs, has committed; after a rollback
// it is not called. It may be lost, as when the process dies, so that it can only hasten what is found anyway.
func (db *DB) AfterCommit(tx *sql.Tx, do func()) {
	if after, ok := db.after.Load(tx); ok {
		list := after.(*[]func()) //nolint:forcetypeassert // nothing else is stored
		*list = append(*list, do)
	}
}

// contention says whether another transaction stood in the way, so that the
// same work may succeed when it is tried again.
func contention(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code()&0xff == sqlitelib.SQLITE_BUSY
	}
	return false
}

// Full reports whether err says that the disk of the database has no room.
func Full(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "53100"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlitelib.SQLITE_FULL
}

// Unique says whether err reports a violated unique or primary key.
func Unique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code()
		return code == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || code == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}
