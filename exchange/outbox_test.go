package exchange

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

const outboxTopic = "licenses.events"

func newOutbox(t *testing.T, f fixture, db *sqldb.DB) *Outbox {
	t.Helper()
	if err := f.bus.EnsureTopic(t.Context(), outboxTopic, bus.TopicOptions{Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	outbox, err := OpenOutbox(t.Context(), db, f.bus, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return outbox
}

func eventOf(value string) bus.Message {
	return bus.Message{Topic: outboxTopic, Key: []byte("k"), Value: []byte(value)}
}

func put(t *testing.T, o *Outbox, value string) {
	t.Helper()
	if err := o.db.InTx(t.Context(), func(tx *sql.Tx) error { return o.Put(t.Context(), tx, eventOf(value)) }); err != nil {
		t.Fatal(err)
	}
}

// start runs a relay until stop is called.
func start(t *testing.T, o *Outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// published reads the topic until it has n messages, or so many that are different.
func published(t *testing.T, f fixture, n int) (values []string) {
	t.Helper()
	for {
		values = values[:0]
		for _, m := range f.read(t, outboxTopic) {
			values = append(values, string(m.Value))
		}
		if len(values) >= n {
			return values
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutboxKeepsTheOrderOfCommits has transactions of two processes count in a row that both change, in an order that
// only their commits decide: the events come in the order of the count.
func TestOutboxKeepsTheOrderOfCommits(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		f := newFixture(t, db)
		outboxes := []*Outbox{newOutbox(t, f, db), newOutbox(t, f, open())}
		if _, err := db.ExecContext(t.Context(), `INSERT INTO outbox_counter (name, last) VALUES ('test', 0)`); err != nil {
			t.Fatal(err)
		}
		const each, total = 20, 80
		defer start(t, outboxes[0])()
		var writers sync.WaitGroup
		for i := range total / each {
			o := outboxes[i%2]
			writers.Go(func() {
				for range each {
					count := func(tx *sql.Tx) error {
						var n int
						if err := tx.QueryRowContext(t.Context(), `UPDATE outbox_counter SET last = last + 1 WHERE name = 'test' RETURNING last`).Scan(&n); err != nil {
							return err
						}
						return o.Put(t.Context(), tx, eventOf(fmt.Sprintf("%03d", n)))
					}
					for o.db.InTx(t.Context(), count) != nil { // contention beyond what InTx gets over
						if t.Context().Err() != nil {
							return
						}
					}
				}
			})
		}
		writers.Wait()
		values := published(t, f, total)
		if !slices.IsSorted(values) || len(slices.Compact(slices.Clone(values))) != total {
			t.Errorf("%d events: %v; want 1 to %d in order", len(values), values, total)
		}
	})
}

// TestOutboxWaitsForTheSlowTransaction commits a transaction that began and put its event later before one that put its
// event earlier could: on PostgreSQL the later one has to wait, so that nothing is overtaken.
func TestOutboxWaitsForTheSlowTransaction(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		f := newFixture(t, db)
		o, other := newOutbox(t, f, db), newOutbox(t, f, open())
		defer start(t, o)()
		holds, late := make(chan struct{}), make(chan error, 1)
		err := db.InTx(t.Context(), func(tx *sql.Tx) error {
			if err := o.Put(t.Context(), tx, eventOf("first")); err != nil {
				return err
			}
			go func() {
				close(holds)
				late <- other.db.InTx(context.WithoutCancel(t.Context()), func(tx *sql.Tx) error { return other.Put(t.Context(), tx, eventOf("second")) })
			}()
			<-holds
			select {
			case err := <-late:
				return errors.Join(errors.New("the second transaction overtook the first"), err)
			case <-time.After(50 * time.Millisecond): // it waits; had it not to, it would be done by now
			}
			return nil
		})
		if err := errors.Join(err, <-late); err != nil {
			t.Fatal(err)
		}
		if got := published(t, f, 2); !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("%v", got)
		}
	})
}

// TestRelayIsWokenByTheCommit looks at the relay's bell: silent while the transaction is open and after a rollback, and
// rung by the commit, when the event is there to be read.
func TestRelayIsWokenByTheCommit(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		o := newOutbox(t, newFixture(t, db), db)
		undone := errors.New("undone")
		for _, want := range []error{undone, nil} {
			err := db.InTx(t.Context(), func(tx *sql.Tx) error {
				if err := o.Put(t.Context(), tx, eventOf("1")); err != nil {
					return err
				}
				if len(o.wake) != 0 {
					t.Error("woken before the commit")
				}
				return want
			})
			if !errors.Is(err, want) {
				t.Fatal(err)
			}
			if woken := len(o.wake) == 1; woken != (want == nil) {
				t.Errorf("the transaction returned %v; woken: %t", want, woken)
			}
		}
		if ids, _, err := o.pending(t.Context()); err != nil || len(ids) != 1 {
			t.Errorf("%d events, %v; want the committed one", len(ids), err)
		}
	})
}

