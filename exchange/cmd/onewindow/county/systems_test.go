package county

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// found is a row as it was read back from a system: its columns by their
// English names, or the rule by which it cannot be read.
type found struct {
	columns map[string]any // text, json.Number, bool; empty ones left out
	rule    string
}

// TestSystemsHoldWhatIsPlanted serves a small county, reads all rows back from
// the three systems without the code that wrote them, judges each by the
// schema of its resource, and compares with what the county says it planted.
func TestSystemsHoldWhatIsPlanted(t *testing.T) {
	for _, options := range []Options{{Scale: 100}, {Scale: 100, SQLite: true}} {
		t.Run(map[bool]string{false: "postgresql", true: "sqlite"}[options.SQLite], func(t *testing.T) {
			if !options.SQLite {
				needPostgres(t)
			}
			c := New(options)
			dir := t.TempDir()
			state, stop := serve(t, c, dir)
			defer stop()
			if want := map[bool]string{false: "postgresql ", true: "sqlite (as asked for)"}[options.SQLite]; !strings.HasPrefix(state.Systems.Market, want) {
				t.Errorf("market runs on %q, want %q", state.Systems.Market, want)
			}
			recount := newRecount(c)
			for _, s := range c.sources {
				rows := readBack(t, state, dir, s)
				recount.add(t, s, rows)
				compareClean(t, s, rows)
			}
			if !reflect.DeepEqual(recount.planted, c.Planted()) || !reflect.DeepEqual(state.Planted, c.Planted()) {
				t.Errorf("recount\n%+v\nplanted\n%+v\ncounty.json\n%+v", recount.planted, c.Planted(), state.Planted)
			}
			if recount.index != c.Index() || state.Index != c.Index() {
				t.Errorf("recount %+v, index %+v, county.json %+v", recount.index, c.Index(), state.Index)
			}
			recount.checkApplications(t, c)
		})
	}
}

func needPostgres(t *testing.T) {
	t.Helper()
	if _, why := findPostgres(t.Context(), t.TempDir()); why != "" {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
}

// serve starts the county in dir, waits until it is ready and returns what it
// says, and a function that stops it.
func serve(t *testing.T, c *County, dir string) (State, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx, dir, slog.New(slog.DiscardHandler), nil) }()
	stopped := false
	stop := func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-ended; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	}
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	for {
		state, err := Load(ctx, dir)
		if err == nil {
			return state, stop
		}
		if !errors.Is(err, ErrNotReady) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			stopped = true
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// compareClean compares the clean rows that were read back, field by field,
// with those that the county makes; what went through a charset, a quote or a
// database and came back changed would show.
func compareClean(t *testing.T, s *source, rows []found) {
	t.Helper()
	made := map[string]int{}
	for r := range s.rows() {
		if r.dirt == clean {
			made[line(s, func(i int) string { return plain(r.values[i]) })]++
		}
	}
	for _, f := range rows {
		if f.rule == "" {
			delete(made, line(s, func(i int) string { return shown(f.columns[s.columns[i].name]) }))
		}
	}
	for row := range made {
		t.Errorf("%s: a clean row did not come back: %s", s.name, row)
		break
	}
}

func line(s *source, value func(i int) string) string {
	var b strings.Builder
	for i := range s.columns {
		b.WriteString(value(i) + "|")
	}
	return b.String()
}

func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case json.Number:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}
