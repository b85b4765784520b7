package exchange

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// relay is one process's try to publish what is in the outbox. The lease is a row that its holder changes before each
// batch. A process that has seen no change for the time of the lease, by its own clock alone, takes it over with a
// higher epoch; what the old holder does after that is refused.
type relay struct {
	*Outbox
	holder string

	epoch   int64 // of our lease; 0 if we have none
	seen    mark  // the row as it was last read
	seenAt  time.Time
	renewed time.Time
}

// mark is the row of the lease.
type mark struct {
	holder      string
	epoch, beat int64
}

// rowID names a holder.
func rowID() string { return rand.Text() }

// turn publishes one batch if this process has the lease or can take it. It ends its batch even if ctx ends meanwhile:
// what is published is also deleted, so that an end in good order repeats nothing.
func (r *relay) turn(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.lease*2/3)
	defer cancel()
	if r.epoch == 0 {
		if taken, err := r.take(ctx); err != nil || !taken {
			return 0, err
		}
	}
	ids, msgs, err := r.pending(ctx)
	if err != nil {
		return 0, err
	}
	if len(msgs) == 0 && time.Since(r.renewed) < r.lease/3 {
		return 0, nil
	}
	// From here on no other process takes the lease before the deadline of ctx.
	if err := r.renew(ctx, r.db); err != nil || len(msgs) == 0 {
		return 0, r.lost(ctx, err)
	}
	if _, err := r.topics.Publish(ctx, msgs...); err != nil {
		return 0, err
	}
	// A kill here publishes the batch again.
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := r.renew(ctx, tx); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE id = $1`, id); err != nil {
				return fmt.Errorf("exchange: outbox: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return 0, r.lost(ctx, err)
	}
	return len(msgs), nil
}

// take takes the lease if it is free or has run out.
func (r *relay) take(ctx context.Context) (bool, error) {
	var now mark
	err := r.db.QueryRowContext(ctx, `SELECT holder, epoch, beat FROM outbox_lease WHERE name = 'outbox'`).Scan(&now.holder, &now.epoch, &now.beat)
	if err != nil {
		return false, fmt.Errorf("exchange: outbox: %w", err)
	}
	if now != r.seen || r.seenAt.IsZero() {
		r.seen, r.seenAt = now, time.Now()
	}
	if now.holder != "" && time.Since(r.seenAt) < r.lease {
		return false, nil
	}
	changed, err := affected(r.db.ExecContext(ctx, `UPDATE outbox_lease SET holder = $1, epoch = epoch + 1, beat = beat + 1
		WHERE name = 'outbox' AND holder = $2 AND epoch = $3 AND beat = $4`, r.holder, now.holder, now.epoch, now.beat))
	if err != nil || changed == 0 {
		return false, err
	}
	r.epoch, r.renewed = now.epoch+1, time.Now()
	return true, nil
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// renew shows that the holder is alive. It returns errLeaseLost if another process took over.
func (r *relay) renew(ctx context.Context, on execer) error {
	changed, err := affected(on.ExecContext(ctx, `UPDATE outbox_lease SET beat = beat + 1 WHERE name = 'outbox' AND epoch = $1`, r.epoch))
	switch {
	case err != nil:
		return err
	case changed == 0:
		return errLeaseLost
	}
	r.renewed = time.Now()
	return nil
}

// lost gives up a lease that another process has.
func (r *relay) lost(ctx context.Context, err error) error {
	if errors.Is(err, errLeaseLost) {
		r.epoch, r.seenAt = 0, time.Time{}
		r.logger.WarnContext(ctx, "another process relays the outbox now")
		return nil
	}
	return err
}

// release gives the lease back, so that the next process need not wait.
func (r *relay) release(ctx context.Context) {
	if r.epoch == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.lease)
	defer cancel()
	if _, err := r.db.ExecContext(ctx, `UPDATE outbox_lease SET holder = '' WHERE name = 'outbox' AND epoch = $1`, r.epoch); err != nil {
		r.logger.WarnContext(ctx, "the lease of the outbox is not given back; it runs out by itself", slog.Any("error", err))
	}
	r.epoch = 0
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, fmt.Errorf("exchange: outbox: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("exchange: outbox: %w", err)
	}
	return n, nil
}
