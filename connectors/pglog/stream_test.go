package pglog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

func TestChanges(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	src := d.follow(t, d.definition(), nil)
	if batches := drain(t, src); len(batches) != 1 || len(batches[0].Rows) != 0 || batches[0].Gap {
		t.Fatalf("an empty table gave %+v", batches)
	}
	before := time.Now().Add(-time.Minute)
	d.exec(t, `INSERT INTO people VALUES (1, '张三'), (2, '')`)
	d.exec(t, `UPDATE people SET name = NULL WHERE id = 2`)
	d.exec(t, `UPDATE people SET id = 3 WHERE id = 1`)
	d.exec(t, `DELETE FROM people WHERE id = 2`)
	tx, err := d.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO people VALUES (9, 'never')`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(drain(t, src))
	expectTexts(t, rows, "1,张三", "2,", "2,-", "delete 1,-", "3,张三", "delete 2,-")
	for i, row := range rows {
		if row.ChangedAt.Before(before) || row.ChangedAt.After(time.Now().Add(time.Minute)) {
			t.Errorf("row %d changed at %s", i, row.ChangedAt)
		}
		if i > 0 && !row.ChangedAt.After(rows[i-1].ChangedAt) {
			t.Errorf("row %d changed at %s, not after %s", i, row.ChangedAt, rows[i-1].ChangedAt)
		}
		if row.Origin != "people:"+row.Key[0] || !bytes.HasPrefix(row.Raw, []byte(`{"id":"`+row.Key[0]+`"`)) {
			t.Errorf("row %d: origin %q, raw %s", i, row.Origin, row.Raw)
		}
	}
	d.exec(t, `TRUNCATE people`)
	batches := drain(t, src)
	if len(batches) != 1 || !batches[0].Gap || len(batches[0].Rows) != 0 {
		t.Errorf("a TRUNCATE gave %+v", batches)
	}
}

// TestSameFromEveryPosition reads again from the position of every batch: rows,
// bytes, origins and instants must be the same.
func TestSameFromEveryPosition(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people SELECT g, 'x' FROM generate_series(1, 20) g`)
	def := d.definition()
	def.Batch = 4
	src := d.follow(t, def, nil)
	batches := drain(t, src)
	snapshot := len(batches)
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, from := range batches {
		src := d.follow(t, def, from.Position)
		expectSame(t, rowsOf(drain(t, src)), rowsOf(batches[i+1:]))
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	src = d.follow(t, def, batches[snapshot-1].Position)
	d.exec(t, `UPDATE people SET name = 'y' WHERE id < 8`)
	for id := range 5 {
		d.exec(t, `UPDATE people SET id = id + 100, name = 'z' WHERE id = $1`, id+1)
		d.exec(t, `DELETE FROM people WHERE id = $1`, id+8)
	}
	d.exec(t, `UPDATE people SET id = id + 1000`)
	batches = append(batches, drain(t, src)...)
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(batches) < 15 {
		t.Fatalf("only %d batches", len(batches))
	}
	for i, from := range batches {
		src := d.follow(t, def, from.Position)
		// In the middle of the snapshot, too: every row has changed since, so that chunks have nothing to add.
		expectSame(t, rowsOf(drain(t, src)), rowsOf(batches[max(i+1, snapshot):]))
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func expectSame(t *testing.T, got, want []connectors.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows; want %d", len(got), len(want))
	}
	for n := range got {
		a, b := got[n], want[n]
		if !bytes.Equal(a.Raw, b.Raw) || a.Origin != b.Origin || !a.ChangedAt.Equal(b.ChangedAt) || a.Operation != b.Operation || !slices.Equal(a.Key, b.Key) {
			t.Fatalf("row %d is %s %s at %s; want %s %s at %s", n, a.Operation, a.Raw, a.ChangedAt, b.Operation, b.Raw, b.ChangedAt)
		}
	}
}

// TestHugeTransaction reads one transaction of many rows in batches, with
// bounded memory, and goes on in the middle of it.
func TestHugeTransaction(t *testing.T) {
	const total = 150_000
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	def := d.definition()
	def.Batch = 2000
	src := d.follow(t, def, nil)
	drain(t, src)
	d.exec(t, fmt.Sprintf(`INSERT INTO people SELECT g, repeat('x', 200) || g FROM generate_series(1, %d) g`, total))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	next, most := 1, uint64(0)
	var last time.Time
	for batches := 0; next <= total; batches++ {
		batch, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range batch.Rows {
			if row.Key[0] != fmt.Sprint(next) || !row.ChangedAt.After(last) {
				t.Fatalf("row %d is %s at %s after %s", next, row.Key[0], row.ChangedAt, last)
			}
			next, last = next+1, row.ChangedAt
		}
		if batches%30 == 10 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			most = max(most, after.HeapAlloc)
			if err := src.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := src.Open(t.Context(), batch.Position); err != nil {
				t.Fatal(err)
			}
		}
	}
	if added := int64(most) - int64(before.HeapAlloc); added > 64<<20 {
		t.Errorf("%d MiB of memory for one transaction", added>>20)
	} else {
		t.Logf("at most %d KiB of heap more, %d rows in one transaction", added>>10, total)
	}
	if got := rowsOf(drain(t, src)); len(got) > 0 {
		t.Errorf("%d rows more", len(got))
	}
}

// TestToast updates rows whose large value does not change and is therefore
// not in the log, with and without the old row in it.
func TestToast(t *testing.T) {
	for _, identity := range []string{"DEFAULT", "FULL"} {
		t.Run(identity, func(t *testing.T) {
			d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text, big text)`,
				`ALTER TABLE people ALTER big SET STORAGE EXTERNAL`, `ALTER TABLE people REPLICA IDENTITY `+identity)
			src := d.follow(t, d.definition("id", "name", "big"), nil)
			drain(t, src)
			big := strings.Repeat("长", 300_000) // 900 kB
			d.exec(t, `INSERT INTO people SELECT g, 'a', $1 || g FROM generate_series(1, 30) g`, big)
			d.exec(t, `UPDATE people SET name = 'b'`)
			d.exec(t, `UPDATE people SET id = 100, name = 'c' WHERE id = 1`)
			d.exec(t, `UPDATE people SET name = 'gone' WHERE id = 2`)
			d.exec(t, `DELETE FROM people WHERE id = 2`)
			batches := drain(t, src)
			got := state{}
			for _, batch := range batches {
				got.merge(t, batch.Rows)
				size := 0
				for _, row := range batch.Rows {
					if size += len(row.Raw); row.Operation == "" && (row.Values[2].Null || !strings.HasPrefix(row.Values[2].Text, big)) {
						t.Fatalf("row %s has %d bytes instead of its large value", row.Key, len(row.Values[2].Text))
					}
				}
				if size > connectors.MaxBatchBytes+3*connectors.MaxRowBytes {
					t.Errorf("a batch of %d bytes", size)
				}
			}
			got.compare(t, d, "id", "name", "big")
			if len(batches) < 5 {
				t.Errorf("%d batches for 60 MB", len(batches))
			}
		})
	}
}

// TestLongRow checks that a row that is too long is rejected, alone, whatever its length.
func TestLongRow(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	src := d.follow(t, d.definition(), nil)
	drain(t, src)
	d.exec(t, `INSERT INTO people VALUES (1, 'a'), (2, repeat('长', 700000)), (3, repeat('长', 10000000)), (4, 'b')`)
	d.exec(t, `DELETE FROM people WHERE id = 3`)
	rows := rowsOf(drain(t, src))
	expectTexts(t, rows, "1,a", "rejected: "+exchange.RuleMalformed, "rejected: "+exchange.RuleMalformed, "4,b", "delete 3,-")
	for _, row := range rows[1:3] {
		if len(row.Raw) != connectors.RowHead || !bytes.HasPrefix(row.Raw, []byte(`{"id":"`+row.Key[0]+`","name":"长长`)) || row.Values != nil {
			t.Errorf("raw has %d bytes: %.60s", len(row.Raw), row.Raw)
		}
	}
}

// TestColumns adds, renames and drops columns, while rows of the old shape are not read yet.
func TestColumns(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text, twice bigint GENERATED ALWAYS AS (id * 2) STORED)`)
	def := d.definition("id", "name", "twice")
	src := d.follow(t, def, nil)
	drain(t, src)
	d.exec(t, `INSERT INTO people VALUES (1, 'a')`)
	d.exec(t, `ALTER TABLE people ADD phone varchar(20)`)
	d.exec(t, `INSERT INTO people VALUES (2, 'b', DEFAULT, '0731')`)
	batches := drain(t, src)
	expectTexts(t, rowsOf(batches), "1,a,2", "2,b,4")
	if len(batches) != 2 {
		t.Fatalf("%d batches; want one for each shape", len(batches))
	}
	want := connectors.Column{Name: "phone", Type: "character varying(20)", Nullable: true}
	if got := batches[1].Columns; len(got) != 4 || got[3] != want {
		t.Errorf("columns are %+v", got)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The runner takes the column up and makes the source again, at a position before it: all rows come once more.
	src = d.follow(t, d.definition("id", "name", "phone"), batches[0].Position)
	expectTexts(t, rowsOf(drain(t, src)), "2,b,0731", "1,a,-", "2,b,0731")

	d.exec(t, `INSERT INTO people VALUES (3, 'c', DEFAULT, '1')`)
	d.exec(t, `ALTER TABLE people RENAME phone TO mobile`)
	d.exec(t, `INSERT INTO people VALUES (4, 'd', DEFAULT, '2')`)
	batch, err := src.Read(t.Context())
	if err != nil {
		expectFault(t, err, connectors.FaultColumn, `"phone"`, `"mobile"`)
	} else {
		expectTexts(t, batch.Rows, "3,c,1")
		_, err = src.Read(t.Context())
		expectFault(t, err, connectors.FaultColumn, `"phone"`, `"mobile"`)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The definition is mended: rows from before the renaming have the value, too.
	mended := d.follow(t, d.definition("id", "name", "mobile"), batches[0].Position)
	expectTexts(t, rowsOf(drain(t, mended)), "2,b,0731", "3,c,1", "4,d,2", "1,a,-", "2,b,0731", "3,c,1", "4,d,2")
}

// TestPartitions follows a table with partitions, between which a row moves, and does not follow other tables of the publication.
func TestPartitions(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint, part text, name text, PRIMARY KEY (id, part)) PARTITION BY LIST (part)`,
		`CREATE TABLE people_a PARTITION OF people FOR VALUES IN ('a')`, `CREATE TABLE people_b PARTITION OF people FOR VALUES IN ('b')`,
		`INSERT INTO people VALUES (1, 'a', 'x'), (2, 'b', 'y')`, `CREATE TABLE other (id bigint PRIMARY KEY, part text)`)
	def := d.definition("id", "part", "name")
	def.Log.Key = []string{"id", "part"}
	def.Map.Key = def.Log.Key
	src := d.follow(t, def, nil)
	expectTexts(t, rowsOf(drain(t, src)), "1,a,x", "2,b,y")
	d.exec(t, `ALTER PUBLICATION `+d.slot+` ADD TABLE other`)
	d.exec(t, `INSERT INTO other VALUES (7, 'a')`)
	d.exec(t, `INSERT INTO people VALUES (3, 'b', 'z')`)
	d.exec(t, `UPDATE people SET part = 'b' WHERE id = 1`)
	d.exec(t, `DELETE FROM people WHERE id = 2`)
	expectTexts(t, rowsOf(drain(t, src)), "3,b,z", "delete 1,a,-", "1,b,x", "delete 2,b,-")
	d.exec(t, `ALTER PUBLICATION `+d.slot+` SET (publish_via_partition_root = false)`)
	expectFault(t, d.construct(t, def).Open(t.Context(), nil), connectors.FaultLogSettings, "publish_via_partition_root")
}

