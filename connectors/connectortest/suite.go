package connectortest

import (
	"bytes"
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
)

// Row is a row on the department's side: its columns are id, name and updated_at.
type Row struct {
	ID, Name, UpdatedAt string
}

// System is one table, folder or endpoint of a department, empty at first.
type System struct {
	// Definition of the source; its Map is [Mapping] and its Batch 7.
	Definition connectors.Definition
	Construct  connectors.Constructor
	// Append adds rows behind those that are there.
	Append func(t *testing.T, rows []Row)
	// AppendBad adds one row that cannot be read; nil if there is no such thing.
	AppendBad func(t *testing.T)
	// Log says that the source follows a log: what is added before everything was
	// read once may come before the rest.
	Log bool
	// WidestName is how many bytes a name may have at most; 0 if that is not bounded by the kind of source.
	WidestName int
	// Cut makes the system unreachable, also on connections that are open, until mend is called.
	Cut func(t *testing.T) (mend func())
}

// Harness makes a new system for each test.
type Harness func(t *testing.T) System

// Mapping is the mapping of the suite's rows.
func Mapping() connectors.Mapping {
	return connectors.Mapping{
		Key: []string{"id"}, EventTime: "updated_at", Timezone: time.UTC,
		Fields: []connectors.Field{{From: "id", To: "id", Type: connectors.String}, {From: "name", To: "name", Type: connectors.String}},
	}
}

// Definition is the common part of the suite's definitions.
func Definition(kind string) connectors.Definition {
	return connectors.Definition{
		Name: "test/" + kind, Resource: "test.rows", Kind: kind, Interval: 10 * time.Millisecond, Batch: 7, Map: Mapping(),
	}
}

// Rows makes n rows, the first with number first. Names have Chinese
// characters, quotes and delimiters; three rows after each other share an
// instant and instants differ by a microsecond.
func Rows(first, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		number := first + i
		at := time.Date(2025, 11, 3, 8, 0, 0, 0, time.UTC).Add(time.Duration(number/3) * time.Microsecond)
		rows[i] = Row{
			ID:        fmt.Sprintf("id-%06d", number),
			Name:      fmt.Sprintf("张%d, \"誠\"|\\", number),
			UpdatedAt: at.Format("2006-01-02 15:04:05.999999"),
		}
	}
	return rows
}

// Run runs the suite.
func Run(t *testing.T, harness Harness) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s System)
	}{
		{"reads everything in order and then what is added", testOrder},
		{"resumes from every position", testResume},
		{"repeats what was not acknowledged", testRepeat},
		{"loses nothing when the connection is cut", testCut},
		{"gives bad rows as rejections", testBadRow},
		{"ends with its context", testCancel},
		{"bounds a batch", testBounds},
		{"keeps to open and close", testLifeCycle},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, harness(t)) })
	}
}

func testOrder(t *testing.T, s System) {
	all := Rows(0, 40)
	s.Append(t, all[:25])
	src := open(t, s, nil)
	got := rowsOf(read(t, src, 25))
	s.Append(t, all[25:])
	got = append(got, rowsOf(read(t, src, 15))...)
	expect(t, got, all)
}

func testResume(t *testing.T, s System) {
	all := Rows(0, 30)
	s.Append(t, all)
	whole := readFrom(t, s, nil, 30)
	if len(whole) < 30/s.Definition.Batch {
		t.Fatalf("30 rows came in %d batches of at most %d", len(whole), s.Definition.Batch)
	}
	done := 0
	for _, batch := range whole {
		done += len(batch.Rows)
		expectSame(t, rowsOf(readFrom(t, s, batch.Position, 30-done)), rowsOf(whole)[done:])
	}
	s.Append(t, Rows(30, 5))
	expect(t, rowsOf(readFrom(t, s, whole[len(whole)-1].Position, 5)), Rows(30, 5))
}

