package engine

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// eachWay runs a test in process and over a port.
func eachWay(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("in process", func(t *testing.T) { test(t, "") })
	t.Run("over a port", func(t *testing.T) { test(t, port(t)) })
}

func TestTypesRoundTrip(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		execute(t, conn, `CREATE TABLE t (
			s String, lc LowCardinality(String), fs FixedString(32), u UInt64, i Int64, ts DateTime64(6,'UTC'), d Date,
			n Nullable(String), a Array(String), e Enum8('a'=1,'b'=2), w UInt128, m Map(String,String)
		) ENGINE = MergeTree ORDER BY u`)
		at := time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC)
		day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
		wide, _ := new(big.Int).SetString("340282366920938463463374607431768211455", 10)
		some := "some"
		fixed := "0123456789abcdef0123456789abcdef"
		want := [][]any{
			{"a\n\n\x00b\tç'", "low", fixed, uint64(1), int64(-1), at, day, &some, []string{"x", ""}, "a", *wide, map[string]string{"k": "v"}},
			{"", "low", fixed, uint64(2), int64(1), at, day, (*string)(nil), []string{}, "b", *big.NewInt(0), map[string]string{}},
		}
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range want {
			sent := append([]any(nil), row...)
			w := row[10].(big.Int)
			sent[10] = &w
			if err := batch.Append(sent...); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
		rows, err := conn.Query(t.Context(), "SELECT * FROM t ORDER BY u")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		var got [][]any
		for rows.Next() {
			var (
				s, lc, fs, e string
				u            uint64
				i            int64
				ts, d        time.Time
				n            *string
				a            []string
				w            big.Int
				m            map[string]string
			)
			if err := rows.Scan(&s, &lc, &fs, &u, &i, &ts, &d, &n, &a, &e, &w, &m); err != nil {
				t.Fatal(err)
			}
			got = append(got, []any{s, lc, fs, u, i, ts.UTC(), d.UTC(), n, a, e, w, m})
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if g, w := fmt.Sprintf("%#v", text(got)), fmt.Sprintf("%#v", text(want)); g != w {
			t.Errorf("rows\n%s\nwant\n%s", g, w)
		}
	})
}

// text makes rows comparable.
func text(rows [][]any) []string {
	var lines []string
	for _, row := range rows {
		line := ""
		for _, v := range row {
			if p, ok := v.(*string); ok && p != nil {
				v = *p
			}
			if w, ok := v.(big.Int); ok {
				v = w.String()
			}
			line += fmt.Sprintf("%v|", v)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestParametersAndSettingsLastOneRequest(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		ctx := clickhouse.Context(t.Context(),
			clickhouse.WithParameters(clickhouse.Parameters{"n": "7", "s": `it's \\ a {tab}\t`, "list": "['a','b\\'c']"}),
			clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 123, "log_comment": "it's mine"}))
		var n, block uint64
		var s string
		var list []string
		if err := conn.QueryRow(ctx, "SELECT {n:UInt64}, {s:String}, {list:Array(String)}, toUInt64(getSetting('max_block_size'))").Scan(&n, &s, &list, &block); err != nil {
			t.Fatal(err)
		}
		if n != 7 || s != "it's \\ a {tab}\t" || !reflect.DeepEqual(list, []string{"a", "b'c"}) || block != 123 {
			t.Errorf("got %d %q %q %d", n, s, list, block)
		}
		for range 2 * querySessions {
			if got := scalar(t, conn, "SELECT getSetting('max_block_size')"); got == "123" {
				t.Fatal("a setting outlived its request")
			}
		}
		execute(t, conn, "SET max_block_size = 77", "CREATE TEMPORARY TABLE leak (x UInt8)", "USE system")
		for range 2 * querySessions {
			if got := scalar(t, conn, "SELECT concat(toString(getSetting('max_block_size')), currentDatabase())"); got == "77" || got == "65409system" {
				t.Fatalf("a statement changed a later request's session: %s", got)
			}
		}
	})
}

