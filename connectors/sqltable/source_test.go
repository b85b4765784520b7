package sqltable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

// definition is one of a table people with id, name and updated_at.
func (d department) definition(columns ...string) connectors.Definition {
	def := connectortest.Definition(connectors.KindSQL)
	def.SQL = &connectors.SQL{
		Driver: d.driver, DSNFile: d.dsnFile, Table: "people", Mode: connectors.Cursor, Cursor: "updated_at", Key: []string{"id"},
	}
	if len(columns) > 0 {
		def.Map.Fields = nil
	}
	for _, c := range columns {
		def.Map.Fields = append(def.Map.Fields, connectors.Field{From: c, To: c, Type: connectors.String})
		def.Map.EventTime = columns[0]
	}
	return def
}

func made(t testing.TB, def connectors.Definition) *source {
	t.Helper()
	src, err := New(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return src.(*source)
}

func opened(t testing.TB, def connectors.Definition, after json.RawMessage) *source {
	t.Helper()
	src := made(t, def)
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	return src
}

// rest reads until the source is caught up and returns the keys of the rows and the last position.
func rest(t testing.TB, src *source) (keys []string, position json.RawMessage) {
	t.Helper()
	for {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			return keys, position
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range batch.Rows {
			keys = append(keys, strings.Join(row.Key, "/"))
		}
		position = batch.Position
	}
}

func expectKeys(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q; want %q", what, got, want)
	}
}

// people makes the usual table.
func (d department) people(t testing.TB, id string) {
	t.Helper()
	at := map[string]string{"mariadb": "DATETIME(6)", "postgres": "TIMESTAMP", "sqlite": "TIMESTAMP"}[d.driver]
	d.run(t, `CREATE TABLE people (id `+id+` PRIMARY KEY, name VARCHAR(40), updated_at `+at+`, weight DOUBLE PRECISION)`)
}

// TestBulk reads a table round by round: what did not change is not handed on again.
func TestBulk(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		for id := range 20 {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id)
		}
		def := db.definition()
		def.SQL.Mode, def.SQL.Cursor = connectors.Bulk, ""
		src := opened(t, def, nil)
		first, position := rest(t, src)
		if len(first) != 20 {
			t.Fatalf("first round: %q", first)
		}
		db.run(t, `UPDATE people SET name = 'y' WHERE id = 3`)
		db.run(t, `INSERT INTO people VALUES (100, 'x', '2025-11-03 08:00:00', NULL)`)
		second, _ := rest(t, src)
		expectKeys(t, "second round", second, "3", "100")
		again, _ := rest(t, opened(t, def, position))
		expectKeys(t, "after a restart at the end", again, "100")
	})
}

// TestCursorAlone reads a table whose cursor is unique, without a key.
func TestCursorAlone(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		for id := range 30 {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id)
		}
		def := db.definition()
		def.SQL.Cursor, def.SQL.Key = "id", nil
		src := opened(t, def, nil)
		var ids []string
		for range 5 {
			batch, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range batch.Rows {
				ids = append(ids, row.Values[0].Text)
			}
			if batch.Rows[0].Key != nil || !strings.HasPrefix(batch.Rows[0].Origin, "people:") {
				t.Fatalf("row %+v", batch.Rows[0])
			}
		}
		if len(ids) != 30 || ids[9] != "9" || ids[10] != "10" {
			t.Errorf("ids %q", ids)
		}
		if err := src.Reread(t.Context(), "a", connectors.KeyRange{}); !errors.Is(err, connectors.ErrRefused) {
			t.Errorf("a range of a table without key: %v", err)
		}
	})
}

