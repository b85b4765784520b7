package exchange

import (
	"context"
	"fmt"
)

// maxBacklog is as far as [Outbox.Backlog] counts.
const maxBacklog = 100_000

// Backlog returns how many events wait in the outbox, counted up to 100,000,
// and the id of the first: while that stays the same, nothing is published.
func (o *Outbox) Backlog(ctx context.Context) (waiting int64, first string, err error) {
	err = o.db.QueryRowContext(ctx, `SELECT count(*), COALESCE(MIN(CAST(id AS TEXT)), '') FROM (SELECT id FROM outbox ORDER BY id LIMIT $1) AS head`, maxBacklog).
		Scan(&waiting, &first)
	if err != nil {
		return 0, "", fmt.Errorf("exchange: backlog of the outbox: %w", err)
	}
	return waiting, first, nil
}
