package topic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// cluster is the other system's: an embedded broker, which can be stopped and started, or a real one.
type cluster struct {
	mu  sync.Mutex
	dir string // of the embedded broker
	bus *bus.Bus
	url string // by which the source reaches a real one
}

func openBus(t *testing.T, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func embedded(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), url: "kafka://embedded:1"}
	c.bus = openBus(t, "embedded:"+c.dir)
	t.Cleanup(func() { _ = c.current().Close() })
	return c
}

// apache gives the Apache Kafka of the tests, or skips.
func apache(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{url: "kafka://" + kafkaAddress(t)}
	c.bus = openBus(t, c.url)
	t.Cleanup(func() { _ = c.bus.Close() })
	return c
}

func kafkaAddress(t *testing.T) string {
	t.Helper()
	address := os.Getenv("ONEWINDOW_TEST_KAFKA")
	if address == "" {
		what := "ONEWINDOW_TEST_KAFKA is not set: no Apache Kafka to test against (.tools/services/up starts one)"
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal(what)
		}
		t.Skip(what)
	}
	return address
}

func (c *cluster) current() *bus.Bus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bus
}

// stop closes the embedded broker; start opens it again.
func (c *cluster) stop(t *testing.T) (start func()) {
	t.Helper()
	if err := c.current().Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		b := openBus(t, "embedded:"+c.dir)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bus = b
	}
}

// newTopic makes a topic with a name of its own.
func (c *cluster) newTopic(t *testing.T, partitions int) string {
	t.Helper()
	name := fmt.Sprintf("test.%d-%d.source", os.Getpid(), time.Now().UnixNano())
	if err := c.current().EnsureTopic(t.Context(), name, bus.TopicOptions{Partitions: partitions, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return name
}

func (c *cluster) send(t *testing.T, messages ...bus.Message) {
	t.Helper()
	if _, err := c.current().Publish(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) definition(t *testing.T, topic string) connectors.Definition {
	t.Helper()
	def := connectortest.Definition(connectors.KindTopic)
	def.Topic = &connectors.Topic{URLFile: file(t, c.url), Topic: topic, Charset: charset.UTF8}
	return def
}

// file is a file with an address.
func file(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kafka.url")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// construct is New, with the embedded broker in place of a connection.
func (c *cluster) construct(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	made, err := New(def, logger)
	if s, ok := made.(*source); ok && c.dir != "" {
		s.shared = true
		s.open = func(ctx context.Context, _ bus.Config) (*bus.Bus, error) { return c.current(), c.current().Ping(ctx) }
	}
	return made, err
}

func (c *cluster) opened(t *testing.T, def connectors.Definition, after json.RawMessage) connectors.Source {
	t.Helper()
	src, err := c.construct(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close(context.WithoutCancel(t.Context())) })
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	return src
}

func (c *cluster) system(t *testing.T, topic string, cut func(*testing.T) func()) connectortest.System {
	return connectortest.System{
		Definition: c.definition(t, topic), Construct: c.construct, Cut: cut,
		Append: func(t *testing.T, rows []connectortest.Row) {
			messages := make([]bus.Message, len(rows))
			for i, r := range rows {
				value, err := json.Marshal(map[string]string{"id": r.ID, "name": r.Name, "updated_at": r.UpdatedAt})
				if err != nil {
					t.Fatal(err)
				}
				messages[i] = bus.Message{Topic: topic, Key: []byte(r.ID), Value: value}
			}
			c.send(t, messages...)
		},
		AppendBad: func(t *testing.T) { c.send(t, bus.Message{Topic: topic, Value: []byte("{\"id\":\"\xc4\xe3\"}")}) },
	}
}

func TestEmbeddedSuite(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		c := embedded(t)
		return c.system(t, c.newTopic(t, 1), c.stop)
	})
}

func TestKafkaSuite(t *testing.T) {
	kafkaAddress(t)
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		c := apache(t)
		proxy := newProxy(t, kafkaAddress(t))
		c.url = "kafka://" + proxy.listener.Addr().String()
		return c.system(t, c.newTopic(t, 1), func(*testing.T) func() { return proxy.cut() })
	})
}

// each runs a test against both brokers.
func each(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Run("embedded", func(t *testing.T) { test(t, embedded(t)) })
	t.Run("kafka", func(t *testing.T) { test(t, apache(t)) })
}