func testRepeat(t *testing.T, s System) {
	s.Append(t, Rows(0, 20))
	src := open(t, s, nil)
	first, second := readOne(t, src), readOne(t, src)
	for _, from := range []struct {
		position json.RawMessage
		want     connectors.Batch
	}{{nil, first}, {first.Position, second}} {
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := src.Open(t.Context(), from.position); err != nil {
			t.Fatal(err)
		}
		expectSame(t, readOne(t, src).Rows, from.want.Rows)
	}
}

func testCut(t *testing.T, s System) {
	all := Rows(0, 60)
	s.Append(t, all[:30])
	src := open(t, s, nil)
	first := readOne(t, src)
	got, position := first.Rows, first.Position

	mend := s.Cut(t)
	for { // what is read before the cut is noticed is acknowledged too
		batch, err := src.Read(t.Context())
		if err == nil {
			got, position = append(got, batch.Rows...), batch.Position
			continue
		}
		if errors.Is(err, connectors.ErrCaughtUp) {
			t.Fatalf("caught up after %d of 30 rows although the connection is cut", len(got))
		}
		if !errors.Is(err, connectors.ErrNotConnected) && !errors.Is(err, connectors.ErrRefused) {
			t.Fatalf("a cut connection gave %v", err)
		}
		break
	}
	if err := src.Close(t.Context()); err != nil {
		t.Logf("close on a cut connection: %v", err)
	}
	mend()
	s.Append(t, all[30:])
	got = append(got, rowsOf(read(t, open(t, s, position), 60-len(got)))...)
	if s.Log {
		slices.SortFunc(got, func(a, b connectors.Row) int { return strings.Compare(a.Values[0].Text, b.Values[0].Text) })
	}
	expect(t, got, all)
}

func testBadRow(t *testing.T, s System) {
	if s.AppendBad == nil {
		return // every row of this kind of source can be read
	}
	all := Rows(0, 20)
	s.Append(t, all[:10])
	s.AppendBad(t)
	s.Append(t, all[10:])
	rows := rowsOf(read(t, open(t, s, nil), 21))
	bad := rows[10]
	if bad.Rejection == nil || bad.Rejection.Rule == "" || bad.Rejection.Detail == "" || len(bad.Raw) == 0 || bad.Origin == "" || bad.Values != nil {
		t.Fatalf("bad row = %+v; want a rejection with rule, detail, raw bytes and origin", bad)
	}
	expect(t, append(append([]connectors.Row{}, rows[:10]...), rows[11:]...), all)
}

func testCancel(t *testing.T, s System) {
	s.Append(t, Rows(0, 20))
	src := open(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 { // a source may need several polls before it does anything
		if _, err := src.Read(ctx); !errors.Is(err, connectors.ErrCaughtUp) {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Read with an ended context: %v", err)
			}
			return
		}
	}
	t.Fatal("Read did not notice that its context ended")
}

func testBounds(t *testing.T, s System) {
	wide := Rows(0, 24)
	width := 700 << 10
	if s.WidestName > 0 {
		width = min(width, s.WidestName)
	}
	for i := range wide {
		wide[i].Name = strings.Repeat("x", width)
	}
	s.Append(t, wide)
	s.Definition.Batch = 20_000
	batches := read(t, open(t, s, nil), len(wide))
	for _, batch := range batches {
		size := 0
		for _, row := range batch.Rows {
			size += len(row.Raw)
		}
		if size > connectors.MaxBatchBytes+connectors.MaxRowBytes {
			t.Errorf("a batch has %d bytes", size)
		}
	}
	expect(t, rowsOf(batches), wide)
}

