package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// chain creates what the sink writes through: a landing table, a typed table
// behind a view of it, aggregate states behind a view of the typed table, and
// states straight from the landing table. landingFilter and typedFilter are
// conditions in the views, for a test to hold an insert up between two tables.
func chain(t testing.TB, conn driver.Conn, landingFilter, typedFilter string) {
	t.Helper()
	const durable = " SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1"
	execute(t, conn,
		"CREATE DATABASE chain",
		"CREATE TABLE chain.landing (id UInt64, day Date, v Int64, payload String) ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY id"+durable,
		"CREATE TABLE chain.typed (id UInt64, day Date, v Int64) ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY id"+durable,
		"CREATE TABLE chain.states (day Date, n AggregateFunction(count), v AggregateFunction(sum, Int64)) ENGINE = AggregatingMergeTree ORDER BY day"+durable,
		"CREATE TABLE chain.direct (day Date, n AggregateFunction(count), v AggregateFunction(sum, Int64)) ENGINE = AggregatingMergeTree ORDER BY day"+durable,
		"CREATE MATERIALIZED VIEW chain.to_typed TO chain.typed AS SELECT id, day, v FROM chain.landing WHERE NOT ignore("+landingFilter+")",
		"CREATE MATERIALIZED VIEW chain.to_states TO chain.states AS SELECT day, countState() AS n, sumState(v) AS v FROM chain.typed WHERE NOT ignore("+typedFilter+") GROUP BY day",
		"CREATE MATERIALIZED VIEW chain.to_direct TO chain.direct AS SELECT day, countState() AS n, sumState(v) AS v FROM chain.landing GROUP BY day",
	)
}

// insertBatch inserts rows from..from+n-1, over three partitions, under a token.
func insertBatch(ctx context.Context, conn driver.Conn, token string, from, n int) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO chain.landing")
	if err != nil {
		return err
	}
	for id := from; id < from+n; id++ {
		day := time.Date(2026, time.Month(1+id%3), 1+id%7, 0, 0, 0, 0, time.UTC)
		if err := batch.Append(uint64(id), day, int64(id), fmt.Sprint("payload ", id)); err != nil {
			return err
		}
	}
	return batch.Send()
}

func insert(t testing.TB, conn driver.Conn, token string, from, n int) {
	t.Helper()
	if err := insertBatch(t.Context(), conn, token, from, n); err != nil {
		t.Fatalf("insert under %s: %v", token, err)
	}
}

// expect checks that every table holds n rows whose values sum up to sum, and
// that the states equal a recount from the landing rows, day by day.
func expect(t testing.TB, conn driver.Conn, when string, n, sum int) {
	t.Helper()
	want := fmt.Sprintf("(%d,%d)", n, sum)
	for _, table := range []string{"landing", "typed"} {
		if got := scalar(t, conn, "SELECT (count(), sum(v)) FROM chain."+table); got != want {
			t.Errorf("%s: %s holds %s, want %s", when, table, got, want)
		}
	}
	recount := scalar(t, conn, "SELECT groupArray(d) FROM (SELECT (day, count(), sum(v)) AS d FROM chain.landing GROUP BY day ORDER BY day)")
	for _, table := range []string{"states", "direct"} {
		if got := scalar(t, conn, "SELECT (countMerge(n), sumMerge(v)) FROM chain."+table); got != want {
			t.Errorf("%s: %s holds %s, want %s", when, table, got, want)
		}
		got := scalar(t, conn, "SELECT groupArray(d) FROM (SELECT (day, countMerge(n), sumMerge(v)) AS d FROM chain."+table+" GROUP BY day ORDER BY day)")
		if got != recount {
			t.Errorf("%s: %s by day %s, recounted %s", when, table, got, recount)
		}
	}
}

func TestRepeatedInsertCountsOnce(t *testing.T) {
	dir := t.TempDir()
	p := spawn(t, dir)
	conn := p.conn(t, "")
	chain(t, conn, "1", "1")
	insert(t, conn, "a", 0, 300)
	insert(t, conn, "a", 0, 300)
	expect(t, conn, "same token, same rows", 300, 44850)
	insert(t, conn, "b", 0, 300)
	expect(t, conn, "another token, same rows", 600, 89700)
	execute(t, conn, "OPTIMIZE TABLE chain.landing FINAL", "OPTIMIZE TABLE chain.typed FINAL", "OPTIMIZE TABLE chain.states FINAL")
	insert(t, conn, "a", 0, 300)
	expect(t, conn, "old token after merges", 600, 89700)
	p.stop(t)

	p = spawn(t, dir, "ENGINE_TEST_REOPEN=1")
	conn = p.conn(t, "")
	insert(t, conn, "a", 0, 300)
	insert(t, conn, "b", 0, 300)
	expect(t, conn, "old tokens after a restart and a reopening in one process", 600, 89700)
	p.kill()

	p = spawn(t, dir)
	conn = p.conn(t, "")
	insert(t, conn, "b", 0, 300)
	expect(t, conn, "old token after a kill", 600, 89700)
	insert(t, conn, "c", 300, 300)
	expect(t, conn, "new token", 900, 224550)
}