// TestAcknowledge checks that the server keeps the log until rows are saved, and not longer, also while nothing is written.
func TestAcknowledge(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `CREATE TABLE other (id bigint)`)
	def := d.definition()
	def.Log.Heartbeat = 50 * time.Millisecond
	src := d.follow(t, def, nil)
	confirmed := func() (lsn string) {
		t.Helper()
		if err := d.QueryRowContext(t.Context(), `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1`, d.slot).Scan(&lsn); err != nil {
			t.Fatal(err)
		}
		return lsn
	}
	start := confirmed()
	d.exec(t, `INSERT INTO people VALUES (1, 'a')`)
	var last connectors.Batch
	for rows := 0; rows < 1; rows += len(last.Rows) {
		var err error
		if last, err = src.Read(t.Context()); err != nil {
			continue
		}
	}
	if err := src.wire.status(true); err != nil {
		t.Fatal(err)
	}
	if now := confirmed(); now != start {
		t.Errorf("the server may drop the log before %s although nothing was saved", now)
	}
	moved := 0
	for deadline := time.Now().Add(20 * time.Second); moved < 3; {
		if time.Now().After(deadline) {
			t.Fatalf("the position moved %d times", moved)
		}
		batch, err := src.Read(t.Context())
		if err != nil || len(batch.Rows) > 0 {
			continue
		}
		moved++
		if err := src.Acknowledge(t.Context(), batch.Position); err != nil {
			t.Fatal(err)
		}
		if err := src.wire.status(true); err != nil {
			t.Fatal(err)
		}
		at, err := parsePosition(batch.Position, 1)
		if err != nil {
			t.Fatal(err)
		}
		for confirmed() != at.LSN.String() {
			if time.Now().After(deadline) {
				t.Fatalf("the server keeps the log since %s; saved is %s", confirmed(), at.LSN)
			}
		}
	}
}

// TestRandomPositions re-opens at saved positions at random while a transaction of many kinds of change is read.
func TestRandomPositions(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people SELECT g, 'a' FROM generate_series(1, 500) g`)
	def := d.definition()
	def.Batch = 17
	src := d.follow(t, def, nil)
	drain(t, src)
	d.exec(t, `UPDATE people SET name = 'b'; UPDATE people SET id = id + 1000 WHERE id % 3 = 0; DELETE FROM people WHERE id % 5 = 0; UPDATE people SET name = 'c' WHERE id % 2 = 0`)
	batches := drain(t, src)
	whole := rowsOf(batches)
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 12 {
		i := rand.N(len(batches))
		src := d.follow(t, def, batches[i].Position)
		expectSame(t, rowsOf(drain(t, src)), whole[len(rowsOf(batches[:i+1])):])
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