// TestReread reads two ranges again beside what is new, through a restart after every batch.
func TestReread(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "BIGINT")
		insert := func(id int) {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', $2, NULL)`, id, fmt.Sprintf("2025-11-03 08:00:%02d", id%60))
		}
		for id := range 40 {
			insert(id)
		}
		def := db.definition()
		src := opened(t, def, nil)
		_, position := rest(t, src)
		if err := src.Reread(t.Context(), "first", connectors.KeyRange{From: []string{"9"}, To: []string{"20"}}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // asked for again until it is done
			if err := src.Reread(t.Context(), "second", connectors.KeyRange{To: []string{"2"}}); err != nil {
				t.Fatal(err)
			}
		}
		for id := 40; id < 50; id++ {
			insert(id)
		}
		var kinds []string
		var got []string
		for {
			batch, err := src.Read(t.Context())
			if errors.Is(err, connectors.ErrCaughtUp) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range batch.Rows {
				got = append(got, row.Key[0])
			}
			if n := len(batch.Rows); n > 0 {
				kind := "range"
				if len(batch.Rows[n-1].Key[0]) == 2 && batch.Rows[n-1].Key[0] >= "40" {
					kind = "new"
				}
				kinds = append(kinds, kind)
			}
			position = batch.Position
			if err := src.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := src.Open(t.Context(), position); err != nil {
				t.Fatal(err)
			}
			src.turn = len(kinds) % 2 * 2 // as without the restart
		}
		for _, want := range []string{"9", "20", "0", "2", "40", "49"} {
			if n := len(slices.DeleteFunc(slices.Clone(got), func(k string) bool { return k != want })); n != 1 {
				t.Errorf("row %s came %d times in %q", want, n, got)
			}
		}
		if len(got) != 12+3+10 || !slices.Equal(kinds[:4], []string{"new", "range", "new", "range"}) {
			t.Errorf("%d rows: %q; batches of %q", len(got), got, kinds)
		}
		if strings.Contains(string(position), "rereads") {
			t.Errorf("done, but the position is %s", position)
		}
		if err := src.Reread(t.Context(), "third", connectors.KeyRange{From: []string{"1", "2"}}); !errors.Is(err, connectors.ErrRefused) {
			t.Errorf("a range of two columns: %v", err)
		}
	})
}

// TestScan reads a range without Open and leaves a source that is open alone.
func TestScan(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		for id := range 30 {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id)
		}
		src := made(t, db.definition())
		var keys []string
		scan := func(r connectors.KeyRange) error {
			return src.Scan(t.Context(), r, func(rows []connectors.Row) error {
				for _, row := range rows {
					keys = append(keys, row.Key[0])
				}
				return nil
			})
		}
		if err := scan(connectors.KeyRange{From: []string{"8"}, To: []string{"11"}}); err != nil {
			t.Fatal(err)
		}
		expectKeys(t, "range", keys, "8", "9", "10", "11")
		if keys = nil; scan(connectors.KeyRange{}) != nil || len(keys) != 30 {
			t.Errorf("all: %q", keys)
		}
		ended := errors.New("enough")
		if err := src.Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return ended }); !errors.Is(err, ended) {
			t.Errorf("yield's error became %v", err)
		}
	})
}

// TestOrderIsThatOfTheColumns reads rows that share a cursor across batches:
// ordered as text, 10 comes before 9, and rows would be skipped.
func TestOrderIsThatOfTheColumns(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "BIGINT")
		const total = 120
		var want []string
		for id := range total {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id)
			want = append(want, fmt.Sprint(id))
		}
		got, _ := rest(t, opened(t, db.definition("id", "name", "updated_at"), nil))
		expectKeys(t, "order", got, want...)
	})
}