// A kill between the tables of one insert leaves the later ones without its
// rows, and the same insert under the same token fills them.
func TestKillBetweenTables(t *testing.T) {
	for name, hold := range map[string]struct{ landing, typed, reached, behind string }{
		"landing before typed": {"sleep(2)", "1", "landing", "typed"},
		"typed before states":  {"1", "sleep(2)", "typed", "states"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := spawn(t, dir)
			conn := p.conn(t, "")
			chain(t, conn, hold.landing, hold.typed)
			go func() { _ = insertBatch(context.Background(), conn, "a", 0, 300) }()
			for scalar(t, conn, "SELECT count() FROM chain."+hold.reached) != "300" {
				time.Sleep(time.Millisecond)
			}
			p.kill()

			p = spawn(t, dir)
			conn = p.conn(t, "")
			if got := scalar(t, conn, "SELECT count() FROM chain."+hold.reached); got != "300" {
				t.Errorf("%s holds %s rows after the kill, want 300: it is written first", hold.reached, got)
			}
			if got := scalar(t, conn, "SELECT count() FROM chain."+hold.behind); got != "0" {
				t.Errorf("%s holds %s rows after the kill, want none: it is written later", hold.behind, got)
			}
			insert(t, conn, "a", 0, 300)
			expect(t, conn, "repeated after the kill", 300, 44850)
		})
	}
}

// ClickHouse logs a token before it renames the part into place. This is what
// a kill in between leaves on disk: the token without the part. Without the
// repair in Open the rows would be lost to the table for good.
func TestTokenWithoutRowsIsForgotten(t *testing.T) {
	for _, table := range []string{"landing", "typed", "states"} {
		t.Run(table, func(t *testing.T) {
			dir := t.TempDir()
			p := spawn(t, dir)
			conn := p.conn(t, "")
			chain(t, conn, "1", "1")
			execute(t, conn, "SYSTEM STOP MERGES")
			insert(t, conn, "a", 0, 300)
			insert(t, conn, "b", 300, 300)
			path := scalar(t, conn, "SELECT path FROM system.parts WHERE database = 'chain' AND table = '"+table+"' AND active ORDER BY modification_time DESC, name DESC LIMIT 1")
			p.kill()
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			logs, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Clean(path)), "deduplication_logs", "*.txt"))
			if err != nil || len(logs) == 0 {
				t.Fatalf("no deduplication log beside %s: %v", path, err)
			}
			// A line that was being written when the power went.
			file, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = file.WriteString("1\tall_99")
			}
			if err == nil {
				err = file.Close()
			}
			if err != nil {
				t.Fatal(err)
			}

			p = spawn(t, dir)
			conn = p.conn(t, "")
			insert(t, conn, "b", 300, 300)
			insert(t, conn, "a", 0, 300)
			expect(t, conn, "repeated", 600, 179700)
		})
	}
}

// Whatever an insert was doing when the process was killed, what was
// acknowledged is there, and repeating the last one makes every table whole.
func TestKilledAnywhere(t *testing.T) {
	const kills, size = 6, 3000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	p := spawn(t, dir)
	conn := p.conn(t, "")
	chain(t, conn, "1", "1")
	next := 0 // the batch that is not acknowledged yet
	for range kills {
		victim := p
		timer := time.AfterFunc(time.Duration(random.IntN(300))*time.Millisecond, victim.kill)
		for insertBatch(t.Context(), conn, fmt.Sprint("batch ", next), next*size, size) == nil {
			next++
		}
		timer.Stop()
		victim.kill()
		p = spawn(t, dir)
		conn = p.conn(t, "")
		if got := scalar(t, conn, "SELECT countIf(id < "+fmt.Sprint(next*size)+") FROM chain.landing"); got != fmt.Sprint(next*size) {
			t.Fatalf("%s rows after the kill, %d were acknowledged", got, next*size)
		}
		insert(t, conn, fmt.Sprint("batch ", next), next*size, size)
		next++
		expect(t, conn, "repeated after a kill", next*size, next*size*(next*size-1)/2)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d batches", next)
}

func TestOneEnginePerFolder(t *testing.T) {
	dir := t.TempDir()
	p := spawn(t, dir)
	_, err := Open(t.Context(), Config{Library: sharedCfg.Library, Dir: dir})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("open a folder that another process has: %v", err)
	}
	if _, err := Open(t.Context(), sharedCfg); !errors.Is(err, ErrInUse) {
		t.Errorf("open a folder that this process has: %v", err)
	}
	if _, err := Open(t.Context(), Config{Library: sharedCfg.Library, Dir: t.TempDir()}); !errors.Is(err, ErrOpen) {
		t.Errorf("open a second folder: %v", err)
	}
	p.stop(t)
}