func TestErrorsAreTyped(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		execute(t, conn, "CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
		for _, test := range []struct {
			statement string
			code      int32
		}{
			{"SELEC 1", 62},
			{"SELECT * FROM missing", 60},
			{"SELECT missing FROM t", 47},
			{"INSERT INTO missing VALUES (1)", 60},
			{"INSERT INTO t VALUES ('x')", 6},
			{"SELECT 1 SETTINGS no_such_setting = 1", 115},
			{"SELECT throwIf(number = 3000000) FROM numbers(4000000)", 395},
			{"CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x", 57},
			{"SELECT {absent:UInt64}", 456},
			{"SELECT 'a\x00", 62},
			{"SELECT '\xff\xfe' AS `\xff`, missing", 47},
		} {
			rows, err := conn.Query(t.Context(), test.statement)
			for err == nil && rows.Next() {
			}
			if err == nil {
				err = errors.Join(rows.Err(), rows.Close())
			}
			var failure *clickhouse.Exception
			if !errors.As(err, &failure) || failure.Code != test.code {
				t.Errorf("%q: %v, want code %d", test.statement, err, test.code)
			}
		}
		other := dial(t, options(shared, url, "no_such_database"))
		var failure *clickhouse.Exception
		if err := other.Exec(t.Context(), "CREATE TABLE t (x UInt8) ENGINE = Memory"); !errors.As(err, &failure) || failure.Code != 81 {
			t.Errorf("unknown database: %v", err)
		}
	})
}

func TestCancellationStopsTheStatement(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			var n uint64
			ended <- conn.QueryRow(ctx, "SELECT max(sipHash64(number)) FROM numbers(100000000000)").Scan(&n)
		}()
		running := "SELECT count() FROM system.processes WHERE query LIKE '%numbers(100000000000)%' AND query NOT LIKE '%processes%'"
		for scalar(t, conn, running) == "0" {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled query: %v", err)
		}
		// It ends by being killed: nothing else would end it while this test runs.
		for scalar(t, conn, running) != "0" {
			time.Sleep(time.Millisecond)
		}
	})
}

func TestManyReadWhileOneWrites(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		execute(t, conn, "CREATE TABLE t (id UInt64, v String) ENGINE = MergeTree ORDER BY id")
		const batches, size = 20, 1000
		var readers sync.WaitGroup
		done := make(chan struct{})
		for range 8 {
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					var n, top uint64
					if err := conn.QueryRow(t.Context(), "SELECT count(), max(id) FROM t").Scan(&n, &top); err != nil {
						t.Error(err)
						return
					}
					if n%size != 0 || n > 0 && top != n-1 {
						t.Errorf("read %d rows up to %d: a batch was seen in part", n, top)
						return
					}
				}
			})
		}
		for b := range batches {
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
			if err != nil {
				t.Fatal(err)
			}
			for i := range size {
				if err := batch.Append(uint64(b*size+i), "v"); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
		}
		close(done)
		readers.Wait()
		if got := scalar(t, conn, "SELECT count() FROM t"); got != fmt.Sprint(batches*size) {
			t.Errorf("%s rows, want %d", got, batches*size)
		}
	})
}

// A caller may ask something between two rows of a long answer.
func TestLongAnswersStream(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		rows, err := conn.Query(t.Context(), "SELECT number, repeat('x', 100) FROM numbers(1000000)")
		if err != nil {
			t.Fatal(err)
		}
		var n, sum, number uint64
		var filler string
		for rows.Next() {
			if err := rows.Scan(&number, &filler); err != nil {
				t.Fatal(err)
			}
			if n%250_000 == 0 {
				scalar(t, conn, "SELECT 1")
			}
			n, sum = n+1, sum+number
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if n != 1_000_000 || sum != 499_999_500_000 {
			t.Errorf("read %d rows, sum %d", n, sum)
		}
		// Giving up half way frees the session.
		for range 2 * querySessions {
			ctx, cancel := context.WithCancel(t.Context())
			rows, err := conn.Query(ctx, "SELECT number, repeat('x', 100) FROM numbers(1000000)")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			cancel()
			_ = rows.Close()
		}
		scalar(t, conn, "SELECT 1")
	})
}
