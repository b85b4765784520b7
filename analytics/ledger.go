package analytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// ledger keeps positions and intents in the state database.
type ledger struct {
	db  *sqldb.DB
	now func() time.Time
}

// position is how far a partition is stored.
type position struct {
	topic     string
	partition int
	epoch     int64
	next      int64  // offset of the first message that is not stored
	last      string // identity of the message before it, in hexadecimal; empty if not known
}

// intent is a batch on its way to ClickHouse.
type intent struct {
	epoch      int64
	first      int64 // offsets of the log, both ends included
	last       int64
	stored     int64 // rows for the landing table, or for the topic's own table
	duplicates int64
	notEvents  int64
	dropped    offsets // those that are duplicates
	digest     string  // over the identities of all messages, dropped ones included
	lastDigest string
	received   time.Time
}

// token is the deduplication token of the batch's insert.
func (i intent) token(p position) string {
	return fmt.Sprintf("%d:%s:%d:%d-%d", i.epoch, p.topic, p.partition, i.first, i.last)
}

// load returns the position of a partition, which begins at epoch 1 and offset 0, and its open intent, if any.
func (l ledger) load(ctx context.Context, topic string, partition int) (position, *intent, error) {
	p := position{topic: topic, partition: partition, epoch: 1}
	err := l.db.QueryRowContext(ctx,
		`SELECT epoch, next_offset, last_digest FROM sink_positions WHERE topic = $1 AND partition_id = $2`,
		topic, partition).Scan(&p.epoch, &p.next, &p.last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, nil, fmt.Errorf("analytics: position of %s/%d: %w", topic, partition, err)
	}
	var i intent
	var received int64
	var dropped string
	err = l.db.QueryRowContext(ctx, `SELECT epoch, first_offset, last_offset, stored, duplicates, not_events, dropped, digest, last_digest, received_at
		FROM sink_intents WHERE topic = $1 AND partition_id = $2`, topic, partition).
		Scan(&i.epoch, &i.first, &i.last, &i.stored, &i.duplicates, &i.notEvents, &dropped, &i.digest, &i.lastDigest, &received)
	if errors.Is(err, sql.ErrNoRows) {
		return p, nil, nil
	}
	if err == nil {
		i.dropped, err = parseOffsets(dropped)
	}
	if err != nil {
		return p, nil, fmt.Errorf("analytics: intent of %s/%d: %w", topic, partition, err)
	}
	i.received = time.UnixMicro(received).UTC()
	return p, &i, nil
}

// intend writes an intent. It answers ErrConflict when the partition is not where p says, or has an open intent:
// then another process writes for it.
func (l ledger) intend(ctx context.Context, p position, i intent) error {
	err := l.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := expect(ctx, tx, p); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO sink_intents (topic, partition_id, epoch, first_offset, last_offset, stored,
			duplicates, not_events, dropped, digest, last_digest, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			p.topic, p.partition, i.epoch, i.first, i.last, i.stored, i.duplicates, i.notEvents, i.dropped.String(), i.digest, i.lastDigest,
			i.received.UnixMicro())
		if sqldb.Unique(err) {
			return fmt.Errorf("%w on %s/%d: it has an open intent", ErrConflict, p.topic, p.partition)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("analytics: write intent of %s/%d: %w", p.topic, p.partition, err)
	}
	return nil
}

// done marks an intent as stored and returns the new position.
func (l ledger) done(ctx context.Context, p position, i intent) (position, error) {
	next := p
	next.next, next.last = i.last+1, i.lastDigest
	err := l.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := expect(ctx, tx, p); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM sink_intents WHERE topic = $1 AND partition_id = $2 AND epoch = $3 AND first_offset = $4`,
			p.topic, p.partition, i.epoch, i.first)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("%w on %s/%d: the intent is gone", ErrConflict, p.topic, p.partition), err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sink_positions (topic, partition_id, epoch, next_offset, last_digest, stored, duplicates, not_events, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (topic, partition_id) DO UPDATE SET epoch = excluded.epoch, next_offset = excluded.next_offset,
			last_digest = excluded.last_digest, stored = sink_positions.stored + excluded.stored,
			duplicates = sink_positions.duplicates + excluded.duplicates, not_events = sink_positions.not_events + excluded.not_events,
			updated_at = excluded.updated_at`,
			p.topic, p.partition, next.epoch, next.next, next.last, i.stored, i.duplicates, i.notEvents, l.now().UnixMicro())
		return err
	})
	if err != nil {
		return p, fmt.Errorf("analytics: mark %s/%d done: %w", p.topic, p.partition, err)
	}
	return next, nil
}

// move puts a partition elsewhere in its log and forgets an open intent, whose rows are known to be settled or never to come.
func (l ledger) move(ctx context.Context, from, to position) error {
	err := l.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := expect(ctx, tx, from); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM sink_intents WHERE topic = $1 AND partition_id = $2`, to.topic, to.partition); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO sink_positions (topic, partition_id, epoch, next_offset, last_digest, stored, duplicates, not_events, updated_at)
			VALUES ($1, $2, $3, $4, $5, 0, 0, 0, $6)
			ON CONFLICT (topic, partition_id) DO UPDATE SET epoch = excluded.epoch, next_offset = excluded.next_offset,
			last_digest = excluded.last_digest, updated_at = excluded.updated_at`,
			to.topic, to.partition, to.epoch, to.next, to.last, l.now().UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("analytics: move %s/%d: %w", to.topic, to.partition, err)
	}
	return nil
}

// expect answers ErrConflict unless the partition is where p says.
func expect(ctx context.Context, tx *sql.Tx, p position) error {
	epoch, next := int64(1), int64(0)
	err := tx.QueryRowContext(ctx, `SELECT epoch, next_offset FROM sink_positions WHERE topic = $1 AND partition_id = $2`,
		p.topic, p.partition).Scan(&epoch, &next)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	// A partition without a row may begin anywhere: its log may have been trimmed before the first look.
	if err == nil && (epoch != p.epoch || next != p.next) {
		return fmt.Errorf("%w on %s/%d: it is at epoch %d offset %d, not %d and %d", ErrConflict, p.topic, p.partition, epoch, next, p.epoch, p.next)
	}
	return nil
}

// tally is what the ledger knows of one partition.
type tally struct {
	topic      string
	partition  int
	next       int64
	duplicates int64
}

// tallies returns every partition that was ever worked on.
func (l ledger) tallies(ctx context.Context) ([]tally, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT topic, partition_id, next_offset, duplicates FROM sink_positions ORDER BY topic, partition_id`)
	if err != nil {
		return nil, fmt.Errorf("analytics: positions: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var out []tally
	for rows.Next() {
		var t tally
		if err := rows.Scan(&t.topic, &t.partition, &t.next, &t.duplicates); err != nil {
			return nil, fmt.Errorf("analytics: positions: %w", err)
		}
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("analytics: positions: %w", err)
	}
	return out, nil
}