// drain reads until the source is caught up.
func drain(t *testing.T, src connectors.Source) (rows []connectors.Row, last connectors.Batch) {
	t.Helper()
	for {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			return rows, last
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, last = append(rows, batch.Rows...), batch
	}
}

func value(id, name string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"name":%q,"updated_at":"2025-11-03 08:00:00"}`, id, name)
}

func names(rows []connectors.Row) string {
	var names []string
	for _, row := range rows {
		names = append(names, row.Values[1].Text)
	}
	return strings.Join(names, " ")
}

func expectFault(t *testing.T, err error, code connectors.FaultCode, kind error, want string) {
	t.Helper()
	var fault *connectors.Fault
	if !errors.As(err, &fault) || fault.Code != code || !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v; want %s, %v with %q", err, code, kind, want)
	}
}

// TestPartitions reads several partitions: each in order, none before the others have their turn, resumed from every position.
func TestPartitions(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		topic := c.newTopic(t, 5)
		def := c.definition(t, topic)
		def.Batch = 500
		var messages []bus.Message
		for i := range 6000 {
			key := fmt.Sprintf("key-%d", i%700)
			messages = append(messages, bus.Message{Topic: topic, Key: []byte(key), Value: value(key, fmt.Sprint(i))})
		}
		c.send(t, messages...)
		src := c.opened(t, def, nil)
		var all []connectors.Row
		var positions []connectors.Batch
		for {
			batch, err := src.Read(t.Context())
			if errors.Is(err, connectors.ErrCaughtUp) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Rows) > 500 {
				t.Fatalf("%d rows in a batch", len(batch.Rows))
			}
			all, positions = append(all, batch.Rows...), append(positions, batch)
		}
		if len(all) != 6000 {
			t.Fatalf("%d rows", len(all))
		}
		latest, changed := map[string]int{}, map[string]time.Time{}
		for _, row := range all {
			var number int
			if _, err := fmt.Sscan(row.Values[1].Text, &number); err != nil {
				t.Fatal(err)
			}
			key := row.Key[0]
			if before, ok := latest[key]; ok && (number != before+700 || !row.ChangedAt.After(changed[key])) {
				t.Fatalf("key %s: %d at %s after %d at %s", key, number, row.ChangedAt, before, changed[key])
			}
			latest[key], changed[key] = number, row.ChangedAt
		}
		done := 0
		for _, batch := range positions {
			done += len(batch.Rows)
			if rest, _ := drain(t, c.opened(t, def, batch.Position)); !slices.EqualFunc(origins(rest), origins(all[done:]), func(a, b string) bool { return a == b }) {
				t.Fatalf("from %s: %d rows; want %d", batch.Position, len(rest), len(all)-done)
			}
		}
	})
}

// origins are those of rows in the order of their names, since partitions may come in another order.
func origins(rows []connectors.Row) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row.Origin+" "+row.ChangedAt.Format(time.RFC3339Nano))
	}
	slices.Sort(all)
	return all
}

// TestFairness checks that a partition with much to read does not keep the others waiting.
func TestFairness(t *testing.T) {
	c := embedded(t)
	topic := c.newTopic(t, 2)
	wide := strings.Repeat("x", 200_000)
	for range 20 {
		c.send(t, bus.Message{Topic: topic, Key: []byte("a"), Value: value("a", wide)})
	}
	for i := range 100 { // find a key of the other partition
		key := fmt.Sprint(i)
		at, err := c.current().Publish(t.Context(), bus.Message{Topic: topic, Key: []byte(key), Value: value(key, "other")})
		if err != nil {
			t.Fatal(err)
		}
		if at[0].Offset == 0 {
			break
		}
	}
	def := c.definition(t, topic)
	def.Batch = 20
	batch, err := c.opened(t, def, nil).Read(t.Context())
	if err != nil || !strings.Contains(names(batch.Rows), "other") {
		t.Errorf("%d rows without one of the other partition, %v", len(batch.Rows), err)
	}
}

// TestColumns maps everything that a message has, and deletes.
func TestColumns(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		topic := c.newTopic(t, 1)
		def := c.definition(t, topic)
		def.Map.EventTime = "__timestamp"
		for _, column := range []string{"__key", "__partition", "__offset", "__header.类型", "n"} {
			def.Map.Fields = append(def.Map.Fields, connectors.Field{From: column, To: column})
		}
		at := time.Date(2025, 11, 3, 0, 0, 0, 123_000_000, time.UTC)
		c.send(t,
			bus.Message{Topic: topic, Key: []byte("k"), Value: []byte(`{"id":"1","name":"张三","n":1.500,"__key":"no"}`), Time: at, Headers: []bus.Header{{Key: "类型", Value: []byte("a")}, {Key: "类型", Value: []byte("b")}}},
			bus.Message{Topic: topic, Value: []byte(`{"id":"2"}`), Time: at.Add(-time.Hour)},
			bus.Message{Topic: topic, Key: []byte("3"), Value: nil, Time: at},
			bus.Message{Topic: topic, Key: []byte(`"4\n"`), Value: nil, Time: at},
			bus.Message{Topic: topic, Key: []byte(`{"id": 5.0, "x": 1}`), Value: nil, Time: at},
			bus.Message{Topic: topic, Key: []byte(`{"x": 1}`), Value: nil, Time: at},
			bus.Message{Topic: topic, Key: nil, Value: nil, Time: at},
			bus.Message{Topic: topic, Key: []byte("7"), Value: []byte{}, Time: at},
			bus.Message{Topic: topic, Key: []byte("\xff"), Value: []byte(`{"id":"8"}`), Time: at},
			bus.Message{Topic: topic, Key: []byte("\xff"), Value: nil, Time: at},
			bus.Message{Topic: topic, Key: []byte("9"), Value: []byte(`null`), Time: at},
		)
		rows, _ := drain(t, c.opened(t, def, nil))
		want := []string{
			"1 张三 k 0 0 b 1.500 2025-11-03T00:00:00.123Z | key 1 | 00:00:00.123",
			"2 - - 0 1 - - 2025-11-02T23:00:00.123Z | key 2 | 00:00:00.123001",
			"delete 3 - - - - - - - | key 3 | 00:00:00.123002",
			"delete 4\n - - - - - - - | key 4\n | 00:00:00.123003",
			"delete 5.0 - - - - - - - | key 5.0 | 00:00:00.123004",
			"KEY", "KEY", "MALFORMED", "ENCODING", "KEY", "MALFORMED",
		}
		if len(rows) != len(want) {
			t.Fatalf("%d rows; want %d", len(rows), len(want))
		}
		for i, row := range rows {
			got := ""
			if row.Rejection != nil {
				got = row.Rejection.Rule
				if row.Values != nil || row.Raw == nil || row.Operation != "" {
					t.Errorf("row %d: %+v", i, row)
				}
			} else {
				var texts []string
				if row.Operation == exchange.Delete {
					texts = append(texts, "delete")
				}
				for _, v := range row.Values {
					if v.Null {
						v.Text = "-"
					}
					texts = append(texts, v.Text)
				}
				got = strings.Join(texts, " ") + " | key " + strings.Join(row.Key, ",") + " | " + row.ChangedAt.Format("15:04:05.999999")
			}
			if got != want[i] {
				t.Errorf("row %d: %q; want %q", i, got, want[i])
			}
		}
		if rows[1].Origin != topic+"/0/1" {
			t.Errorf("origin %q", rows[1].Origin)
		}
	})
}

func TestCharset(t *testing.T) {
	c := embedded(t)
	topic := c.newTopic(t, 1)
	def := c.definition(t, topic)
	def.Topic.Charset = charset.GBK
	good, err := simplifiedchinese.GBK.NewEncoder().Bytes(value("誠", "乗誠"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte("誠"))
	if err != nil {
		t.Fatal(err)
	}
	c.send(t, bus.Message{Topic: topic, Key: key, Value: good}, bus.Message{Topic: topic, Key: key, Value: []byte("{\"id\":\"\xff\"}")}, bus.Message{Topic: topic, Key: key})
	rows, _ := drain(t, c.opened(t, def, nil))
	if len(rows) != 3 || rows[0].Values[1].Text != "乗誠" || rows[1].Rejection == nil || rows[1].Rejection.Rule != exchange.RuleEncoding || rows[2].Key[0] != "誠" {
		t.Errorf("%+v", rows)
	}
}
