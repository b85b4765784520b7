package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEmbedded(t *testing.T) {
	testBus(t, func(t *testing.T) *Bus {
		return openURL(t, Config{URL: "embedded:" + t.TempDir()})
	})
}

func TestKafka(t *testing.T) {
	address := realKafka(t)
	testBus(t, func(t *testing.T) *Bus {
		return openURL(t, Config{URL: "kafka://" + address})
	})
	t.Run("kcat shows the headers of CloudEvents", func(t *testing.T) { testKcat(t, address) })
}

// realKafka gives the address of an Apache Kafka, or skips.
func realKafka(t *testing.T) string {
	t.Helper()
	address := os.Getenv("ONEWINDOW_TEST_KAFKA")
	if address == "" {
		missing(t, "ONEWINDOW_TEST_KAFKA is not set: no Apache Kafka to test against (.tools/services/up starts one)")
	}
	return address
}

// missing skips a test that lacks something outside, or fails it where everything is required.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func openURL(t *testing.T, cfg Config) *Bus {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	b, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// newTopic makes a topic of which the name is used once.
func newTopic(t *testing.T, b *Bus, partitions int) string {
	t.Helper()
	name := fmt.Sprintf("test.%d-%d.records", os.Getpid(), time.Now().UnixNano())
	if err := b.EnsureTopic(t.Context(), name, TopicOptions{Partitions: partitions, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return name
}

// readTo reads a partition up to an offset and checks that nothing is missing.
func readTo(t *testing.T, b *Bus, topic string, partition int, from, end int64) []Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := b.Read(ctx, topic, partition, from)
	if err != nil {
		t.Fatal(err)
	}
	var all []Message
	for r.Offset() < end {
		msgs, err := r.Next(ctx, 700)
		if err != nil {
			t.Fatalf("at %d of %d: %v", r.Offset(), end, err)
		}
		if len(msgs) > 700 {
			t.Fatalf("%d messages, 700 were asked for", len(msgs))
		}
		for _, m := range msgs {
			if want := from + int64(len(all)); m.Offset != want || m.Topic != topic || m.Partition != partition {
				t.Fatalf("got %s/%d at %d, want %s/%d at %d", m.Topic, m.Partition, m.Offset, topic, partition, want)
			}
			all = append(all, m)
		}
	}
	return all
}

// testBus is what every kind of Bus must do. open gives a Bus of its own, perhaps on a shared cluster.
func testBus(t *testing.T, open func(t *testing.T) *Bus) {
	t.Run("round trip", func(t *testing.T) { testRoundTrip(t, open(t)) })
	t.Run("topics", func(t *testing.T) { testTopics(t, open(t)) })
	t.Run("positions and order of many callers", func(t *testing.T) { testConcurrent(t, open(t)) })
	t.Run("too large", func(t *testing.T) { testTooLarge(t, open(t)) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, open(t)) })
	t.Run("out of range", func(t *testing.T) { testOutOfRange(t, open(t)) })
	t.Run("waiting", func(t *testing.T) { testWaiting(t, open(t)) })
	t.Run("committed", func(t *testing.T) { testCommitted(t, open(t)) })
	t.Run("closed", func(t *testing.T) { testClosed(t, open(t)) })
}

func testRoundTrip(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 1)
	now := time.Date(2026, 3, 14, 1, 59, 26, 535_000_000, time.UTC)
	sent := []Message{
		{Topic: topic, Key: []byte("甲"), Value: []byte(`{"n":1}`), Time: now, Headers: []Header{{"ce_id", []byte("a")}, {"ce_id", []byte("b")}, {"empty", []byte{}}}},
		{Topic: topic, Key: nil, Value: nil, Time: now.Add(time.Hour)},
		{Topic: topic, Key: []byte{}, Value: []byte{}, Time: now.Add(-time.Hour)},
		{Topic: topic, Key: []byte("big"), Value: make([]byte, 1<<20-3), Time: now},
		{Topic: topic, Key: []byte("after"), Value: []byte("x"), Time: now},
	}
	positions, err := b.Publish(t.Context(), sent...)
	if err != nil {
		t.Fatal(err)
	}
	got := readTo(t, b, topic, 0, 0, int64(len(sent)))
	for i, m := range got {
		if positions[i] != (Position{0, int64(i)}) {
			t.Errorf("message %d: position %v", i, positions[i])
		}
		want := sent[i]
		if string(m.Key) != string(want.Key) || (m.Key == nil) != (want.Key == nil) ||
			string(m.Value) != string(want.Value) || (m.Value == nil) != (want.Value == nil) || !m.Time.Equal(want.Time) {
			t.Errorf("message %d: key %q, %d bytes, time %v; want key %q, %d bytes, time %v", i, m.Key, len(m.Value), m.Time, want.Key, len(want.Value), want.Time)
		}
		if !slices.EqualFunc(m.Headers, want.Headers, func(a, b Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
			t.Errorf("message %d: headers %v, want %v", i, m.Headers, want.Headers)
		}
	}
	if got := readTo(t, b, topic, 0, 2, 4); len(got) < 2 {
		t.Errorf("from the middle of a batch: %d messages", len(got))
	}
}

