package analytics

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// cutShort publishes cases to one partition, and leaves the state that a sink leaves which was killed in the middle of its second batch:
// the first is done, of the second there is the intent. It returns the intent and what it would have stored.
func cutShort(t *testing.T, s *Store, feed *bus.Bus) (position, intent, []item) {
	t.Helper()
	const topic = "records.hall.case"
	if err := feed.EnsureTopic(t.Context(), topic, bus.TopicOptions{Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	var cases []exchange.Record
	for _, r := range caseRecords(0, 300) {
		if r.Kind == exchange.CaseEvent {
			cases = append(cases, r)
		}
	}
	messages := events(cases[:100]...)
	messages = append(messages, events(cases[:100]...)[:5]...) // the second batch begins with duplicates
	messages = append(messages, events(cases[100:200]...)...)
	publish(t, feed, messages[:100]...)
	stop := startSink(t, s, feed)
	caught(t, s, feed, topic)
	stop()
	publish(t, feed, messages[100:]...)
	p, open, err := s.ledger.load(t.Context(), topic, 0)
	if err != nil || open != nil || p.next != 100 {
		t.Fatalf("after the first batch: %+v, %+v, %v", p, open, err)
	}
	i := intent{epoch: p.epoch, first: 100, last: 204, stored: 100, duplicates: 5, dropped: offsets{100, 101, 102, 103, 104}, received: time.Now()}
	reader, err := feed.Read(t.Context(), topic, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var b batch
	for len(b.items) < 105 {
		got, err := reader.Next(t.Context(), 105-len(b.items))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			b.items = append(b.items, decode(m))
		}
	}
	i.digest, i.lastDigest = b.digest(), b.lastDigest()
	if err := s.ledger.intend(t.Context(), p, i); err != nil {
		t.Fatal(err)
	}
	return p, i, b.without(i.dropped)
}

// TestSettleKeepsOrder settles a batch that has many versions of a key at one event time, as a source with times in whole seconds
// gives them: the last one in the log stays the current one, as it is when nothing was cut short.
func TestSettleKeepsOrder(t *testing.T) {
	s := openStore(t, config(t))
	const resource, keys, versions = "police.resident", 20, 6
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	m := heldModel{}
	for key := range keys {
		var batch []exchange.Record
		for version := range versions {
			batch = append(batch, record(resource, exchange.Register, fmt.Sprintf("k%d", key), at, fmt.Sprintf(`{"version":%d}`, version)))
		}
		insertNow(t, s, key*versions, batch...)
		m.take(batch[versions-1])
	}
	last := func(when string) {
		t.Helper()
		sameHeld(t, s, m, resource, "police/test")
		for key, want := range m {
			if got, err := s.Lookup(t.Context(), resource, []string{key}); err != nil || len(got) != 1 || got[0].ID != want.ID {
				t.Errorf("%s: %+v, %v", when, got, err)
			}
		}
	}
	last("stored")
	p, i := position{topic: exchange.TopicOf(resource), epoch: 1}, intent{epoch: 1, first: 0, last: keys*versions - 1}
	if err := s.conn.Exec(t.Context(), "DELETE FROM records_current WHERE "+inRange(p, i)); err != nil {
		t.Fatal(err)
	}
	if err := s.reconcile(t.Context(), p, i); err != nil {
		t.Fatal(err)
	}
	last("put right")
}

// TestSettle puts every table into every state that a kill may leave it in, and starts the sink again.
func TestSettle(t *testing.T) {
	inserted := func(t *testing.T, s *Store, p position, i intent, items []item) {
		t.Helper()
		if err := s.insertItems(t.Context(), p, i, i.token(p), items); err != nil {
			t.Fatal(err)
		}
	}
	lose := func(tables ...string) func(*testing.T, *Store, position, intent, []item) {
		return func(t *testing.T, s *Store, p position, i intent, items []item) {
			t.Helper()
			inserted(t, s, p, i, items)
			for _, table := range tables {
				where := inRange(p, i)
				if table == "index_day" {
					where = "1 = 1" // all of it: the first batch's too
				}
				if err := s.conn.Exec(t.Context(), "DELETE FROM "+table+" WHERE "+where); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, cut := range map[string]func(*testing.T, *Store, position, intent, []item){
		"nothing was inserted":                 func(*testing.T, *Store, position, intent, []item) {},
		"everything was inserted":              inserted,
		"the views have nothing":               lose("records_current", "case_events", "index_day"),
		"case_events has nothing":              lose("case_events"),
		"index_day has nothing":                lose("index_day"),
		"records_current has nothing":          lose("records_current"),
		"only the landing table has nothing":   lose("records"),
		"the token is noted, the rows are not": lose("records", "records_current", "case_events", "index_day"),
		"case_events has everything twice": func(t *testing.T, s *Store, p position, i intent, items []item) {
			inserted(t, s, p, i, items)
			if err := s.conn.Exec(t.Context(), "INSERT INTO case_events SELECT * FROM case_events WHERE "+inRange(p, i)+" SETTINGS insert_deduplicate = 0"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, feed := openStore(t, config(t)), openBus(t)
			p, i, items := cutShort(t, s, feed)
			cut(t, s, p, i, items)
			startSink(t, s, feed)
			caught(t, s, feed, p.topic)
			var again []exchange.Record
			for at := range items {
				again = append(again, *items[at].record)
			}
			publish(t, feed, events(again...)...) // what was settled is known
			caught(t, s, feed, p.topic)
			if got := count(t, s, "SELECT count() FROM records"); got != 200 {
				t.Errorf("%d rows, want 200", got)
			}
			healthy(t, s)
			report, err := s.Storage(t.Context())
			if err != nil || report.Duplicates != 105 {
				t.Errorf("%d duplicates, want 105: %v", report.Duplicates, err)
			}
		})
	}
}

// TestSecondSink shows that two sinks on one state database notice each other before the second stores anything.
func TestSecondSink(t *testing.T) { states(t, testSecondSink) }

func testSecondSink(t *testing.T, cfg Config) {
	s := openStore(t, cfg)
	p := position{topic: "records.a.b", epoch: 1}
	first := intent{epoch: 1, first: 0, last: 9, stored: 10, received: time.Now()}
	if err := s.ledger.intend(t.Context(), p, first); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.intend(t.Context(), p, first); !errors.Is(err, ErrConflict) {
		t.Errorf("a second intent: %v", err)
	}
	next, err := s.ledger.done(t.Context(), p, first)
	if err != nil || next.next != 10 {
		t.Fatalf("done: %+v, %v", next, err)
	}
	if _, err := s.ledger.done(t.Context(), p, first); !errors.Is(err, ErrConflict) {
		t.Errorf("done twice: %v", err)
	}
	if err := s.ledger.intend(t.Context(), p, first); !errors.Is(err, ErrConflict) {
		t.Errorf("an intent from a stale position: %v", err)
	}
	again, open, err := s.ledger.load(t.Context(), p.topic, p.partition)
	if err != nil || open != nil || again.next != 10 || again.epoch != 1 {
		t.Errorf("position %+v, intent %+v: %v", again, open, err)
	}
	// And the whole way, on this state database.
	feed := openBus(t)
	publish(t, feed, events(caseRecords(0, 100)...)...)
	publish(t, feed, events(caseRecords(50, 60)...)...)
	startSink(t, s, feed)
	caught(t, s, feed, "records.hall.case", "records.hall.rating", "records.hall.ticket")
	healthy(t, s)
	if report, err := s.Storage(t.Context()); err != nil || report.Rows != 100 || report.Duplicates != 10 {
		t.Errorf("report %+v, %v", report, err)
	}
}
