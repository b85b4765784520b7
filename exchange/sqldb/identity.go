package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// identitySchema has the table of the one row that says whose database it is.
//
//go:embed identity/*.sql
var identitySchema embed.FS

// Installation returns the id of the installation that the database belongs to,
// or "" for a database that belongs to none yet.
func (db *DB) Installation(ctx context.Context) (string, error) {
	schema, err := fs.Sub(identitySchema, "identity")
	if err != nil {
		return "", fmt.Errorf("sqldb: installation: %w", err)
	}
	if err := db.Migrate(ctx, "installation", schema); err != nil {
		return "", err
	}
	var id string
	err = db.QueryRowContext(ctx, `SELECT id FROM installation`).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("sqldb: installation: %w", err)
	}
	return id, nil
}

// Join makes the database belong to an installation, unless it belongs to one,
// and returns the id of that which it belongs to now.
func (db *DB) Join(ctx context.Context, id string) (string, error) {
	if _, err := db.ExecContext(ctx, `INSERT INTO installation (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, id); err != nil {
		return "", fmt.Errorf("sqldb: installation: %w", err)
	}
	return db.Installation(ctx)
}
