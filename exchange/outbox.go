package exchange

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

const (
	// relayBatch is how many messages the relay publishes at once.
	relayBatch = 1000
	// leaseTime is how long the relay's lease lasts without a sign of life. A batch is published in two thirds of it.
	leaseTime = 6 * time.Second
	// pollEvery is how often the relay looks for what other processes put in. What its own process puts in wakes it.
	pollEvery = 500 * time.Millisecond
	// outboxLock is the key of the lock of PostgreSQL that writers hold until they commit.
	outboxLock = 0x6f7574626f78
)

// Outbox makes a state change and its event one transaction: [Outbox.Put]
// writes the event beside the change, [Outbox.Run] publishes it after the
// commit.
//
// Events are published at least once, in the order in which their transactions
// committed: transactions that put something in commit one after another, and
// ids grow in that order whatever the clocks say. Of several processes on one
// database one relays, under a lease; when it dies the next takes over once the
// lease has run out. The ce_id of an event makes its repetition harmless.
type Outbox struct {
	db     *sqldb.DB
	topics Topics
	logger *slog.Logger
	wake   chan struct{}
	lease  time.Duration
}

// OpenOutbox applies the migrations and returns the outbox of a database.
func OpenOutbox(ctx context.Context, db *sqldb.DB, topics Topics, logger *slog.Logger) (*Outbox, error) {
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	if !db.Embedded() {
		err := db.InTx(ctx, func(tx *sql.Tx) error {
			if err := lockOutbox(ctx, tx); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `CREATE SEQUENCE IF NOT EXISTS outbox_sequence`)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("exchange: outbox: %w", err)
		}
	}
	return &Outbox{db: db, topics: topics, logger: logger, wake: make(chan struct{}, 1), lease: leaseTime}, nil
}

// lockOutbox waits until no other transaction that put something in is open, on PostgreSQL. SQLite has one writer.
func lockOutbox(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(outboxLock))
	return err
}

// Put writes messages into the caller's transaction. They exist if and only
// if it commits. Until then other transactions wait in Put, so that it should
// be the last thing that a transaction does.
func (o *Outbox) Put(ctx context.Context, tx *sql.Tx, msgs ...bus.Message) error {
	if !o.db.Embedded() {
		if err := lockOutbox(ctx, tx); err != nil {
			return fmt.Errorf("exchange: outbox: %w", err)
		}
	}
	for _, m := range msgs {
		body, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("exchange: outbox: %w", err)
		}
		// A sequence is no row that serializable transactions could dispute.
		next := `SELECT nextval('outbox_sequence')`
		if o.db.Embedded() {
			next = `UPDATE outbox_counter SET last = last + 1 WHERE name = 'outbox' RETURNING last`
		}
		var number int64
		if err := tx.QueryRowContext(ctx, next).Scan(&number); err != nil {
			return fmt.Errorf("exchange: outbox: %w", err)
		}
		// The letter sorts behind the ids of older versions, which begin with the hexadecimal digits of a clock.
		id := fmt.Sprintf("s%019d", number)
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, topic, message) VALUES ($1, $2, $3)`, id, m.Topic, string(body)); err != nil {
			return fmt.Errorf("exchange: outbox: %w", err)
		}
	}
	o.db.AfterCommit(tx, func() {
		select {
		case o.wake <- struct{}{}:
		default: // it is to wake already
		}
	})
	return nil
}

// Run publishes what committed transactions put in, until ctx ends, and does
// so whenever no other process does. A broker that does not answer is tried
// again; nothing is dropped.
func (o *Outbox) Run(ctx context.Context) error {
	r := &relay{Outbox: o, holder: rowID()}
	defer r.release(context.WithoutCancel(ctx))
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		case <-wait.C:
		}
		next := pollEvery
		switch n, err := r.turn(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			o.logger.ErrorContext(ctx, "outbox not published; trying again", slog.Any("error", err))
		case n > 0:
			next = 0
		}
		wait.Reset(next)
	}
}

func (o *Outbox) pending(ctx context.Context) (ids []string, msgs []bus.Message, err error) {
	rows, err := o.db.QueryContext(ctx, `SELECT id, message FROM outbox ORDER BY id LIMIT $1`, relayBatch)
	if err != nil {
		return nil, nil, fmt.Errorf("exchange: outbox: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, body string
		if err := rows.Scan(&id, &body); err != nil {
			return nil, nil, fmt.Errorf("exchange: outbox: %w", err)
		}
		var m bus.Message
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			return nil, nil, fmt.Errorf("exchange: outbox %s: %w", id, err)
		}
		ids, msgs = append(ids, id), append(msgs, m)
	}
	return ids, msgs, rows.Err()
}

// errLeaseLost means that another process relays now.
var errLeaseLost = errors.New("exchange: outbox: another process has taken the lease")
