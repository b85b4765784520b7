package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrSchema is wrapped by [DB.Migrate] when the database was written by a
// newer program, or a migration that was applied has since been edited away.
var ErrSchema = errors.New("sqldb: schema mismatch")

// Migrate applies the files *.sql of dir, in the order of their names, that
// owner has not applied yet, each in a transaction of its own with its record
// in schema_migrations. Statements are separated by a semicolon at the end of
// a line. It wraps [ErrSchema] when the database has migrations of owner that
// dir lacks. Several processes may call it for one database at the same time:
// they take turns.
func (db *DB) Migrate(ctx context.Context, owner string, dir fs.FS) (err error) {
	release, err := db.migrationTurn(ctx)
	if err != nil {
		return fmt.Errorf("sqldb: migrate %s: %w", owner, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	return db.migrate(ctx, owner, dir)
}

// migrationLock is the key of the advisory lock that migrations hold: the
// first bytes of "onewindow" in ASCII.
const migrationLock = 0x6f6e6577696e646f

// migrationTurn waits until no other process migrates the database. The lock
// belongs to a transaction of its own, so it ends with the connection, and a
// pool between the two that shares sessions cannot lose it. SQLite needs none:
// its folder belongs to one process.
func (db *DB) migrationTurn(ctx context.Context) (release func() error, err error) {
	if db.embedded {
		return func() error { return nil }, nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return func() error {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			return fmt.Errorf("sqldb: end the turn of migrations: %w", err)
		}
		return nil
	}, nil
}

func (db *DB) migrate(ctx context.Context, owner string, dir fs.FS) error {
	if _, err := db.ExecContext(ctx,
		`CREATE TABLE IF NOT EXISTS schema_migrations (owner TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (owner, name))`); err != nil {
		return fmt.Errorf("sqldb: migrate %s: %w", owner, err)
	}
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return fmt.Errorf("sqldb: migrate %s: %w", owner, err)
	}
	slices.Sort(names)
	applied, err := db.applied(ctx, owner)
	if err != nil {
		return err
	}
	for _, name := range applied {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w: the database has migration %s/%s, which this program does not know: it was written by a newer version; run that version",
				ErrSchema, owner, name)
		}
	}
	for _, name := range names {
		if slices.Contains(applied, name) {
			continue
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return fmt.Errorf("sqldb: migrate %s: %w", owner, err)
		}
		if err := db.apply(ctx, owner, name, string(text)); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) applied(ctx context.Context, owner string) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT name FROM schema_migrations WHERE owner = $1`, owner)
	if err != nil {
		return nil, fmt.Errorf("sqldb: migrate %s: %w", owner, err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("sqldb: migrate %s: %w", owner, err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (db *DB) apply(ctx context.Context, owner, name, text string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		for _, statement := range strings.Split(text, ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("sqldb: migrate %s/%s: %w", owner, name, err)
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO schema_migrations (owner, name) VALUES ($1, $2)`, owner, name)
		if err != nil {
			return fmt.Errorf("sqldb: migrate %s/%s: %w", owner, name, err)
		}
		return nil
	})
}
