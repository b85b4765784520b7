package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// ledger is an interface with a since parameter: rows with a stamp, those behind the stamp asked for.
type ledger struct {
	rows  []entry
	asked []string // since values, "-" for none
}

type entry struct{ id, stamp string }

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	l.asked = append(l.asked, since)
	if !r.URL.Query().Has("since") {
		l.asked[len(l.asked)-1] = "-"
	}
	var rows []string
	for _, e := range l.rows {
		if compareValues(e.stamp, since) > 0 {
			rows = append(rows, fmt.Sprintf(`{"id":%q,"updated_at":%q}`, e.id, e.stamp))
		}
	}
	if size, err := strconv.Atoi(r.URL.Query().Get("size")); err == nil {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		from := min((page-1)*size, len(rows))
		rows = rows[from:min(from+size, len(rows))]
	}
	_, _ = w.Write([]byte(`{"data":[` + strings.Join(rows, ",") + `]}`))
}

func (l *ledger) add(id, stamp string) {
	l.rows = append(l.rows, entry{id, stamp})
	slices.SortStableFunc(l.rows, func(a, b entry) int { return strings.Compare(a.stamp, b.stamp) })
}

// sinceSource is a source on a ledger, with a clock that the test moves.
func sinceSource(t *testing.T, l *ledger, at json.RawMessage, now *time.Time) *source {
	t.Helper()
	src := opened(t, simple(t, connectors.PagingSince, l.ServeHTTP), at).(*source)
	src.now = func() time.Time { return *now }
	return src
}

func want(t *testing.T, src connectors.Source, ids ...string) (position json.RawMessage) {
	t.Helper()
	got, last, err := drain(t, src)
	if !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(got, ids) {
		t.Fatalf("%q, %v; want %q", got, err, ids)
	}
	return last.Position
}

// TestLateRows commits rows behind the greatest value: they are found within Overlap, from the value that was the
// greatest early enough, and nothing else is handed on again.
func TestLateRows(t *testing.T) {
	now := time.Date(2025, 11, 3, 9, 0, 0, 0, time.UTC)
	l := &ledger{}
	l.add("a", "2025-11-03 08:00:00")
	l.add("b", "2025-11-03 08:30:00")
	src := sinceSource(t, l, nil, &now)
	want(t, src, "a", "b")

	l.add("late1", "2025-11-03 08:29:00")
	now = now.Add(30 * time.Minute)
	l.add("c", "2025-11-03 09:20:00")
	want(t, src, "c")
	now = now.Add(31 * time.Minute) // overlap is an hour
	l.asked = nil
	position := want(t, src, "late1")
	if l.asked[0] != "-" {
		t.Errorf("the first search asks from %q; it has to be from the beginning", l.asked[0])
	}
	// The end of the search is saved, so a restart does not search again.
	src = sinceSource(t, l, position, &now)
	l.asked = nil
	want(t, src)
	if slices.Contains(l.asked, "-") {
		t.Errorf("after a restart: asked from %q", l.asked)
	}

	l.add("late2", "2025-11-03 09:10:00") // committed an hour late
	now = now.Add(61 * time.Minute)
	l.asked = nil
	want(t, src, "late2")
	if l.asked[0] != "2025-11-03 08:30:00" {
		t.Errorf("the second search asks from %q; want the greatest value of the first reading", l.asked[0])
	}
	now = now.Add(61 * time.Minute)
	l.asked = nil
	want(t, src)
	if l.asked[0] != "2025-11-03 09:20:00" {
		t.Errorf("the third search asks from %q", l.asked[0])
	}
	for range 20 {
		now = now.Add(61 * time.Minute)
		l.add("x"+strconv.Itoa(len(l.rows)), now.Format("2006-01-02 15:04:05"))
		ids, last, err := drain(t, src)
		if !errors.Is(err, connectors.ErrCaughtUp) || len(ids) != 1 || len(last.Position) > 2000 {
			t.Fatalf("%q, %v, position of %d bytes", ids, err, len(last.Position))
		}
	}
}

