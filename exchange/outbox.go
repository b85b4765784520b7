package exchange

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

const (
	// relayBatch is how many messages the relay publishes at once.
	relayBatch = 1000
	// relayTime bounds one relay, which goes on when its caller ends.
	relayTime = 10 * time.Second
)

// Outbox makes a state change and its event one transaction: [Outbox.Put]
// writes the event beside the change, [Outbox.Run] publishes it after the
// commit. An event is published at least once, in the order of the commits of
// its key; its ce_id makes a repetition harmless.
type Outbox struct {
	db     *sqldb.DB
	topics Topics
	logger *slog.Logger
	wake   chan struct{}
}

// OpenOutbox applies the migrations and returns the outbox of a database.
func OpenOutbox(ctx context.Context, db *sqldb.DB, topics Topics, logger *slog.Logger) (*Outbox, error) {
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	return &Outbox{db: db, topics: topics, logger: logger, wake: make(chan struct{}, 1)}, nil
}

// Put writes messages into the caller's transaction. They exist if and only
// if it commits.
func (o *Outbox) Put(ctx context.Context, tx *sql.Tx, msgs ...bus.Message) error {
	now := time.Now().UnixNano()
	for i, m := range msgs {
		body, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("exchange: outbox: %w", err)
		}
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails: crypto/rand aborts instead
		id := fmt.Sprintf("%016x-%06x-%s", now, i, hex.EncodeToString(random[:]))
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, topic, message) VALUES ($1, $2, $3)`, id, m.Topic, string(body)); err != nil {
			return fmt.Errorf("exchange: outbox: %w", err)
		}
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run publishes what committed transactions put in, until ctx ends. A broker
// that does not answer is tried again; nothing is dropped.
func (o *Outbox) Run(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		case <-wait.C:
		}
		next := 500 * time.Millisecond
		switch n, err := o.relayToTheEnd(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			o.logger.ErrorContext(ctx, "outbox not published; trying again", slog.Any("error", err))
		case n == relayBatch:
			next = 0
		}
		wait.Reset(next)
	}
}

// relayToTheEnd relays even if ctx ends meanwhile: what is published is also
// deleted, so that an end in good order repeats nothing.
func (o *Outbox) relayToTheEnd(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTime)
	defer cancel()
	return o.relay(ctx)
}

// relay publishes one batch and deletes it. A kill between the two publishes
// the batch again at the next start.
func (o *Outbox) relay(ctx context.Context) (int, error) {
	ids, msgs, err := o.pending(ctx)
	if err != nil || len(msgs) == 0 {
		return 0, err
	}
	if _, err := o.topics.Publish(ctx, msgs...); err != nil {
		return 0, err
	}
	return len(msgs), o.db.InTx(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE id = $1`, id); err != nil {
				return fmt.Errorf("exchange: outbox: %w", err)
			}
		}
		return nil
	})
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
