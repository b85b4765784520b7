package sqltable

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// TestLateCommits holds transactions open while rows with greater cursors are
// read: their rows appear below what was read last, also with a cursor equal
// to it, and are handed on once; nothing else is.
func TestLateCommits(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		clock := time.Date(2025, 11, 3, 8, 0, 0, 0, time.UTC)
		insert := func(on interface {
			ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		}, id, second int,
		) {
			t.Helper()
			at := fmt.Sprintf("2025-11-03 08:00:%02d", second)
			if _, err := on.ExecContext(t.Context(), db.adapt(`INSERT INTO people VALUES ($1, 'x', $2, NULL)`), id, at); err != nil {
				t.Fatal(err)
			}
		}
		for id := range 20 {
			insert(db, 100+id, id/2)
		}
		def := db.definition()
		def.SQL.Overlap = 5 * time.Minute
		src := made(t, def)
		src.now = func() time.Time { return clock }
		if err := src.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got, _ := rest(t, src); len(got) != 20 {
			t.Fatalf("%q", got)
		}
		for round := range 5 { // each longer than the overlap: marks are made and dropped
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			base, second := 200+10*round, 20+3*round
			insert(tx, base+1, second)
			insert(tx, base+2, second+1) // equal to the cursor read last, with a lesser key
			insert(db, base+5, second+1)
			got, _ := rest(t, src)
			expectKeys(t, "before the commit", got, fmt.Sprint(base+5))
			clock = clock.Add(4 * time.Minute)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			insert(db, base+6, second+2)
			var position json.RawMessage
			got, position = rest(t, src)
			for range 3 {
				clock = clock.Add(3 * time.Minute)
				more, at := rest(t, src)
				if got = append(got, more...); at != nil {
					position = at
				}
			}
			if len(got) != 3 {
				t.Errorf("round %d gave %q", round, got)
			}
			found := map[string]bool{}
			for _, key := range got {
				found[key] = true
			}
			for _, id := range []int{1, 2, 6} {
				if !found[fmt.Sprint(base+id)] {
					t.Errorf("round %d: row %d was missed: %q", round, base+id, got)
				}
			}
			if len(position) > 4096 {
				t.Errorf("the position has grown to %d bytes", len(position))
			}
		}
	})
}

// TestLateCommitThroughRestart commits while the source is away.
func TestLateCommitThroughRestart(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		clock := time.Now()
		def := db.definition()
		def.SQL.Overlap = time.Minute
		src := made(t, def)
		src.now = func() time.Time { return clock }
		if err := src.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		var position json.RawMessage
		for second := range 30 {
			clock = clock.Add(10 * time.Second)
			db.run(t, `INSERT INTO people VALUES ($1, 'x', $2, NULL)`, 100+second, fmt.Sprintf("2025-11-03 08:00:%02d", second))
			_, position = rest(t, src)
		}
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.run(t, `INSERT INTO people VALUES (1, 'late', '2025-11-03 08:00:27', NULL)`)
		clock = clock.Add(2 * time.Minute)
		if err := src.Open(t.Context(), position); err != nil {
			t.Fatal(err)
		}
		got, _ := rest(t, src)
		late := 0
		for _, key := range got {
			if key == "1" {
				late++
			}
		}
		if late != 1 || len(got) > 15 {
			t.Errorf("after the restart: %q; want 1 and what may have been late, but not the whole table", got)
		}
	})
}

// TestDelay keeps behind the newest cursor, for cursors of any type, without knowing what time they mean.
func TestDelay(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		clock := time.Date(2025, 11, 3, 8, 0, 0, 0, time.UTC)
		def := db.definition()
		def.SQL.Delay, def.SQL.Cursor = 10*time.Second, "id"
		src := made(t, def)
		src.now = func() time.Time { return clock }
		if err := src.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		insert := func(id int) { db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id) }
		steps := []struct {
			after  time.Duration
			insert int
			want   []string
		}{
			{0, 9, nil}, // seen at 0 s
			{5 * time.Second, 10, nil},
			{5 * time.Second, 11, []string{"9"}},
			{5 * time.Second, 12, []string{"10"}},
			{60 * time.Second, 13, []string{"11", "12"}},
			{60 * time.Second, 14, []string{"13"}},
		}
		for i, step := range steps {
			clock = clock.Add(step.after)
			insert(step.insert)
			got, _ := rest(t, src)
			expectKeys(t, fmt.Sprintf("step %d", i), got, step.want...)
		}
	})
}

// TestConcurrentWriters reads beside writers that hold their transactions open
// for up to a fifth of the overlap and roll some of them back. Every row must
// come, none twice while the source runs, and through restarts none be lost.
func TestConcurrentWriters(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("restarts=%v", restarts), func(t *testing.T) {
				db.run(t, `DROP TABLE IF EXISTS people`)
				db.people(t, "INTEGER")
				db.run(t, `CREATE INDEX people_at ON people (updated_at, id)`)
				testConcurrentWriters(t, db, restarts)
			})
		}
	})
}