func testTopics(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 3)
	if err := b.EnsureTopic(t.Context(), topic, TopicOptions{Partitions: 3}); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if n, err := b.Partitions(t.Context(), topic); n != 3 || err != nil {
		t.Errorf("%d partitions, %v", n, err)
	}
	prefix, _, _ := strings.Cut(topic, ".records")
	if names, err := b.Topics(t.Context(), prefix); len(names) != 1 || names[0] != topic || err != nil {
		t.Errorf("topics %v, %v", names, err)
	}
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for name, call := range map[string]func() error{
		"Partitions": func() error { _, err := b.Partitions(t.Context(), "test.none"); return err },
		"Bounds":     func() error { _, _, err := b.Bounds(t.Context(), "test.none", 0); return err },
		"Bounds of a partition that is not there": func() error { _, _, err := b.Bounds(t.Context(), topic, 3); return err },
		"Read":    func() error { _, err := b.Read(t.Context(), "test.none", 0, 0); return err },
		"Publish": func() error { _, err := b.Publish(t.Context(), Message{Topic: "test.none"}); return err },
	} {
		if err := call(); !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("%s of an unknown topic: %v", name, err)
		}
	}
}

func testConcurrent(t *testing.T, b *Bus) {
	const callers, calls, size, partitions = 8, 20, 60, 4
	topic := newTopic(t, b, partitions)
	var mu sync.Mutex
	at := make(map[Position]string) // what was promised to be where
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for call := range calls {
				msgs := make([]Message, size)
				for i := range msgs {
					msgs[i] = Message{
						Topic: topic,
						Key:   fmt.Appendf(nil, "%d/%d", caller, i%7),
						Value: fmt.Appendf(nil, "%d/%d %06d", caller, i%7, call*size+i),
					}
				}
				positions, err := b.Publish(t.Context(), msgs...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, p := range positions {
					at[p] = string(msgs[i].Value)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(at) != callers*calls*size {
		t.Fatalf("%d different positions for %d messages", len(at), callers*calls*size)
	}
	last := make(map[string]string)
	for p := range partitions {
		_, end, err := b.Bounds(t.Context(), topic, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range readTo(t, b, topic, p, 0, end) {
			if want := at[Position{p, m.Offset}]; string(m.Value) != want {
				t.Fatalf("%d/%d is %q, promised was %q", p, m.Offset, m.Value, want)
			}
			if before := last[string(m.Key)]; string(m.Value) <= before {
				t.Fatalf("key %s: %q came after %q", m.Key, m.Value, before)
			}
			last[string(m.Key)] = string(m.Value)
		}
	}
}

func testTooLarge(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 1)
	_, err := b.Publish(t.Context(), Message{Topic: topic, Value: []byte("small")}, Message{Topic: topic, Key: []byte("k"), Value: make([]byte, 1<<20)})
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "message 1 ") {
		t.Errorf("got %v", err)
	}
	if _, end, err := b.Bounds(t.Context(), topic, 0); end != 0 || err != nil {
		t.Errorf("the log ends at %d, %v: something was sent", end, err)
	}
}

func testCancelled(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Publish(ctx, Message{Topic: topic, Value: []byte("x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish: %v", err)
	}
	r, err := b.Read(t.Context(), topic, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v", err)
	}
	if _, err := b.Publish(t.Context(), Message{Topic: topic, Value: []byte("y")}); err != nil {
		t.Fatal(err)
	}
	if msgs, err := r.Next(t.Context(), 9); err != nil || len(msgs) != 1 || string(msgs[0].Value) != "y" {
		t.Errorf("the reader is not usable after a cancelled call: %v, %v", msgs, err)
	}
}

func testOutOfRange(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 1)
	if _, err := b.Publish(t.Context(), Message{Topic: topic}, Message{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{-2, -1, 3, 1 << 40} {
		if _, err := b.Read(t.Context(), topic, 0, offset); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	// A log that went back under a reader.
	r, err := b.Read(t.Context(), topic, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	r.next = 5
	for range 2 {
		if msgs, err := r.Next(t.Context(), 1); !errors.Is(err, ErrOffsetOutOfRange) || len(msgs) != 0 || r.Offset() != 5 {
			t.Errorf("got %d messages, %v, now at %d", len(msgs), err, r.Offset())
		}
	}
}

func testWaiting(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 1)
	r, err := b.Read(t.Context(), topic, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if msgs, err := r.Next(t.Context(), 5); len(msgs) != 0 || err != nil {
		t.Errorf("empty partition: %v, %v", msgs, err)
	}
	for i := range 12 {
		if _, err := b.Publish(t.Context(), Message{Topic: topic, Value: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 12; {
		msgs, err := r.Next(t.Context(), 5)
		if err != nil || len(msgs) > 5 {
			t.Fatalf("%d messages, %v", len(msgs), err)
		}
		for _, m := range msgs {
			if m.Value[0] != byte(i) {
				t.Fatalf("got %d, want %d", m.Value[0], i)
			}
			i++
		}
	}
}

func testCommitted(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 2)
	if _, err := b.Publish(t.Context(), make100(topic)...); err != nil {
		t.Fatal(err)
	}
	group := topic + ".sink"
	if got, err := b.Committed(t.Context(), group, topic, 1); got != -1 || err != nil {
		t.Errorf("before the first commit: %d, %v", got, err)
	}
	for _, offset := range []int64{7, 42, 12} {
		if err := b.Commit(t.Context(), group, topic, 1, offset); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Committed(t.Context(), group, topic, 1); got != offset || err != nil {
			t.Errorf("committed %d: got %d, %v", offset, got, err)
		}
	}
	if got, err := b.Committed(t.Context(), group, topic, 0); got != -1 || err != nil {
		t.Errorf("other partition: %d, %v", got, err)
	}
}

func make100(topic string) []Message {
	msgs := make([]Message, 100)
	for i := range msgs {
		msgs[i] = Message{Topic: topic, Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value-%d", i)}
	}
	return msgs
}

func testClosed(t *testing.T, b *Bus) {
	topic := newTopic(t, b, 1)
	r, err := b.Read(t.Context(), topic, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, publishErr := b.Publish(t.Context(), Message{Topic: topic})
	_, readErr := r.Next(t.Context(), 1)
	if !errors.Is(publishErr, ErrClosed) || !errors.Is(readErr, ErrClosed) || !errors.Is(b.Ping(t.Context()), ErrClosed) {
		t.Errorf("after Close: Publish %v, Next %v", publishErr, readErr)
	}
}

// testKcat reads with another client, in another language, what departments would read.
func testKcat(t *testing.T, address string) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		missing(t, "kcat is not installed (Debian package kcat)")
	}
	b := openURL(t, Config{URL: "kafka://" + address})
	topic := newTopic(t, b, 1)
	_, err = b.Publish(t.Context(), Message{
		Topic: topic,
		Key:   []byte("91310000MA1FL0000X"),
		Value: []byte(`{"name":"一窗"}`),
		Headers: []Header{
			{"ce_specversion", []byte("1.0")},
			{"ce_id", []byte("id-1")},
			{"ce_source", []byte("market/enterprise")},
			{"ce_type", []byte("record")},
			{"ce_subject", []byte("91310000MA1FL0000X")},
			{"ce_time", []byte("2026-03-14T01:59:26Z")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), kcat, "-C", "-b", address, "-t", topic, "-o", "beginning", "-e", "-q", "-f", `%k|%s|%h\n`)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kcat: %v: %s", err, out)
	}
	want := `91310000MA1FL0000X|{"name":"一窗"}|ce_specversion=1.0,ce_id=id-1,ce_source=market/enterprise,ce_type=record,ce_subject=91310000MA1FL0000X,ce_time=2026-03-14T01:59:26Z` + "\n"
	if string(out) != want {
		t.Errorf("kcat shows\n%swant\n%s", out, want)
	}
}

// The vectors are those of the Java client's own test (org.apache.kafka.common.utils.UtilsTest).
func TestPartitionerIsJavas(t *testing.T) {
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		for _, n := range []int{1, 4, 12} {
			r := &route{}
			for i := range n {
				r.ids = append(r.ids, i)
			}
			if got, want := r.pick([]byte(key), 5), int(hash&0x7fffffff)%n; got != want {
				t.Errorf("key %q of %d partitions: %d, Java takes %d", key, n, got, want)
			}
		}
	}
}