// TestCaseInsensitiveKey reads keys that a case-insensitive collation orders otherwise than their bytes.
func TestCaseInsensitiveKey(t *testing.T) {
	db := newDepartment(t, "mariadb")
	db.people(t, "VARCHAR(20) CHARACTER SET gbk COLLATE gbk_chinese_ci")
	var want []string
	for i, id := range []string{"a1", "A2", "a3", "B1", "b2", "Z", "张", "李 ", "啊"} {
		db.run(t, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00', NULL)`, id)
		_ = i
		want = append(want, id)
	}
	def := db.definition()
	def.Batch = 1
	got, _ := rest(t, opened(t, def, nil))
	slices.Sort(got)
	slices.Sort(want)
	expectKeys(t, "keys", got, want...)
}

// TestRowsWithoutCursor checks that unreachable rows are reported after the others were read.
func TestRowsWithoutCursor(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL), (2, 'y', NULL, NULL)`)
		src := opened(t, db.definition(), nil)
		batch, err := src.Read(t.Context())
		if err != nil || len(batch.Rows) != 1 {
			t.Fatalf("%d rows, %v", len(batch.Rows), err)
		}
		_, err = src.Read(t.Context())
		expectFault(t, err, connectors.FaultKeyless, "updated_at")
		db.run(t, `UPDATE people SET updated_at = '2025-11-03 08:00:01' WHERE id = 2`)
		got, _ := rest(t, opened(t, db.definition(), batch.Position))
		expectKeys(t, "after it was filled", got, "2")
		// With a delay nothing may be read at first; that is not the end of what can be read.
		db.run(t, `INSERT INTO people VALUES (3, 'y', NULL, NULL)`)
		def, clock := db.definition(), time.Now()
		def.SQL.Delay = time.Second
		src = made(t, def)
		src.now = func() time.Time { clock = clock.Add(2 * time.Second); return clock }
		if err := src.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		got, _ = rest(t, src)
		batch, err = src.Read(t.Context())
		if len(got) != 0 || err != nil || len(batch.Rows) != 2 {
			t.Errorf("with a delay: %q, then %d rows, %v", got, len(batch.Rows), err)
		}
		_, err = src.Read(t.Context())
		expectFault(t, err, connectors.FaultKeyless)
		// Mended, and later a row loses its cursor while the source runs.
		db.run(t, `UPDATE people SET updated_at = '2025-11-03 08:00:02' WHERE id = 3`)
		clock = clock.Add(lookEvery)
		for range 3 {
			rest(t, src)
		}
		db.run(t, `UPDATE people SET updated_at = NULL WHERE id = 1`)
		rest(t, src)
		clock = clock.Add(lookEvery)
		for err = nil; err == nil; {
			_, err = src.Read(t.Context())
		}
		expectFault(t, err, connectors.FaultKeyless)
		// With a delay, and no row that has a cursor.
		db.run(t, `UPDATE people SET updated_at = NULL`)
		if err := src.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		_, err = src.Read(t.Context())
		expectFault(t, err, connectors.FaultKeyless)
	})
}

// TestColumns sees a column that is added while the source is open, in the batch that is read after it.
func TestColumns(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL)`)
		src := opened(t, db.definition(), nil)
		before, err := src.Read(t.Context())
		if err != nil || len(before.Columns) != 4 || before.Columns[1].Name != "name" || !before.Columns[1].Nullable {
			t.Fatalf("%+v, %v", before.Columns, err)
		}
		db.run(t, `ALTER TABLE people ADD COLUMN phone VARCHAR(20)`)
		db.run(t, `INSERT INTO people VALUES (2, 'x', '2025-11-03 08:00:01', NULL, '110')`)
		after, err := src.Read(t.Context())
		if err != nil || len(after.Rows) != 1 || len(after.Columns) != 5 || after.Columns[4].Name != "phone" || !slices.Equal(after.Columns[:4], before.Columns) {
			t.Errorf("%d rows, %+v, %v", len(after.Rows), after.Columns, err)
		}
		db.run(t, `INSERT INTO people VALUES (3, 'x', '2025-11-03 08:00:02', NULL, '110')`)
		got, _ := rest(t, src)
		expectKeys(t, "behind the change", got, "3")
	})
}

// TestRangeOnTheIndex checks that a batch is a range of the index, neither a scan nor a sort of the table.
func TestRangeOnTheIndex(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `CREATE INDEX people_at ON people (updated_at, id)`)
		numbers := `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, 'x', '2025-11-03 08:00:00', NULL FROM n`
		if db.driver == "postgres" {
			numbers = strings.Replace(numbers, "'2025-11-03 08:00:00'", "timestamp '2025-11-03 08:00:00' + i * interval '1 s'", 1)
		}
		db.run(t, `INSERT INTO people `+numbers)
		db.run(t, map[string]string{"mariadb": "ANALYZE TABLE people"}[db.driver]+map[string]string{"sqlite": "ANALYZE", "postgres": "ANALYZE people"}[db.driver])
		src := opened(t, db.definition(), nil)
		query, err := src.table.query(span{order: src.order, after: []string{"2025-11-03 08:00:00", "890"}}, 5)
		if err != nil {
			t.Fatal(err)
		}
		explain := map[string]string{"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN ", "mariadb": "EXPLAIN FORMAT=JSON "}[db.driver]
		var plan strings.Builder
		if _, err := src.table.engine.read(t.Context(), statement{text: explain + query.text}, func(cells [][]byte) error {
			for _, cell := range cells {
				plan.Write(append(cell, '\n'))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"sqlite": "USING INDEX people_at (", "postgres": "(ROW(updated_at, id) >", "mariadb": `"access_type": "range"`}[db.driver]
		if text := plan.String(); !strings.Contains(text, want) || strings.Contains(strings.ToLower(text), "sort") || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s\nis done so:\n%s", query.text, text)
		}
	})
}

