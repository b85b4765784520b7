package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func clock(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, chinaStandard())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func hours(h, m int) TimeOfDay {
	return TimeOfDay(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
}

func TestWithin(t *testing.T) {
	night, noon := TimeSpan{hours(22, 0), hours(6, 0)}, TimeSpan{hours(12, 0), hours(13, 30)}
	for _, test := range []struct {
		spans  []TimeSpan
		now    string
		inside bool
		until  string
	}{
		{nil, "2026-03-01 10:00:00", true, ""},
		{[]TimeSpan{night}, "2026-03-01 21:59:59", false, "2026-03-01 22:00:00"},
		{[]TimeSpan{night}, "2026-03-01 22:00:00", true, "2026-03-02 06:00:00"},
		{[]TimeSpan{night}, "2026-03-02 05:59:59", true, "2026-03-02 06:00:00"},
		{[]TimeSpan{night}, "2026-03-02 06:00:00", false, "2026-03-02 22:00:00"},
		{[]TimeSpan{noon, night}, "2026-03-02 06:00:00", false, "2026-03-02 12:00:00"},
		{[]TimeSpan{noon, night}, "2026-03-02 13:00:00", true, "2026-03-02 13:30:00"},
	} {
		inside, until := within(test.spans, clock(t, test.now))
		if inside != test.inside || test.until == "" != until.IsZero() || test.until != "" && !until.Equal(clock(t, test.until)) {
			t.Errorf("%v at %s: %v until %s; want %v until %s", test.spans, test.now, inside, until, test.inside, test.until)
		}
	}
}

func TestDue(t *testing.T) {
	at := []TimeOfDay{hours(2, 30)}
	for _, test := range []struct {
		last, now string
		want      bool
	}{
		{"2026-03-01 02:29:59", "2026-03-01 02:30:00", true},
		{"2026-03-01 02:30:00", "2026-03-01 02:30:01", false},
		{"2026-03-01 23:59:00", "2026-03-02 02:31:00", true},
		{"2026-03-01 03:00:00", "2026-03-01 23:59:00", false},
	} {
		if got := due(at, chinaStandard(), clock(t, test.last), clock(t, test.now)); got != test.want {
			t.Errorf("between %s and %s: %v", test.last, test.now, got)
		}
	}
}

// TestGate opens and closes by the clock and by what is desired.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		span := TimeSpan{From: hours(1, 0), Until: hours(2, 0)} // the bubble begins at midnight UTC
		g := newGate(Definition{Limits: Limits{Hours: []TimeSpan{span}}, Map: Mapping{Timezone: time.UTC}}, Run, time.Now)
		var states []State
		if !g.await(t.Context(), func(s State) { states = append(states, s) }) || time.Since(began) != time.Hour {
			t.Errorf("open after %s", time.Since(began))
		}
		g.awaitClosed(t.Context())
		if time.Since(began) != 2*time.Hour {
			t.Errorf("closed after %s", time.Since(began))
		}
		go func() {
			time.Sleep(30 * time.Minute)
			g.set(Pause)
			time.Sleep(48 * time.Hour)
			g.set(Run)
		}()
		if !g.await(t.Context(), func(s State) { states = append(states, s) }) || time.Since(began) != 73*time.Hour {
			t.Errorf("open again after %s", time.Since(began))
		}
		if want := []State{Waiting, Waiting, Paused, Waiting}; !slices.Equal(states, want) {
			t.Errorf("states %v; want %v", states, want)
		}
	})
}

// timedSource is a source in a bubble of time: each Read takes as long and has as many rows as the next answer says.
type timedSource struct {
	answers func(n int) (took time.Duration, rows int)
	reads   []time.Time
}

func (s *timedSource) Open(context.Context, json.RawMessage) error { return nil }
func (s *timedSource) Close(context.Context) error                 { return nil }

func (s *timedSource) Read(context.Context) (Batch, error) {
	took, rows := s.answers(len(s.reads))
	s.reads = append(s.reads, time.Now())
	time.Sleep(took)
	return Batch{Rows: make([]Row, rows)}, nil
}

