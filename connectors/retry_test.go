package connectors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// recorder is a Publisher that keeps what it was given and accepts it; hook may refuse.
type recorder struct {
	hook func(call int) error

	mu    sync.Mutex
	calls int
	kept  []exchange.Draft
}

func (p *recorder) Publish(_ context.Context, _, _ string, drafts []exchange.Draft) ([]exchange.Outcome, error) {
	p.mu.Lock()
	p.calls++
	call := p.calls
	p.mu.Unlock()
	if p.hook != nil {
		if err := p.hook(call); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, drafts...)
	return make([]exchange.Outcome, len(drafts)), nil
}

func (p *recorder) drafts() []exchange.Draft {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept
}

// numbers is a source of the numbers below end, five in a batch; hook runs before every read.
type numbers struct {
	end  int
	hook func(read int) error

	mu    sync.Mutex
	reads int
	next  int
}

func (s *numbers) Open(_ context.Context, after json.RawMessage) error {
	s.next = 0
	if after != nil {
		return json.Unmarshal(after, &s.next)
	}
	return nil
}

func (s *numbers) Read(context.Context) (connectors.Batch, error) {
	s.mu.Lock()
	s.reads++
	read := s.reads
	s.mu.Unlock()
	if s.hook != nil {
		if err := s.hook(read); err != nil {
			return connectors.Batch{}, err
		}
	}
	if s.next >= s.end {
		return connectors.Batch{}, connectors.ErrCaughtUp
	}
	var rows []connectors.Row
	for ; s.next < s.end && len(rows) < 5; s.next++ {
		text := fmt.Sprintf("%04d", s.next)
		rows = append(rows, connectors.Row{
			Values: []connectors.Value{{Text: text}, {Text: text}, {Null: true}, {Null: true}, {Text: "2025-11-03"}}, Raw: []byte(text), Origin: text,
		})
	}
	position, err := json.Marshal(s.next)
	return connectors.Batch{Rows: rows, Position: position}, err
}

func (s *numbers) Close(context.Context) error { return nil }

func (s *numbers) readCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// expectNumbers checks that p was given the numbers below n, in order and once.
func expectNumbers(t *testing.T, p *recorder, n int) {
	t.Helper()
	var got, want []string
	for _, d := range p.drafts() {
		got = append(got, d.Key)
	}
	for i := range n {
		want = append(want, fmt.Sprintf("%04d", i))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("published %v; want %v", got, want)
	}
}

// startNumbers runs market/sa, market/sb … on the given sources.
func startNumbers(t *testing.T, p *recorder, sources ...connectors.Source) (r *connectors.Runner, stop func() map[string]connectors.Status) {
	t.Helper()
	dir := t.TempDir()
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
	var texts []string
	for i := range sources {
		texts = append(texts, strings.Replace(tableSource, "market/table", fmt.Sprintf("market/s%c", 'a'+i), 1))
	}
	construct := func(def connectors.Definition, _ *slog.Logger) (connectors.Source, error) {
		return sources[def.Name[len(def.Name)-1]-'a'], nil
	}
	r = newRunner(t, db, p, map[string]connectors.Constructor{connectors.KindSQL: construct})
	return r, start(t, r, parse(t, dir, texts...))
}

// TestBackPressure checks that while the exchange takes nothing, one batch is
// with it, one waits, and the source is not read further.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &recorder{hook: func(int) error { <-release; return nil }}
		src := &numbers{end: 500}
		r, stop := startNumbers(t, p, src)
		synctest.Wait()
		if got := src.readCount(); got != 2 {
			t.Errorf("%d batches were read while the first was not taken; want 2", got)
		}
		if got := byName(r)["market/sa"]; got.Read != 0 || got.State != connectors.Reading {
			t.Errorf("status %+v while nothing was taken", got)
		}
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := stop()["market/sa"]; got.Read != 500 || got.Accepted != 500 {
			t.Errorf("status %+v", got)
		}
		expectNumbers(t, p, 500)
	})
}

// TestRetry checks that refused drafts are kept and offered again, with a growing pause, and that the fault is shown.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		p := &recorder{hook: func(call int) error {
			at = append(at, time.Now())
			if call > 1 && call <= 12 {
				return errors.New("disk full")
			}
			return nil
		}}
		src := &numbers{end: 20}
		r, stop := startNumbers(t, p, src)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := byName(r)["market/sa"]; got.State != connectors.Failing || !strings.Contains(got.Fault, "disk full") || got.Read != 5 {
			t.Errorf("status %+v", got)
		}
		if got := src.readCount(); got > 3 {
			t.Errorf("the source was read %d times while its rows were not taken", got)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := byName(r)["market/sa"]; got.State != connectors.CaughtUp || got.Fault != "" || got.Read != 20 {
			t.Errorf("status %+v", got)
		}
		stop()
		expectNumbers(t, p, 20)
		for i := 2; i <= 12; i++ {
			low, high := time.Second<<(i-2), time.Second<<(i-2)
			if low = min(low, time.Minute) / 2; high > time.Minute {
				high = time.Minute
			}
			if pause := at[i].Sub(at[i-1]); pause < low || pause > high {
				t.Errorf("pause %d was %s; want %s to %s", i, pause, low, high)
			}
		}
	})
}

// TestIsolation checks that a source that fails and one that panics are shown
// and recover, that none of their rows is lost, and that another one is not disturbed.
func TestIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &recorder{}
		broken := func(failure func()) *numbers {
			s := &numbers{}
			s.hook = func(read int) error {
				if read < 5 {
					failure()
					return fmt.Errorf("%w: cable is out", connectors.ErrNotConnected)
				}
				return nil
			}
			return s
		}
		good := &numbers{end: 12}
		r, stop := startNumbers(t, p, broken(func() {}), broken(func() { panic("nil map") }), good)
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		all := byName(r)
		for name, fault := range map[string]string{"market/sa": "cable is out", "market/sb": "nil map"} {
			if all[name].State != connectors.Failing || !strings.Contains(all[name].Fault, fault) {
				t.Errorf("%s: %+v; want failing with %q", name, all[name], fault)
			}
		}
		if got := all["market/sc"]; got.State != connectors.CaughtUp || got.Read != 12 {
			t.Errorf("the good source: %+v", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for name, s := range byName(r) {
			if s.State != connectors.CaughtUp || s.Fault != "" {
				t.Errorf("%s did not recover: %+v", name, s)
			}
		}
		stop()
		expectNumbers(t, p, 12)
	})
}

// TestBrokenRead checks that rows behind a failure are read from the last saved position, in order and once.
func TestBrokenRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &recorder{}
		src := &numbers{end: 60}
		src.hook = func(read int) error {
			if read%3 == 0 {
				return fmt.Errorf("%w: reset", connectors.ErrNotConnected)
			}
			return nil
		}
		_, stop := startNumbers(t, p, src)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := stop()["market/sa"]; got.Read != 60 {
			t.Errorf("status %+v", got)
		}
		expectNumbers(t, p, 60)
	})
}

// Examine is not asked: there are no holdings to compare with.
func (*recorder) Examine(context.Context, string, []exchange.Draft) ([]*exchange.Rejection, error) {
	return nil, errors.New("nothing is compared here")
}
