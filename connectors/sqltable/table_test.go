package sqltable

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// TestChunkCompositeKey reads by a key of two columns, of which one is a number:
// ordered as text, 10 would come before 9, and rows be skipped.
func TestChunkCompositeKey(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.run(t, `CREATE TABLE people (district VARCHAR(20) NOT NULL, no BIGINT NOT NULL, name VARCHAR(20), PRIMARY KEY (district, no))`)
		var want []string
		for _, district := range []string{"it's", "東", "西\\"} {
			for no := range 30 {
				db.run(t, `INSERT INTO people VALUES ($1, $2, $3)`, district, no, "x")
				want = append(want, fmt.Sprintf("%s/%d", district, no))
			}
		}
		table := db.table(t, TableConfig{Table: "people", Key: []string{"district", "no"}, Columns: []string{"name", "no"}})
		keys := func(r connectors.KeyRange) []string {
			var keys []string
			for _, row := range all(t, table, r, 7) {
				if row.Rejection != nil || len(row.Values) != 2 || row.Origin != "people:"+strings.Join(row.Key, "/") {
					t.Fatalf("row %+v", row)
				}
				keys = append(keys, strings.Join(row.Key, "/"))
			}
			return keys
		}
		if got := keys(connectors.KeyRange{}); !slices.Equal(got, want) {
			t.Errorf("all: %q", got)
		}
		if got := keys(connectors.KeyRange{From: []string{"it's", "9"}, To: []string{"東", "10"}}); !slices.Equal(got, want[9:41]) {
			t.Errorf("range: %q", got)
		}
		if got := keys(connectors.KeyRange{To: []string{"it's", "3"}}); !slices.Equal(got, want[:4]) {
			t.Errorf("open range: %q", got)
		}
		rows, err := table.ByKey(t.Context(), [][]string{{"西\\", "29"}, {"東", "10"}, {"東", "1000"}})
		if err != nil || len(rows) != 2 || rows[0].Key[0] == rows[1].Key[0] {
			t.Errorf("by key: %+v, %v", rows, err)
		}
		if columns := table.Columns(); len(columns) != 3 || columns[1].Name != "no" || columns[2].Nullable == columns[1].Nullable {
			t.Errorf("columns %+v", columns)
		}
	})
}

// TestIdleConnection makes a new connection when the last one was not used for long.
func TestIdleConnection(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL)`)
		table := db.table(t, TableConfig{Table: "people", Key: []string{"id"}, Columns: []string{"id"}})
		for _, idle := range []bool{false, true} {
			before := table.engine
			if idle {
				table.used = time.Now().Add(-2 * idleTime)
			}
			if rows := all(t, table, connectors.KeyRange{}, 10); len(rows) != 1 || (table.engine != before) != idle {
				t.Errorf("idle %v: %d rows, another connection: %v", idle, len(rows), table.engine != before)
			}
		}
	})
}
