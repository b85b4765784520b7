package analytics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/onewindow/onewindow/analytics/engine"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// shared is the engine of this process, which can have only one. It is nil when libchdb is missing.
var (
	shared    *engine.Engine
	missing   error
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("ANALYTICS_TEST_CHILD"); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "analytics")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var library string
	if library, missing = engine.FindLibrary(os.Getenv("ONEWINDOW_LIBCHDB"), "engine"); missing == nil {
		if shared, err = engine.Open(context.Background(), engine.Config{Library: library, Dir: dir}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = shared.Close() }()
	}
	return m.Run()
}

// requireEngine skips the test without libchdb.
func requireEngine(t testing.TB) {
	t.Helper()
	if missing == nil {
		return
	}
	if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// embedded reaches the engine of this process.
func embedded(e *engine.Engine) clickhouse.Options {
	return clickhouse.Options{
		Addr:          []string{"engine.invalid:8123"},
		TransportFunc: func(*http.Transport) (http.RoundTripper, error) { return e.RoundTripper(), nil },
	}
}

func quiet() *slog.Logger {
	level := slog.LevelError + 1
	if testing.Verbose() {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// config is a store's, in a new database of the shared engine.
func config(t testing.TB) Config {
	t.Helper()
	requireEngine(t)
	return configOn(t, "sqlite:"+filepath.Join(t.TempDir(), "state.db"))
}

// configOn is config with the state database at a URL.
func configOn(t testing.TB, stateURL string) Config {
	t.Helper()
	requireEngine(t)
	db, err := sqldb.Open(t.Context(), stateURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return Config{ClickHouse: embedded(shared), Database: fmt.Sprintf("t%d", databases.Add(1)), State: db, Logger: quiet()}
}

// need returns an environment variable, or skips the test, or fails it where everything is required.
func need(t *testing.T, variable, what string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" && os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is not set: no %s to test with", variable, what)
	}
	if value == "" {
		t.Skipf("%s is not set: no %s to test with", variable, what)
	}
	return value
}

// states runs a test on every kind of state database.
func states(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("sqlite", func(t *testing.T) { test(t, config(t)) })
	t.Run("postgres", func(t *testing.T) {
		test(t, configOn(t, sqldbtest.NewPostgresSchema(t)))
	})
}

func openStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openBus(t testing.TB) *bus.Bus {
	t.Helper()
	return openBusAt(t, "embedded:"+t.TempDir())
}

func openBusAt(t testing.TB, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{URL: url, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// startSink runs the sink until the returned function is called, or the test ends.
func startSink(t testing.TB, s *Store, feed Feed) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.RunSink(ctx, feed) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sink: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// publish writes messages to topics that it makes.
func publish(t testing.TB, b *bus.Bus, messages ...bus.Message) []bus.Position {
	t.Helper()
	for topic := range topicsOf(messages) {
		if err := b.EnsureTopic(t.Context(), topic, bus.TopicOptions{Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	positions, err := b.Publish(t.Context(), messages...)
	if err != nil {
		t.Fatal(err)
	}
	return positions
}

func topicsOf(messages []bus.Message) map[string]bool {
	topics := map[string]bool{}
	for _, m := range messages {
		topics[m.Topic] = true
	}
	return topics
}

func events(records ...exchange.Record) []bus.Message {
	out := make([]bus.Message, len(records))
	for i, r := range records {
		out[i] = r.Event()
	}
	return out
}

// record makes a version of a key.
func record(resource string, kind exchange.Kind, key string, at time.Time, payload string) exchange.Record {
	r := exchange.Record{
		Resource: resource, Source: exchange.DepartmentOf(resource) + "/test", Kind: kind, Key: key,
		Operation: exchange.Upsert, EventTime: at, Payload: []byte(payload),
	}
	if payload == "" {
		r.Operation, r.Payload = exchange.Delete, nil
	}
	r.ID = exchange.RecordID(r.Resource, r.Key, r.Operation, r.EventTime, r.Payload)
	return r
}

// caught waits until the sink has stored everything that is in the log now.
func caught(t testing.TB, s *Store, b *bus.Bus, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	for _, topic := range topics {
		n, err := b.Partitions(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		var positions []bus.Position
		for partition := range n {
			first, end, err := b.Bounds(ctx, topic, partition)
			if err != nil {
				t.Fatal(err)
			}
			if end > first {
				positions = append(positions, bus.Position{Partition: partition, Offset: end - 1})
			}
		}
		if err := s.WaitStored(ctx, strings.TrimPrefix(topic, exchange.RecordsTopicPrefix), positions); err != nil {
			t.Fatal(err)
		}
	}
}

// count runs a query that answers one number.
func count(t testing.TB, s *Store, query string) int64 {
	t.Helper()
	var n int64
	if err := s.conn.QueryRow(t.Context(), "SELECT toInt64(("+query+"))").Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// healthy fails the test unless every table agrees with the landing table.
func healthy(t testing.TB, s *Store) {
	t.Helper()
	if _, _, err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	differences, err := s.Recount(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Errorf("index_day differs from the recount: %+v", d)
	}
	for kind, table := range map[string]string{"case_event": "case_events", "rating": "ratings", "ticket": "tickets"} {
		want := count(t, s, "SELECT count() FROM records WHERE kind = "+quote(kind)+" AND operation = 'upsert'")
		if got := count(t, s, "SELECT count() FROM "+table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
	want := count(t, s, "SELECT uniqExact((resource, key)) FROM records")
	if got := count(t, s, "SELECT uniqExact((resource, key)) FROM records_current"); got != want {
		t.Errorf("records_current has %d keys, want %d", got, want)
	}
	if open := intents(t, s); open != 0 {
		t.Errorf("%d intents are open", open)
	}
}

func intents(t testing.TB, s *Store) int {
	t.Helper()
	var n int
	if err := s.cfg.State.QueryRowContext(t.Context(), "SELECT count(*) FROM sink_intents").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