// TestOneRelayAtATime runs two processes: every event is published once, and when the one that relays ends in good order
// the other goes on at once.
func TestOneRelayAtATime(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		f := newFixture(t, db)
		a, b := newOutbox(t, f, db), newOutbox(t, f, open())
		a.lease, b.lease = time.Hour, time.Hour // what follows may not depend on its end
		put(t, a, "1")
		stopA := start(t, a)
		published(t, f, 1)
		defer start(t, b)()
		put(t, b, "2")
		put(t, a, "3")
		published(t, f, 3)
		stopA()
		put(t, b, "4")
		if got := published(t, f, 4); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("%v", got)
		}
	})
}

// TestDeadRelayIsReplaced leaves a lease behind as a kill does, with a batch published and not deleted: the next process
// takes over after the lease, and the dead one, should it wake up, neither renews nor deletes.
func TestDeadRelayIsReplaced(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		f := newFixture(t, db)
		o, next := newOutbox(t, f, db), newOutbox(t, f, open())
		next.lease = 300 * time.Millisecond
		dead := &relay{Outbox: o, holder: "dead"}
		if taken, err := dead.take(t.Context()); err != nil || !taken {
			t.Fatal(taken, err)
		}
		put(t, o, "1")
		second := &relay{Outbox: next, holder: "second"}
		if taken, err := second.take(t.Context()); err != nil || taken {
			t.Fatalf("a lease that is held was taken: %v, %v", taken, err)
		}
		stop := start(t, next)
		if got := published(t, f, 1); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%v", got)
		}
		if err := dead.renew(t.Context(), db); !errors.Is(err, errLeaseLost) {
			t.Errorf("the dead one renews: %v", err)
		}
		stop()
		put(t, o, "2")
		if n, err := dead.turn(t.Context()); n != 0 || err != nil || dead.epoch != 0 {
			t.Errorf("the dead one published %d, %v", n, err)
		}
		var left int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM outbox`).Scan(&left); err != nil || left != 1 {
			t.Errorf("%d events left, %v; the one of the new holder must stay", left, err)
		}
	})
}

// TestEventsOfOlderVersionsComeFirst publishes rows whose ids are clocks, as older versions wrote them, before others.
func TestEventsOfOlderVersionsComeFirst(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		f := newFixture(t, db)
		o := newOutbox(t, f, db)
		put(t, o, "new")
		if _, err := db.ExecContext(t.Context(), `INSERT INTO outbox (id, topic, message) SELECT '18a1b2c3d4e5f607-000000-00ff', topic, REPLACE(message, 'bmV3', 'b2xk') FROM outbox`); err != nil {
			t.Fatal(err)
		}
		defer start(t, o)()
		if got := published(t, f, 2); !slices.Equal(got, []string{"old", "new"}) {
			t.Errorf("%v", got)
		}
	})
}
