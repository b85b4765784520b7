package connectors

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// TestSave checks that counts add up, survive, and cannot be saved from an outdated state.
func TestSave(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		for range 2 { // the second time there is nothing to do
			if err := migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
		empty, err := load(t.Context(), db, "a/b")
		if err != nil || empty.revision != 0 || empty.position != nil || !empty.counts.NewestEvent.IsZero() {
			t.Fatalf("%+v, %v", empty, err)
		}
		empty.identity = "table x"
		at := time.Date(1969, 7, 20, 20, 17, 40, 123000, time.UTC)
		delta := Counts{
			Read: 5, Accepted: 3, Rejected: 2, LastRead: at, NewestEvent: at,
			RejectedByRule: map[string]int64{"KEY": 1, "SCHEMA": 1}, Findings: map[string]int64{"LATE": 3},
		}
		first, err := save(t.Context(), db, "a/b", empty, json.RawMessage(`{"n":1}`), delta, false)
		if err != nil {
			t.Fatal(err)
		}
		delta.NewestEvent = at.Add(-time.Hour)
		second, err := save(t.Context(), db, "a/b", first, json.RawMessage(`{"n":2}`), delta, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, stale := range []saved{empty, first} {
			if _, err := save(t.Context(), db, "a/b", stale, json.RawMessage(`{"n":9}`), delta, false); !errors.Is(err, ErrConflict) {
				t.Errorf("saving on revision %d: %v; want ErrConflict", stale.revision, err)
			}
		}
		got, err := load(t.Context(), open(), "a/b")
		if err != nil || !reflect.DeepEqual(got, second) {
			t.Errorf("%+v, %v\nwant %+v", got, err, second)
		}
		want := Counts{
			Read: 10, Accepted: 6, Rejected: 4, LastRead: at, NewestEvent: at,
			RejectedByRule: map[string]int64{"KEY": 2, "SCHEMA": 2}, Findings: map[string]int64{"LATE": 6},
		}
		if !reflect.DeepEqual(got.counts, want) || string(got.position) != `{"n":2}` || got.identity != "table x" {
			t.Errorf("%+v", got)
		}
	})
}
