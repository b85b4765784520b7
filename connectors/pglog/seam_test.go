package pglog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// TestSeam reads a snapshot while rows are inserted, updated, deleted and get
// other keys, in short transactions and in long ones that were open before the
// snapshot began and are committed during or after it, through re-openings at
// random. In the end the rows by key, the newest instant winning, are the table.
func TestSeam(t *testing.T) {
	const initial, writers, rounds = 6000, 3, 250
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text, big text)`,
		`ALTER TABLE people ALTER big SET STORAGE EXTERNAL`,
		fmt.Sprintf(`INSERT INTO people SELECT g, 'initial', CASE WHEN g %% 10 = 0 THEN repeat('x', 3000) END FROM generate_series(1, %d) g`, initial))
	def := d.definition("id", "name", "big")
	def.Batch = 150
	src := d.follow(t, def, nil) // makes the slot; what is open from now on may be committed at any time
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { write(t, d, w, initial, rounds) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	got, reopened, batches, rows := state{}, 0, 0, 0
	var saved json.RawMessage
	for finished := false; !finished; {
		if err := src.Open(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
		for left := rand.N(30); left >= 0 || finished; left-- {
			select {
			case <-done:
				finished = true
			default:
			}
			batch, err := src.Read(t.Context())
			if err != nil {
				if finished && !t.Failed() {
					break
				}
				continue // caught up
			}
			got.merge(t, batch.Rows)
			batches, rows = batches+1, rows+len(batch.Rows)
			if rand.N(3) > 0 { // otherwise it is published, but not saved: a crash repeats it
				saved = batch.Position
				if err := src.Acknowledge(t.Context(), saved); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		reopened++
	}
	got.merge(t, rowsOf(drain(t, d.follow(t, def, saved))))
	got.compare(t, d, "id", "name", "big")
	t.Logf("%d rows in %d batches, %d openings, %d keys", rows, batches, reopened, len(got))
}

// write changes the table in transactions; every fifth is open for a while.
func write(t *testing.T, d *department, writer, initial, rounds int) {
	random := rand.New(rand.NewPCG(uint64(writer), 17))
	for round := range rounds {
		tx, err := d.BeginTx(t.Context(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		for n := range 1 + random.IntN(8) {
			// Each writer has its own keys, so that none waits for another's transaction.
			id := random.IntN(initial)/3*3 + writer
			value := fmt.Sprintf("%d/%d/%d", writer, round, n)
			switch random.IntN(10) {
			case 0, 1:
				_, err = tx.ExecContext(t.Context(), `DELETE FROM people WHERE id = $1`, id)
			case 2, 3:
				_, err = tx.ExecContext(t.Context(), `INSERT INTO people VALUES ($1, $2, repeat('y', 2500)) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, id, value)
			case 4:
				_, err = tx.ExecContext(t.Context(), `UPDATE people SET id = id + 300000 + $2, name = $3 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM people p WHERE p.id = $1 + 300000 + $2)`,
					id, writer*1_000_000, value)
			default:
				_, err = tx.ExecContext(t.Context(), `UPDATE people SET name = $2 WHERE id = $1`, id, value)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
		if round%5 == 0 {
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond) // a slow client; nothing waits for it
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestSeamHoldsBackOldRows commits changes between the reading of a chunk and
// its handing on: what the chunk has of these rows is old and must not be handed on.
func TestSeamHoldsBackOldRows(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people SELECT g, 'old' FROM generate_series(1, 5) g`)
	src := d.follow(t, d.definition(), nil)
	early, err := d.BeginTx(t.Context(), nil) // before the chunk, committed after it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.ExecContext(t.Context(), `UPDATE people SET name = 'early' WHERE id = 2`); err != nil {
		t.Fatal(err)
	}
	chunkRead(t, src)
	d.exec(t, `UPDATE people SET name = 'new' WHERE id = 1`)
	if err := early.Commit(); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `DELETE FROM people WHERE id = 3`)
	d.exec(t, `UPDATE people SET id = 40 WHERE id = 4`)
	if src.chunk.high, err = src.db.mark(t.Context()); err != nil { // as if the query had taken that long
		t.Fatal(err)
	}
	rows := rowsOf(drain(t, src))
	expectTexts(t, rows, "1,new", "2,early", "delete 3,-", "delete 4,-", "40,old", "5,old")
	if last := rows[len(rows)-1].ChangedAt; !last.After(rows[4].ChangedAt) {
		t.Errorf("the chunk's row has the instant %s, not after %s", last, rows[4].ChangedAt)
	}

	d.exec(t, `INSERT INTO people VALUES (6, 'x')`)
	if got := rowsOf(drain(t, src)); len(got) != 1 || !got[0].ChangedAt.After(rows[5].ChangedAt) {
		t.Errorf("the next change is %v, not behind the chunk", got)
	}
	if err := src.Reread(t.Context(), "again", connectors.KeyRange{}); err != nil {
		t.Fatal(err)
	}
	chunkRead(t, src)
	d.exec(t, `TRUNCATE people`)
	d.exec(t, `INSERT INTO people VALUES (7, 'y')`)
	if src.chunk.high, err = src.db.mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	batches := drain(t, src)
	expectTexts(t, rowsOf(batches), "7,y")
	if !batches[0].Gap {
		t.Error("a TRUNCATE is no gap")
	}
}

// chunkRead reads a chunk, as soon as transactions of others allow it.
func chunkRead(t *testing.T, src *source) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); src.chunk == nil; {
		if finished, err := src.readChunk(t.Context()); err != nil || finished || time.Now().After(end) {
			t.Fatalf("no chunk was read: %v", err)
		}
	}
}

// TestRereadBesideStream reads a range again while the rest goes on, across re-openings, and two ranges in turn.
func TestRereadBesideStream(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint, part text, name text, PRIMARY KEY (id, part))`,
		`INSERT INTO people SELECT g, 'a', 'old' FROM generate_series(1, 100) g`)
	def := d.definition("id", "part", "name")
	def.Log.Key, def.Batch = []string{"id", "part"}, 10
	src := d.follow(t, def, nil)
	if rows := rowsOf(drain(t, src)); len(rows) != 100 {
		t.Fatalf("%d rows; want 100", len(rows))
	}
	if err := src.Reread(t.Context(), "one", connectors.KeyRange{From: []string{"20", "a"}, To: []string{"44", "a"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // asked twice, done once
		if err := src.Reread(t.Context(), "two", connectors.KeyRange{From: []string{"99"}}); err != nil {
			t.Fatal(err)
		}
	}
	d.exec(t, `UPDATE people SET name = 'new' WHERE id = 1`)
	var got []connectors.Row
	var saved json.RawMessage
	for len(got) < 12 {
		batch, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, saved = append(got, batch.Rows...), batch.Position
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got = append(got, rowsOf(drain(t, d.follow(t, def, saved)))...)
	want := []string{"1,a,new"}
	for id := 20; id <= 44; id++ {
		want = append(want, fmt.Sprintf("%d,a,old", id))
	}
	expectTexts(t, got, append(want, "99,a,old", "100,a,old")...)

	if err := src.Open(t.Context(), saved); err == nil {
		t.Error("a second reader of the slot was let in")
	} else {
		expectFault(t, err, connectors.FaultBusy, "in use by process")
	}
}

// TestRereadRefused asks for what cannot be read, and for as much as can wait.
func TestRereadRefused(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people VALUES (1, 'a')`)
	src := d.follow(t, d.definition(), nil)
	for _, r := range []connectors.KeyRange{{From: []string{"abc"}}, {From: []string{"0"}, To: []string{"99999999999999999999"}}, {To: []string{"1", "2"}}} {
		err := src.Reread(t.Context(), "impossible", r)
		expectFault(t, err, connectors.FaultDefinition)
		if !errors.Is(err, connectors.ErrRefused) || strings.Contains(err.Error(), "abc") {
			t.Errorf("error %v", err)
		}
	}
	expectTexts(t, rowsOf(drain(t, src)), "1,a")

	for n := range maxRereads - 1 { // as if they had been asked for one by one
		src.at.Rereads = append(src.at.Rereads, reread{ID: fmt.Sprintf("%036d", n), KeyRange: connectors.KeyRange{From: []string{"1"}, To: []string{"2"}}})
	}
	if err := src.Reread(t.Context(), "last", connectors.KeyRange{}); err != nil {
		t.Fatal(err)
	}
	expectFault(t, src.Reread(t.Context(), "one more", connectors.KeyRange{}), connectors.FaultBusy)
	at := src.at
	at.Rereads = append([]reread{{After: []string{strings.Repeat("\x01", 700_000)}}}, at.Rereads...) // the snapshot, too
	encoded, err := at.encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := parsePosition(encoded, 1); err != nil || len(again.Rereads) != maxRereads+1 {
		t.Errorf("a position of %d bytes is not taken: %v", len(encoded), err)
	}
	src.at.Rereads = nil
	long := connectors.KeyRange{From: []string{strings.Repeat("1", 2<<20)}}
	expectFault(t, src.Reread(t.Context(), "long", long), connectors.FaultBusy, "too long")
}

// TestScan reads without a slot.
func TestScan(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people SELECT g, 'x' FROM generate_series(1, 25) g`)
	def := d.definition()
	def.Batch = 10
	src := d.construct(t, def)
	var rows []connectors.Row
	sizes := []int{}
	err := src.Scan(t.Context(), connectors.KeyRange{From: []string{"3"}, To: []string{"24"}}, func(batch []connectors.Row) error {
		rows, sizes = append(rows, batch...), append(sizes, len(batch))
		return nil
	})
	if err != nil || len(rows) != 22 || rows[0].Key[0] != "3" || rows[21].Key[0] != "24" || sizes[0] != 10 {
		t.Fatalf("%d rows in batches of %v: %v", len(rows), sizes, err)
	}
	var slots int
	if err := d.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1) + (SELECT count(*) FROM pg_publication WHERE pubname = $1)`,
		d.slot).Scan(&slots); err != nil || slots != 0 {
		t.Errorf("%d slots and publications were made: %v", slots, err)
	}
	stop := fmt.Errorf("enough")
	if err := src.Scan(context.WithoutCancel(t.Context()), connectors.KeyRange{}, func([]connectors.Row) error { return stop }); err != stop { //nolint:errorlint // the same error is promised
		t.Errorf("the error of yield became %v", err)
	}
	d.exec(t, `ALTER TABLE people REPLICA IDENTITY NOTHING`)
	def.Map.Fields[1].From = "surname"
	err = d.construct(t, def).Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return nil })
	expectFault(t, err, connectors.FaultColumn, `"surname"`, "REPLICA IDENTITY USING INDEX")
}