// TestReadOnly checks that the connection cannot change the department's data.
func TestReadOnly(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		src := opened(t, db.definition(), nil)
		ignore := func([][]byte) error { return nil }
		if _, err := src.table.engine.read(t.Context(), statement{text: `INSERT INTO people VALUES (1, 'b', NULL, NULL)`}, ignore); err == nil {
			t.Error("a row was written")
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{
		`{"cursor":"2025-11-03 08:00:00.000001","key":"a"}`, `{"cursor":1,"key":-2}`, `{}`, `{"cursor":1e3,"key":null}`, `x`, `{"at":["1","2"]} {}`,
		`{"at":["1","2"],"pass":{"from":["0"],"until":["1","2"]},"last_pass":"2025-11-03T08:00:00Z","marks":[{"time":"2025-11-03T08:00:00Z","head":["1"]}]}`,
		`{"rereads":[{"id":"a","range":{"from":["1"]},"after":["2"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePosition(text, 2, 1)
		if err != nil {
			if !errors.Is(err, connectors.ErrPosition) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePosition(encoded, 2, 1); err != nil {
			t.Fatalf("%q became %q: %v", text, encoded, err)
		}
	})
}

// TestAmbiguousOrder has rows that the order cannot tell apart, within a batch and at its edge: none is missed silently.
func TestAmbiguousOrder(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		for id := range 15 {
			db.run(t, `INSERT INTO people VALUES ($1, 'x', $2, NULL)`, id, fmt.Sprintf("2025-11-03 08:00:%02d", min(id, 13)))
		}
		for _, batch := range []int{1, 2, 7, 14, 100} {
			for _, mode := range []connectors.Mode{connectors.Cursor, connectors.Bulk} {
				def := db.definition()
				def.Batch, def.SQL.Key, def.SQL.Mode = batch, nil, mode
				if mode == connectors.Bulk {
					def.SQL.Cursor, def.SQL.Key = "", []string{"updated_at"}
				}
				src := opened(t, def, nil)
				var err error
				for err == nil {
					_, err = src.Read(t.Context())
				}
				expectFault(t, err, connectors.FaultKeyless, "people", "updated_at", "not unique")
				err = src.Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return nil })
				expectFault(t, err, connectors.FaultKeyless, "people", "updated_at")
			}
		}
	})
}

// TestCursorAheadOfTime has rows whose cursor stands for "never": they hide nothing and are reported.
func TestCursorAheadOfTime(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		for _, kind := range map[string][]string{"postgres": {"TIMESTAMP", "TIMESTAMPTZ", "DATE"}, "mariadb": {"DATETIME", "DATE", "TIMESTAMP NULL"}}[db.driver] {
			never := "9999-12-31"
			switch {
			case db.driver == "postgres":
				never = "infinity"
			case strings.HasPrefix(kind, "TIMESTAMP"):
				never = "2037-12-31"
			}
			db.run(t, `DROP TABLE IF EXISTS people`)
			db.run(t, `CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(40), updated_at `+kind+`)`)
			db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03'), (2, 'never', '`+never+`'), (3, 'today', CURRENT_TIMESTAMP)`)
			def := db.definition()
			def.SQL.Overlap, def.SQL.Delay = time.Minute, time.Second
			src, clock := made(t, def), time.Now()
			src.now = func() time.Time { clock = clock.Add(time.Second); return clock }
			if err := src.Open(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			read := func() (keys []string) {
				t.Helper()
				for {
					batch, err := src.Read(t.Context())
					if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
						expectFault(t, err, connectors.FaultColumn, "updated_at", "people", "ahead")
						return keys
					}
					for _, row := range batch.Rows {
						keys = append(keys, row.Key[0])
					}
				}
			}
			expectKeys(t, kind+": before", read(), "1", "3")
			db.run(t, `INSERT INTO people VALUES (4, 'later', CURRENT_TIMESTAMP)`)
			clock = clock.Add(time.Minute)
			expectKeys(t, kind+": behind it", read(), "4")
		}
	})
}