func testConcurrentWriters(t *testing.T, db department, restarts bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	const writers, transactions = 6, 40
	const overlap = time.Second
	var mu sync.Mutex
	committed := map[string]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range transactions {
				if err := writeLate(ctx, db, w*100_000+i*100, overlap/5, func(keys []string) {
					mu.Lock()
					defer mu.Unlock()
					for _, key := range keys {
						committed[key] = true
					}
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	def := db.definition()
	def.SQL.Overlap = overlap
	src := opened(t, def, nil)
	seen := map[string]int{}
	complete := func() bool {
		select {
		case <-done:
		default:
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for key := range committed {
			if seen[key] == 0 {
				return false
			}
		}
		return true
	}
	for !complete() {
		batch, err := src.Read(ctx)
		switch {
		case errors.Is(err, connectors.ErrCaughtUp):
			continue
		case err != nil:
			mu.Lock()
			total := len(committed)
			mu.Unlock()
			t.Fatalf("%d of %d rows read: %v", len(seen), total, err)
		}
		for _, row := range batch.Rows {
			seen[row.Key[0]]++
		}
		if restarts && rand.N(20) == 0 {
			if err := src.Close(ctx); err != nil {
				t.Fatal(err)
			}
			if err := src.Open(ctx, batch.Position); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, times := range seen {
		if !committed[key] {
			t.Errorf("row %s was read but never committed", key)
		}
		if times > 1 && !restarts {
			t.Errorf("row %s came %d times although it did not change", key, times)
		}
	}
	t.Logf("%d rows, all read", len(committed))
}

// writeLate inserts rows with the clock's time as cursor, and commits them a while later, or not.
func writeLate(ctx context.Context, db department, id int, hold time.Duration, commit func(keys []string)) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var keys []string
	for n := range 1 + rand.N(5) {
		at := time.Now().UTC().Truncate(10 * time.Millisecond).Format("2006-01-02 15:04:05.000000") // many are equal
		if _, err := tx.ExecContext(ctx, db.adapt(`INSERT INTO people VALUES ($1, 'x', $2, NULL)`), id+n, at); err != nil {
			return err
		}
		keys = append(keys, fmt.Sprint(id+n))
	}
	if rand.N(3) == 0 { // the others commit at once
		select {
		case <-time.After(rand.N(hold)):
		case <-ctx.Done():
		}
	}
	if rand.N(10) == 0 {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	commit(keys)
	return nil
}

// TestClockPutBack restarts with a clock that is behind the one that the marks were made by.
func TestClockPutBack(t *testing.T) {
	db := newDepartment(t, "sqlite")
	db.people(t, "INTEGER")
	clock := time.Now()
	def := db.definition()
	def.SQL.Overlap = time.Minute
	src := made(t, def)
	src.now = func() time.Time { return clock }
	if err := src.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var position json.RawMessage
	for second := range 20 {
		clock = clock.Add(20 * time.Second)
		db.run(t, `INSERT INTO people VALUES ($1, 'x', $2, NULL)`, 100+second, fmt.Sprintf("2025-11-03 08:00:%02d", second))
		_, position = rest(t, src)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(-24 * time.Hour)
	db.run(t, `INSERT INTO people VALUES (1, 'late', '2025-11-03 08:00:18', NULL)`)
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Minute)
	got, _ := rest(t, src)
	if !slices.Contains(got, "1") || len(got) > 15 {
		t.Errorf("after the clock was put back: %q", got)
	}
}

// TestOneConnection counts the connections of a source that reads what is new and a range again, and scans beside it.
func TestOneConnection(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		for id := range 40 {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id)
		}
		name, dsnFile := db.user(t, "right")
		def := db.definition()
		def.SQL.DSNFile, def.SQL.Overlap, def.SQL.Delay = dsnFile, time.Millisecond, time.Millisecond
		src := opened(t, def, nil)
		if err := src.Reread(t.Context(), "a", connectors.KeyRange{}); err != nil {
			t.Fatal(err)
		}
		connections := func() (n int) {
			query := map[string]string{
				"postgres": "SELECT count(*) FROM pg_stat_activity WHERE usename = $1",
				"mariadb":  "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = $1",
			}[db.driver]
			if err := db.QueryRowContext(t.Context(), db.adapt(query), name).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for range 20 {
			if _, err := src.Read(t.Context()); err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
				t.Fatal(err)
			}
			if n := connections(); n != 1 {
				t.Fatalf("%d connections", n)
			}
		}
		if err := src.Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error {
			if n := connections(); n != 2 {
				return fmt.Errorf("%d connections", n)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