// TestLimitsBound reads for a while and counts what a source was asked to do.
func TestLimitsBound(t *testing.T) {
	read := func(t *testing.T, limits Limits, span time.Duration, answers func(n int) (time.Duration, int)) (src *timedSource, rows int, busy time.Duration) {
		t.Helper()
		src = &timedSource{answers: func(n int) (time.Duration, int) {
			took, r := answers(n)
			rows += r
			busy += took
			return took, r
		}}
		l := limit(src, Definition{Kind: KindSQL, Batch: 100, Limits: limits}, newRows(limits))
		for began := time.Now(); time.Since(began) < span; {
			if _, err := l.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return src, rows, busy
	}
	t.Run("rows a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, rows, _ := read(t, Limits{RowsPerSecond: 250, BusyShare: 100, QueryTime: time.Minute}, time.Minute,
				func(int) (time.Duration, int) { return time.Millisecond, 100 })
			if rows > 250*60+2*100 || rows < 240*60 {
				t.Errorf("%d rows in a minute at 250 a second", rows)
			}
		})
	})
	t.Run("share of time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, _, busy := read(t, Limits{BusyShare: 20, QueryTime: time.Minute}, time.Minute,
				func(int) (time.Duration, int) { return 50 * time.Millisecond, 100 })
			if busy > 13*time.Second || busy < 11*time.Second {
				t.Errorf("at work for %s of a minute with a share of 20", busy)
			}
		})
	})
	t.Run("a slow answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			src, _, busy := read(t, Limits{BusyShare: 100, QueryTime: time.Minute}, 5*time.Minute, func(n int) (time.Duration, int) {
				if n >= 40 && n < 46 {
					return 5 * time.Second, 100 // it slows down from 10 ms
				}
				return 10 * time.Millisecond, 100
			})
			// Left alone for 1, 2, 4 … times as long as the slow answers took.
			for n, want := range []int{1, 2, 4, 8, 16} {
				if pause := src.reads[41+n].Sub(src.reads[40+n]) - 5*time.Second; pause != time.Duration(want)*5*time.Second {
					t.Errorf("left alone for %s after slow answer %d; want %s", pause, n+1, time.Duration(want)*5*time.Second)
				}
			}
			if busy > time.Minute {
				t.Errorf("at work for %s", busy)
			}
		})
	})
}

func TestCompareColumns(t *testing.T) {
	agreed := []Column{{"id", "bigint", false}, {"name", "text", true}}
	for _, test := range []struct {
		now    []Column
		added  int
		change string
	}{
		{agreed, 0, ""},
		{[]Column{{"name", "text", true}, {"id", "bigint", false}}, 0, ""}, // another order is no change
		{append(slices.Clone(agreed), Column{"river", "text", true}), 1, ""},
		{append(slices.Clone(agreed), Column{"river", "text", false}), 0, `column "river" is new and may not be null`},
		{agreed[:1], 0, `column "name" is gone`},
		{[]Column{{"id", "integer", false}, {"name", "text", false}}, 0, `column "id" is of type integer now, it was bigint; column "name" may not be null now`},
		{[]Column{{"id", "bigint", false}, {"full_name", "text", true}}, 1, `column "name" is gone`},
	} {
		added, change := compareColumns(agreed, test.now)
		if len(added) != test.added || change != test.change {
			t.Errorf("%v: added %v, %q; want %d, %q", test.now, added, change, test.added, test.change)
		}
	}
}

func TestTakeColumns(t *testing.T) {
	m := Mapping{Fields: []Field{{From: "id", To: "id", Type: Integer}, {From: "n", To: "name", Type: String}}}
	got := m.takeColumns([]Column{
		{"id", "bigint", true},
		{"name", "text", true}, // the payload has this name already
		{"area", "numeric(18,4)", true},
		{"open", "boolean", true},
		{"span", "interval", true},
		{"list", "int4[]", true},
	})
	want := []Field{
		m.Fields[0], m.Fields[1],
		{From: "area", To: "area", Type: Decimal},
		{From: "open", To: "open", Type: Boolean},
		{From: "span", To: "span", Type: String},
		{From: "list", To: "list", Type: String},
	}
	if fmt.Sprint(got.Fields) != fmt.Sprint(want) || len(m.Fields) != 2 {
		t.Errorf("%v; want %v", got.Fields, want)
	}
}

func TestFaults(t *testing.T) {
	cause := errors.New("28P01")
	refused, away := Refused(FaultCredentials, cause, "user %q is refused", "x"), Away(FaultUnreachable, nil, "no answer")
	for _, test := range []struct {
		err  error
		is   error
		code FaultCode
	}{
		{refused, ErrRefused, FaultCredentials},
		{refused, cause, FaultCredentials},
		{fmt.Errorf("reading: %w", away), ErrNotConnected, FaultUnreachable},
		{fmt.Errorf("%w: x", ErrPosition), ErrPosition, FaultPosition},
		{cause, cause, FaultUnclassified},
	} {
		if !errors.Is(test.err, test.is) || CodeOf(test.err) != test.code {
			t.Errorf("%v: %s", test.err, CodeOf(test.err))
		}
	}
	if all := each(errors.Join(refused, errors.Join(away, cause))); len(all) != 3 || !errors.Is(all[0], refused) || !errors.Is(all[1], away) {
		t.Errorf("%v", all)
	}
}
