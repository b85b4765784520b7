package connectors

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

func migrate(ctx context.Context, db *sqldb.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("connectors: migrate: %w", err)
	}
	return db.Migrate(ctx, "connectors", dir)
}

// Counts is what became of the rows of a source since it was first read.
// Read is always Accepted + Rejected.
type Counts struct {
	Read, Accepted, Rejected int64
	// RejectedByRule counts rejected rows, Findings accepted rows with the finding.
	RejectedByRule, Findings map[string]int64
	// LastRead is when a row was last read, NewestEvent the latest event time of a row; zero if there is none.
	LastRead, NewestEvent time.Time
}

func (c Counts) clone() Counts {
	c.RejectedByRule, c.Findings = maps.Clone(c.RejectedByRule), maps.Clone(c.Findings)
	return c
}

// count sums up one published batch.
func count(drafts []exchange.Draft, outcomes []exchange.Outcome, now time.Time) Counts {
	c := Counts{Read: int64(len(drafts)), RejectedByRule: map[string]int64{}, Findings: map[string]int64{}}
	if len(drafts) > 0 {
		c.LastRead = now.Truncate(time.Microsecond)
	}
	for i, outcome := range outcomes {
		if at := drafts[i].EventTime; at.After(c.NewestEvent) {
			c.NewestEvent = at
		}
		if outcome.Rejection != nil {
			c.Rejected++
			c.RejectedByRule[outcome.Rejection.Rule]++
			continue
		}
		c.Accepted++
		for _, finding := range outcome.Findings {
			c.Findings[finding]++
		}
	}
	return c
}

// add returns the sum of two counts.
func (c Counts) add(o Counts) Counts {
	sum := c.clone()
	sum.Read += o.Read
	sum.Accepted += o.Accepted
	sum.Rejected += o.Rejected
	for _, m := range []struct{ to, from map[string]int64 }{{sum.RejectedByRule, o.RejectedByRule}, {sum.Findings, o.Findings}} {
		for name, n := range m.from {
			m.to[name] += n
		}
	}
	if !o.LastRead.IsZero() {
		sum.LastRead = o.LastRead
	}
	if o.NewestEvent.After(sum.NewestEvent) {
		sum.NewestEvent = o.NewestEvent
	}
	return sum
}

// saved is the row of a source in the state database.
type saved struct {
	identity string
	position json.RawMessage // nil before the first batch
	revision int64           // number of saves
	counts   Counts
	// gap is the revision since which changes may have been missed, until a reconciliation; 0 for none.
	gap int64
}

// load reads the state of a source; a source that was never saved has the zero state.
func load(ctx context.Context, db *sqldb.DB, name string) (saved, error) {
	var s saved
	s.counts = Counts{RejectedByRule: map[string]int64{}, Findings: map[string]int64{}}
	var position string
	var lastRead, newest int64
	err := db.QueryRowContext(ctx,
		`SELECT identity, position, revision, rows_read, rows_accepted, rows_rejected, last_read_at, newest_event_at, gap
		FROM connector_sources WHERE name = $1`, name).
		Scan(&s.identity, &position, &s.revision, &s.counts.Read, &s.counts.Accepted, &s.counts.Rejected, &lastRead, &newest, &s.gap)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return saved{}, fmt.Errorf("connectors: load the position of %s: %w", name, err)
	}
	if position != "" { // a repair may be saved before the first batch
		s.position = json.RawMessage(position)
	}
	s.counts.LastRead, s.counts.NewestEvent = fromMicros(lastRead), fromMicros(newest)
	rows, err := db.QueryContext(ctx, `SELECT kind, name, row_count FROM connector_tallies WHERE source = $1`, name)
	if err != nil {
		return saved{}, fmt.Errorf("connectors: load the counts of %s: %w", name, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind, key string
		var n int64
		if err := rows.Scan(&kind, &key, &n); err != nil {
			return saved{}, fmt.Errorf("connectors: load the counts of %s: %w", name, err)
		}
		if kind == tallyRule {
			s.counts.RejectedByRule[key] = n
		} else {
			s.counts.Findings[key] = n
		}
	}
	if err := rows.Err(); err != nil {
		return saved{}, fmt.Errorf("connectors: load the counts of %s: %w", name, err)
	}
	return s, nil
}

const (
	tallyRule    = "rule"
	tallyFinding = "finding"
)

// save adds delta to the counts and moves the position, in one transaction;
// gap adds the mark that changes may have been missed. It answers ErrConflict if the state is not the one that was loaded, since
// somebody else has then read the same rows.
func save(ctx context.Context, db *sqldb.DB, name string, before saved, position json.RawMessage, delta Counts, gap bool) (saved, error) {
	after := saved{
		identity: before.identity, position: position, revision: before.revision + 1, counts: before.counts.add(delta), gap: before.gap,
	}
	if gap {
		after.gap = after.revision
	}
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		c := after.counts
		if before.revision == 0 {
			if _, err := tx.ExecContext(ctx,
				`INSERT INTO connector_sources (name, identity, position, revision, rows_read, rows_accepted, rows_rejected, last_read_at, newest_event_at, gap)
				VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9)`,
				name, after.identity, string(position), c.Read, c.Accepted, c.Rejected, micros(c.LastRead), micros(c.NewestEvent), after.gap); err != nil {
				if sqldb.Unique(err) {
					return ErrConflict
				}
				return err
			}
		} else {
			res, err := tx.ExecContext(ctx,
				`UPDATE connector_sources SET position = $1, revision = $2, rows_read = $3, rows_accepted = $4, rows_rejected = $5,
				last_read_at = $6, newest_event_at = $7, gap = CASE WHEN $8 = 1 THEN $2 ELSE gap END WHERE name = $9 AND revision = $10`,
				string(position), after.revision, c.Read, c.Accepted, c.Rejected, micros(c.LastRead), micros(c.NewestEvent), flag(gap), name, before.revision)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n != 1 {
				return ErrConflict
			}
		}
		if err := addTallies(ctx, tx, name, tallyRule, delta.RejectedByRule); err != nil {
			return err
		}
		return addTallies(ctx, tx, name, tallyFinding, delta.Findings)
	})
	if err != nil {
		return saved{}, fmt.Errorf("connectors: save the position of %s: %w", name, err)
	}
	return after, nil
}

func addTallies(ctx context.Context, tx *sql.Tx, source, kind string, tallies map[string]int64) error {
	for _, key := range slices.Sorted(maps.Keys(tallies)) {
		if _, err := tx.ExecContext(ctx,
			`INSERT INTO connector_tallies (source, kind, name, row_count) VALUES ($1, $2, $3, $4)
			ON CONFLICT (source, kind, name) DO UPDATE SET row_count = connector_tallies.row_count + excluded.row_count`,
			source, kind, key, tallies[key]); err != nil {
			return err
		}
	}
	return nil
}

// closeGap takes the mark of a revision away, once the source is reconciled; a newer one stays.
func closeGap(ctx context.Context, db *sqldb.DB, name string, revision int64) error {
	if _, err := db.ExecContext(ctx, `UPDATE connector_sources SET gap = 0 WHERE name = $1 AND gap <= $2`, name, revision); err != nil {
		return fmt.Errorf("connectors: reconciled %s: %w", name, err)
	}
	return nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// never is the instant column's value for "not yet"; 0 is a real instant.
const never = math.MinInt64

func micros(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
