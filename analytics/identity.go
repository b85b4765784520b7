package analytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// Installation returns the id of the installation that the ClickHouse database
// belongs to, "" for one that belongs to none yet.
func (s *Store) Installation(ctx context.Context) (string, error) {
	if err := s.conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS installation (id String)
		ENGINE = MergeTree ORDER BY id SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`); err != nil {
		return "", fmt.Errorf("%w: installation: %w", ErrUnavailable, err)
	}
	var id string
	if err := s.conn.QueryRow(ctx, "SELECT min(id) FROM installation").Scan(&id); err != nil {
		return "", fmt.Errorf("%w: installation: %w", ErrUnavailable, err)
	}
	return id, nil
}

// Join makes the ClickHouse database belong to an installation.
func (s *Store) Join(ctx context.Context, id string) error {
	if err := s.conn.Exec(ctx, "INSERT INTO installation (id) SELECT "+quote(id)); err != nil {
		return fmt.Errorf("%w: installation: %w", ErrUnavailable, err)
	}
	return nil
}

// Hollow reports whether the state database says that rows are stored and
// ClickHouse has none: it was lost, and the sink would go on after the loss.
func (s *Store) Hollow(ctx context.Context) (bool, error) {
	var stored int64
	if err := s.cfg.State.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(stored), 0) AS BIGINT) FROM sink_positions`).Scan(&stored); err != nil {
		return false, fmt.Errorf("analytics: positions: %w", err)
	}
	if stored == 0 {
		return false, nil
	}
	for _, table := range []string{"records", "rejected_records", "license_events"} {
		var rows uint64
		if err := s.conn.QueryRow(ctx, "SELECT count() FROM "+table).Scan(&rows); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if rows > 0 {
			return false, nil
		}
	}
	return true, nil
}

// Forget deletes the sink's positions, so that the topics are read again from
// their beginning. No sink may run.
func Forget(ctx context.Context, state *sqldb.DB) error {
	return state.InTx(ctx, func(tx *sql.Tx) error {
		_, intents := tx.ExecContext(ctx, `DELETE FROM sink_intents`)
		_, positions := tx.ExecContext(ctx, `DELETE FROM sink_positions`)
		return errors.Join(intents, positions)
	})
}