// TestSinceResume opens at every position of a reading in pages, with rows that share stamps: nothing is missed and nothing repeated.
func TestSinceResume(t *testing.T) {
	now := time.Date(2025, 11, 3, 9, 0, 0, 0, time.UTC)
	l := &ledger{}
	var all []string
	for i := range 40 {
		all = append(all, strconv.Itoa(i))
		l.add(all[i], fmt.Sprintf("2025-11-03 08:%02d:00", i/8))
	}
	def := simple(t, connectors.PagingSince, l.ServeHTTP)
	def.HTTP.PageParam, def.HTTP.SizeParam, def.HTTP.Size, def.Batch = "page", "size", 5, 3
	src := opened(t, def, nil)
	src.(*source).now = func() time.Time { return now }
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
			got = append(got, row.Values[0].Text)
		}
		want(t, opened(t, def, batch.Position), all[len(got):]...)
	}
	if !slices.Equal(got, all) {
		t.Errorf("%q", got)
	}
}

// TestFutureStamp checks that a stamp far ahead does not hide what comes before it.
func TestFutureStamp(t *testing.T) {
	now := time.Date(2025, 11, 3, 9, 0, 0, 0, time.UTC)
	for _, future := range []string{"2099-12-31 00:00:00", "2099/12/31", "20991231", "20991231000000"} {
		l := &ledger{}
		l.add("a", strings.Replace(future, "2099", "2024", 1))
		l.add("future", future)
		src := sinceSource(t, l, nil, &now)
		want(t, src, "a", "future")
		l.add("b", strings.Replace(future, "2099", "2025", 1))
		now = now.AddDate(0, 2, 0)
		want(t, src, "b")
		now = now.AddDate(0, -2, 0)
	}
}

// TestNumbers checks that numbers are compared as numbers, however many digits they have.
func TestNumbers(t *testing.T) {
	values := []string{"", "2025-11-03 08:00:00", "2025-11-03 08:00:00.000009", "2025-11-03 08:00:00.00001", "2025-11-03T08:00:00+08:00"}
	numbers := []string{"", "0", "9", "9.05", "9.5", "10", "1730592000000", "123456789012345678901234567890"}
	for _, sorted := range [][]string{values, numbers} {
		for i, a := range sorted {
			for j, b := range sorted {
				if got := compareValues(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
					t.Errorf("%q against %q: %d", a, b, got)
				}
			}
		}
	}
	now := time.Date(2025, 11, 3, 9, 0, 0, 0, time.UTC)
	l := &ledger{rows: []entry{{"a", "9"}, {"b", "10"}}}
	src := sinceSource(t, l, nil, &now)
	want(t, src, "a", "b")
	if last := l.asked[len(l.asked)-1]; last != "10" {
		t.Errorf("asked from %q", last)
	}
}

func TestSinceColumnMissing(t *testing.T) {
	def := simple(t, connectors.PagingSince, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"data":` + list("a") + `}`)) })
	_, _, err := drain(t, opened(t, def, nil))
	expectFault(t, err, connectors.FaultColumn, connectors.ErrRefused, `no row has the member "updated_at"`)
}

// TestMemoryOfRows checks that rows seen lately are remembered and that memory stays bounded.
func TestMemoryOfRows(t *testing.T) {
	var r recent
	for i := range 3 * maxRecent {
		if !r.add(fingerprint{byte(i), byte(i >> 8), byte(i >> 16)}) {
			t.Fatalf("%d was not there", i)
		}
		if i >= 1000 && r.add(fingerprint{byte(i - 1000), byte((i - 1000) >> 8), byte((i - 1000) >> 16)}) {
			t.Fatalf("%d is forgotten", i-1000)
		}
		if len(r.young) > maxRecent || len(r.old) > maxRecent {
			t.Fatal("too many")
		}
	}
}