func testLifeCycle(t *testing.T, s System) {
	s.Append(t, Rows(0, 3))
	src, err := s.Construct(s.Definition, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrNotConnected) {
		t.Errorf("Read before Open: %v", err)
	}
	for _, foreign := range []string{`{"lsn":"0/16B3748"}`, `17`, `"x"`, `[]`} {
		if err := src.Open(t.Context(), json.RawMessage(foreign)); !errors.Is(err, connectors.ErrPosition) {
			t.Errorf("Open at %s: %v", foreign, err)
		}
		if err := src.Close(t.Context()); err != nil {
			t.Errorf("Close after a failed Open: %v", err)
		}
	}
	for range 2 {
		if err := src.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		expect(t, rowsOf(read(t, src, 3)), Rows(0, 3))
		for range 2 {
			if err := src.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
	if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrNotConnected) {
		t.Errorf("Read after Close: %v", err)
	}
}

// open makes and opens a source that is closed with the test.
func open(t *testing.T, s System, after json.RawMessage) connectors.Source {
	t.Helper()
	src, err := s.Construct(s.Definition, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatalf("Open: %v", err)
	}
	return src
}

// polls is how often in a row a source may be caught up before the suite
// believes it; a folder needs two polls to see that a file is complete.
const polls = 3

// readOne returns the next batch that has rows.
func readOne(t *testing.T, src connectors.Source) connectors.Batch {
	t.Helper()
	for range polls {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) || err == nil && len(batch.Rows) == 0 {
			continue
		}
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		return batch
	}
	t.Fatal("Read gave no rows")
	return connectors.Batch{}
}

// read returns batches until the source is caught up; together they must have want rows.
func read(t *testing.T, src connectors.Source, want int) []connectors.Batch {
	t.Helper()
	var batches []connectors.Batch
	rows := 0
	for quiet := 0; quiet < polls; {
		batch, err := src.Read(t.Context())
		switch {
		case errors.Is(err, connectors.ErrCaughtUp):
			quiet++
			continue
		case err != nil:
			t.Fatalf("Read after %d rows: %v", rows, err)
		case !json.Valid(batch.Position):
			t.Fatalf("position %q is not JSON", batch.Position)
		}
		quiet = 0
		if rows += len(batch.Rows); rows > want {
			t.Fatalf("%d rows; want %d", rows, want)
		}
		batches = append(batches, batch)
	}
	if rows != want {
		t.Fatalf("%d rows; want %d", rows, want)
	}
	return batches
}

// readFrom opens a source, reads until it is caught up, and closes it: some
// sources can be read by one at a time only.
func readFrom(t *testing.T, s System, after json.RawMessage, want int) []connectors.Batch {
	t.Helper()
	src := open(t, s, after)
	batches := read(t, src, want)
	if err := src.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	return batches
}

func rowsOf(batches []connectors.Batch) []connectors.Row {
	var rows []connectors.Row
	for _, b := range batches {
		rows = append(rows, b.Rows...)
	}
	return rows
}

// expect compares what a source gave with what the department has.
func expect(t *testing.T, got []connectors.Row, want []Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows; want %d", len(got), len(want))
	}
	origins := map[string]bool{}
	for i, row := range got {
		if row.Rejection != nil {
			t.Fatalf("row %d is rejected: %+v", i, *row.Rejection)
		}
		if len(row.Values) != 3 || len(row.Raw) == 0 || origins[row.Origin] {
			t.Fatalf("row %d: %d values, %d raw bytes, origin %q", i, len(row.Values), len(row.Raw), row.Origin)
		}
		origins[row.Origin] = true
		if have := (Row{row.Values[0].Text, row.Values[1].Text, row.Values[2].Text}); have != want[i] {
			t.Fatalf("row %d = %.200q; want %.200q", i, have, want[i])
		}
	}
}

// expectSame compares two readings of the same rows.
func expectSame(t *testing.T, got, want []connectors.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows; want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Raw, want[i].Raw) || got[i].Origin != want[i].Origin {
			t.Fatalf("row %d = %q (%s); want %q (%s)", i, got[i].Raw, got[i].Origin, want[i].Raw, want[i].Origin)
		}
	}
}
