package binlog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// state replays rows by their instants, as the exchange does.
type state struct {
	at   map[string]time.Time
	text map[string]string
}

func newState() *state { return &state{at: map[string]time.Time{}, text: map[string]string{}} }

func (s *state) apply(t testing.TB, rows []connectors.Row) {
	t.Helper()
	for _, r := range rows {
		if r.Rejection != nil || r.ChangedAt.IsZero() {
			t.Fatalf("row %+v", r)
		}
		key := r.Values[0].Text
		if last, ok := s.at[key]; ok && r.ChangedAt.Before(last) {
			continue // an older version
		}
		s.at[key] = r.ChangedAt
		if delete(s.text, key); r.Operation != exchange.Delete {
			s.text[key] = r.Values[1].Text
		}
	}
}

func (s *state) compare(t testing.TB, db department, query string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for rows.Next() {
		var key, text string
		if err := rows.Scan(&key, &text); err != nil {
			t.Fatal(err)
		}
		if n++; s.text[key] != text {
			t.Errorf("row %s is %q, the table has %q", key, s.text[key], text)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if n != len(s.text) {
		t.Errorf("%d rows, the table has %d", len(s.text), n)
	}
}

// TestSeam reads a table while it is changed, by transactions that stay open
// for long too, and closes and opens the source at random saved positions.
func TestSeam(t *testing.T) {
	for _, driver := range []string{"mariadb", "mysql"} {
		t.Run(driver, func(t *testing.T) { testSeam(t, driver) })
	}
}

func testSeam(t *testing.T, driver string) {
	db := newDepartment(t)
	const n = 3000
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40) CHARACTER SET gbk)")
	for first := 0; first < n; first += 500 {
		values := make([]string, 500)
		for i := range values {
			values[i] = fmt.Sprintf("(%d, '初%d')", 2*(first+i), first+i)
		}
		db.run(t, "INSERT INTO people VALUES "+strings.Join(values, ","))
	}
	early, err := db.BeginTx(t.Context(), nil) // begins before and ends during the reading
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.ExecContext(t.Context(), "UPDATE people SET name = '早' WHERE id IN (100, 4000, 5998)"); err != nil {
		t.Fatal(err)
	}
	if driver == "mysql" { // chunks are read with locks there, and would wait for it
		if err := early.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() { write(ctx, t, db.DB, w, n) })
	}
	def := db.definition(t, "people", "id", "name")
	def.Log.Driver, def.Batch = driver, 100
	var position json.RawMessage
	got := newState()
	random := rand.New(rand.NewPCG(3, 4))
	src := opened(t, def, nil)
	reads := 0
	for len(parse(t, position).Rereads) > 0 || position == nil {
		batch, err := src.Read(t.Context())
		if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
			t.Fatal(err)
		}
		got.apply(t, batch.Rows)
		if reads++; random.IntN(4) > 0 && err == nil {
			position = batch.Position // acknowledged; otherwise it comes again
		}
		if reads == 10 && driver != "mysql" {
			if err := early.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(12) == 0 || err != nil { // also when the last batch was not acknowledged
			if err := src.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := src.Open(t.Context(), position); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	writers.Wait()
	if reads <= 10 {
		t.Errorf("the table was read in %d batches", reads)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	got.apply(t, rowsOf(readAll(t, src)))
	got.compare(t, db, "SELECT id, name FROM people")
}

// write changes the table until ctx ends: short transactions, and long ones that are open for a while.
func write(ctx context.Context, t *testing.T, db *sql.DB, seed, n int) {
	random := rand.New(rand.NewPCG(uint64(seed), 9))
	for i := 0; ctx.Err() == nil; i++ {
		tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			t.Error(err)
			return
		}
		for range 1 + random.IntN(5) {
			id := random.IntN(2 * n)
			statement := fmt.Sprintf("UPDATE people SET name = '改%d-%d' WHERE id = %d", seed, i, id)
			switch random.IntN(5) {
			case 0:
				statement = fmt.Sprintf("DELETE FROM people WHERE id = %d", id)
			case 1:
				statement = fmt.Sprintf("REPLACE INTO people VALUES (%d, '新%d-%d')", id, seed, i)
			case 2:
				statement = fmt.Sprintf("UPDATE IGNORE people SET id = %d WHERE id = %d", random.IntN(2*n), id)
			}
			if _, err = tx.ExecContext(context.WithoutCancel(ctx), statement); err != nil {
				break // a deadlock with another writer
			}
		}
		if random.IntN(20) == 0 {
			select { // stays open while chunks are read
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		if err != nil || random.IntN(10) == 0 {
			_ = tx.Rollback()
		} else if err := tx.Commit(); err != nil {
			t.Error(err)
			return
		}
	}
}

func parse(t testing.TB, text json.RawMessage) position {
	t.Helper()
	if text == nil {
		return position{}
	}
	p, err := parsePosition(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDeterminism reads the log again from every position: the same rows with
// the same bytes, origins and instants, strictly growing.
func TestDeterminism(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	def := db.definition(t, "people", "id", "name")
	def.Batch = 3
	src := opened(t, def, nil)
	begin := readAll(t, src)
	start := begin[len(begin)-1].Position
	db.run(t, "INSERT INTO people VALUES (1,'a'),(2,'b'),(3,'c'),(4,'d'),(5,'e')")
	db.run(t, "UPDATE people SET id = id + 10 WHERE id IN (2, 3)")
	db.run(t, "DELETE FROM people WHERE id = 1")
	db.run(t, "UPDATE people SET name = 'z'")
	whole := readAll(t, src)
	rows := rowsOf(whole)
	if len(rows) != 5+4+1+4 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows {
		if i > 0 && !r.ChangedAt.After(rows[i-1].ChangedAt) {
			t.Errorf("row %d: %s is not after %s", i, r.ChangedAt, rows[i-1].ChangedAt)
		}
	}
	for _, k := range []int{5, 7, 9} {
		if r := rows[k]; r.Operation != exchange.Delete || r.Values[0].Null || !r.Values[1].Null || !slices.Equal(r.Key, []string{r.Values[0].Text}) {
			t.Errorf("row %d = %+v; want a delete with the key alone", k, r)
		}
	}
	if rows[5].Values[0].Text != "2" || rows[6].Values[0].Text != "12" || rows[6].Operation != "" {
		t.Errorf("a changed key gave %+v and %+v", rows[5], rows[6])
	}
	positions, done := []json.RawMessage{start}, []int{0}
	for _, b := range whole {
		positions, done = append(positions, b.Position), append(done, done[len(done)-1]+len(b.Rows))
	}
	for i, p := range positions {
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := src.Open(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		again := rowsOf(readAll(t, src))
		if len(again) != len(rows)-done[i] {
			t.Fatalf("from position %d: %d rows; want %d", i, len(again), len(rows)-done[i])
		}
		for k, r := range again {
			want := rows[done[i]+k]
			if !bytes.Equal(r.Raw, want.Raw) || r.Origin != want.Origin || !r.ChangedAt.Equal(want.ChangedAt) || r.Operation != want.Operation {
				t.Errorf("from position %d, row %d = %+v; want %+v", i, k, r, want)
			}
		}
	}
}

// TestHugeTransaction reads one transaction in many batches, with little memory, and goes on in the middle of it.
func TestHugeTransaction(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(1000))")
	db.run(t, "CREATE TABLE digits (d INT PRIMARY KEY)")
	db.run(t, "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
	def := db.definition(t, "people", "id", "name")
	def.Batch = 5000
	src := opened(t, def, nil)
	readAll(t, src)
	const n = 100_000
	db.run(t, `INSERT INTO people SELECT a.d + 10*b.d + 100*c.d + 1000*d.d + 10000*e.d, REPEAT('x', 900)
		FROM digits a, digits b, digits c, digits d, digits e ORDER BY 1`)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak, got := uint64(0), 0
	for got < n {
		batch, err := src.Read(t.Context())
		if err != nil {
			t.Fatalf("after %d rows: %v", got, err)
		}
		for _, r := range batch.Rows {
			if r.Values[0].Text != strconv.Itoa(got) {
				t.Fatalf("row %d has id %s", got, r.Values[0].Text)
			}
			got++
		}
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapInuse)
		if got > n/2 && got < n/2+2*def.Batch { // once or twice, in the middle of the transaction
			if err := src.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := src.Open(t.Context(), batch.Position); err != nil {
				t.Fatal(err)
			}
		}
	}
	grown := int64(peak) - int64(before.HeapInuse)
	t.Logf("%d rows of one transaction; the heap grew by at most %d MB", got, grown>>20)
	if grown > 64<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	if rows := rowsOf(readAll(t, src)); len(rows) != 0 {
		t.Errorf("%d rows more", len(rows))
	}
}

// TestTruncate and what else empties a table without a row in the log.
func TestTruncate(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	db.run(t, "CREATE TABLE people2 (id INT PRIMARY KEY)")
	db.run(t, "INSERT INTO people VALUES (1,'a')")
	src := opened(t, db.definition(t, "people", "id", "name"), nil)
	last := map[string]time.Time{}
	newer := func(rows []connectors.Row) {
		t.Helper()
		for _, r := range rows {
			if !r.ChangedAt.After(last[r.Key[0]]) {
				t.Errorf("two versions of row %s have the instant %s", r.Key[0], r.ChangedAt)
			}
			last[r.Key[0]] = r.ChangedAt
		}
	}
	newer(rowsOf(readAll(t, src)))
	for _, test := range []struct {
		statements []string
		gap        bool
		rows       int
	}{
		{[]string{"TRUNCATE TABLE people2"}, false, 0},
		{[]string{"TRUNCATE TABLE `people`", "INSERT INTO people VALUES (2,'b')"}, true, 1},
		{[]string{"DROP TABLE people", "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))", "INSERT INTO people VALUES (3,'c')"}, true, 1},
		{[]string{"SET SESSION binlog_format = 'STATEMENT'", "UPDATE people SET name = 'd'"}, true, 1},
		{[]string{"SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE people SET name = 'e'"}, true, 1},
		{[]string{"SET SESSION binlog_format = 'STATEMENT'", "UPDATE people SET name = 'f'"}, true, 1},
	} {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range test.statements {
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.Raw(func(any) error { return errors.New("its settings are of no more use") })
		batches := readAll(t, src)
		gap := slices.ContainsFunc(batches, func(b connectors.Batch) bool { return b.Gap })
		if rows := rowsOf(batches); gap != test.gap || len(rows) != test.rows {
			t.Errorf("%s: gap %v, %d rows; want %v, %d", test.statements, gap, len(rows), test.gap, test.rows)
		}
		newer(rowsOf(batches))
	}
}

// TestReread reads a range again beside what is new, also when it is asked for twice and the source is opened anew.
func TestReread(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	for i := range 50 {
		db.run(t, "INSERT INTO people VALUES (?, 'a')", i)
	}
	def := db.definition(t, "people", "id", "name")
	src := opened(t, def, nil)
	readAll(t, src)
	for range 2 {
		if err := src.Reread(t.Context(), "r1", connectors.KeyRange{From: []string{"10"}, To: []string{"29"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := src.Reread(t.Context(), "r2", connectors.KeyRange{From: []string{"1", "2"}}); !errors.Is(err, connectors.ErrRefused) {
		t.Errorf("an end with too many texts: %v", err)
	}
	db.run(t, "UPDATE people SET name = 'b' WHERE id IN (12, 40)")
	first, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := parse(t, first.Position); len(p.Rereads) != 1 || p.Rereads[0].ID != "r1" {
		t.Errorf("the position has %+v", p.Rereads)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), first.Position); err != nil {
		t.Fatal(err)
	}
	rows := append(first.Rows, rowsOf(readAll(t, src))...)
	seen := map[string]int{}
	for _, r := range rows {
		seen[r.Key[0]]++
	}
	for i := range 50 {
		want := 0
		if i >= 10 && i <= 29 || i == 40 {
			want = 1
		}
		if key := strconv.Itoa(i); seen[key] < want || want == 0 && seen[key] > 0 {
			t.Errorf("row %d came %d times; want %d", i, seen[key], want)
		}
	}
}

// TestPausedReader goes on in the middle of a packet after all its deadlines have passed meanwhile.
func TestPausedReader(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name LONGTEXT)")
	src := opened(t, db.definition(t, "people", "id", "name"), nil)
	readAll(t, src)
	for id := range 20 {
		db.run(t, "INSERT INTO people VALUES (?, REPEAT('x', 200000))", id) // more than is buffered
	}
	partly, rows := 0, 0
	for rows < 20 {
		_ = src.dump.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := src.dump.reader.Peek(1000); err != nil {
			t.Fatal(err)
		}
		_ = src.dump.conn.SetReadDeadline(time.Unix(1, 0))
		if !src.dump.buffered() {
			partly++
		}
		e, err := src.dump.next(t.Context(), 10*time.Second)
		if err != nil {
			t.Fatalf("after %d rows: %v", rows, err)
		}
		if r, err := parseRows(e); err != nil {
			t.Fatal(err)
		} else if r != nil {
			rows++
		}
	}
	if partly == 0 {
		t.Error("no packet was here in part")
	}
}
