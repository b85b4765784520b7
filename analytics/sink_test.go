package analytics

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// feeds are the logs that the sink is tested with, each with the name of a department that no earlier run used.
func feeds(t *testing.T, test func(t *testing.T, feed *bus.Bus, department string)) {
	t.Run("embedded", func(t *testing.T) { test(t, openBus(t), "market") })
	t.Run("kafka", func(t *testing.T) {
		address := need(t, "ONEWINDOW_TEST_KAFKA", "Apache Kafka")
		if !strings.Contains(address, "://") {
			address = "kafka://" + address
		}
		test(t, openBusAt(t, address), "d"+strings.ToLower(rand.Text()[:10]))
	})
}

func TestSinkStoresOnce(t *testing.T) {
	feeds(t, func(t *testing.T, b *bus.Bus, department string) {
		s := openStore(t, config(t))
		one, other := department+".enterprise", department+".resident"
		start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
		var records []exchange.Record
		for i := range 500 {
			records = append(records, record(one, exchange.Register, fmt.Sprintf("k%d", i), start.Add(time.Duration(i)*time.Second), fmt.Sprintf(`{"n":%d}`, i)))
		}
		publish(t, b, events(records...)...)
		startSink(t, s, b)
		caught(t, s, b, "records."+one)
		publish(t, b, events(records[100:300]...)...)                                  // a connector that starts again
		publish(t, b, events(records[0], records[0], records[1])...)                   // twice in one batch
		publish(t, b, events(record(other, exchange.Register, "new", start, `{}`))...) // a topic that appears later
		caught(t, s, b, "records."+one, "records."+other)
		report, err := s.Storage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mine := map[string]ResourceReport{}
		for _, r := range report.Resources {
			mine[r.Resource] = r
		}
		if got, want := mine[one], (ResourceReport{Resource: one, Rows: 500, Distinct: 500}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got, want := mine[other], (ResourceReport{Resource: other, Rows: 1, Distinct: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if report.Duplicates != 203 {
			t.Errorf("%d duplicates, want 203", report.Duplicates)
		}
		healthy(t, s)
		n, err := b.Partitions(t.Context(), "records."+one)
		if err != nil {
			t.Fatal(err)
		}
		for partition := range n {
			_, end, err := b.Bounds(t.Context(), "records."+one, partition)
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				committed, err := b.Committed(t.Context(), Group, "records."+one, partition)
				if err == nil && max(committed, 0) == end {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("partition %d: committed %d of %d: %v", partition, committed, end, err)
					break
				}
			}
		}
	})
}

// TestLogGoesBack replaces the log by a new one that uses the old offsets again for new records.
func TestLogGoesBack(t *testing.T) {
	for name, again := range map[string]int{"shorter": 20, "longer": 300} {
		t.Run(name, func(t *testing.T) {
			s, old := openStore(t, config(t)), openBus(t)
			publish(t, old, events(caseRecords(0, 100)...)...)
			stop := startSink(t, s, old)
			caught(t, s, old, "records.hall.case", "records.hall.rating", "records.hall.ticket")
			stop()
			fresh := openBus(t)
			publish(t, fresh, events(caseRecords(90, 90+again)...)...)
			startSink(t, s, fresh)
			deadline := time.Now().Add(30 * time.Second)
			for count(t, s, "SELECT count() FROM records") < int64(90+again) && time.Now().Before(deadline) {
				time.Sleep(20 * time.Millisecond)
			}
			if got := count(t, s, "SELECT count() FROM records"); got != int64(90+again) {
				t.Errorf("%d rows, want %d", got, 90+again)
			}
			if got := count(t, s, "SELECT max(epoch) FROM records"); got != 2 {
				t.Errorf("epoch %d, want 2", got)
			}
			caught(t, s, fresh, "records.hall.case")
			healthy(t, s)
		})
	}
}

// TestIntentOfLostLog starts with an intent whose messages are nowhere any more.
func TestIntentOfLostLog(t *testing.T) {
	s, old := openStore(t, config(t)), openBus(t)
	cutShort(t, s, old)
	fresh := openBus(t)
	if err := fresh.EnsureTopic(t.Context(), "records.hall.case", bus.TopicOptions{Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	publish(t, fresh, events(record("hall.case", exchange.CaseEvent, "x/step/1", time.Now(), `{"event":"step"}`))...)
	startSink(t, s, fresh)
	deadline := time.Now().Add(30 * time.Second)
	for count(t, s, "SELECT count() FROM records WHERE epoch = 2") < 1 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	caught(t, s, fresh, "records.hall.case")
	if got := count(t, s, "SELECT count() FROM records"); got != 101 {
		t.Errorf("%d rows, want 101", got)
	}
	healthy(t, s)
}

func TestWhatIsNoEvent(t *testing.T) {
	s, b := openStore(t, config(t)), openBus(t)
	good := record("market.enterprise", exchange.Register, "good", time.Now(), `{}`)
	forged := good
	forged.Payload = []byte(`{"capital":1}`)
	elsewhere := record("police.resident", exchange.Register, "lost", time.Now(), `{}`).Event()
	elsewhere.Topic = "records.market.enterprise"
	far := record("market.enterprise", exchange.Register, "far", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), `{}`)
	rejected, err := exchange.Rejected{
		ID: strings.Repeat("ab", 32), Resource: "market.enterprise", Source: "market/x", Origin: "file:3",
		Rule: exchange.RuleMalformed, Detail: "broken", Raw: []byte{0xff, 0, 0x27}, Time: time.Now(),
	}.Event()
	if err != nil {
		t.Fatal(err)
	}
	license := bus.Message{Topic: LicensesTopic, Key: []byte("L1"), Value: []byte(`{"number":"L1"}`), Headers: []bus.Header{
		{Key: "ce_id", Value: []byte("e1")},
		{Key: "ce_type", Value: []byte("license.issued")},
		{Key: "ce_subject", Value: []byte("L1")},
		{Key: "ce_time", Value: []byte("2026-03-01T00:00:00Z")},
	}}
	publish(t, b, bus.Message{Topic: "records.market.enterprise", Value: []byte("garbage \x00\xff")}, bus.Message{Topic: "records.market.enterprise"},
		forged.Event(), elsewhere, far.Event(), good.Event(), rejected, rejected, bus.Message{Topic: exchange.RejectedTopic, Value: []byte("{")},
		license, license, bus.Message{Topic: LicensesTopic, Value: []byte("?")})
	startSink(t, s, b)
	caught(t, s, b, "records.market.enterprise", exchange.RejectedTopic)
	if err := waitTopic(t, s, b, LicensesTopic); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int64{
		"SELECT count() FROM records":                                                                                1,
		"SELECT count() FROM rejected_records FINAL WHERE rule = 'NOT_AN_EVENT'":                                     7,
		"SELECT count() FROM rejected_records FINAL WHERE raw = unhex('6761726261676520" + "00ff')":                  1,
		"SELECT count() FROM rejected_records FINAL WHERE rule = 'MALFORMED' AND raw = unhex('ff0027')":              1,
		"SELECT count() FROM license_events FINAL WHERE value = '{\"number\":\"L1\"}' AND event_time = '2026-03-01'": 1,
		"SELECT count() FROM license_events FINAL":                                                                   1,
	} {
		if got := count(t, s, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	report, err := s.Storage(t.Context())
	if err != nil || report.Rejected != 8 || report.Lag != 0 {
		t.Errorf("report %+v, %v", report, err)
	}
	healthy(t, s)
}

// waitTopic waits for a topic that is not one of a resource.
func waitTopic(t *testing.T, s *Store, b *bus.Bus, topic string) error {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		tallies, err := s.ledger.tallies(t.Context())
		if err != nil {
			return err
		}
		var stored, end int64
		for partition := range 2 {
			_, last, err := b.Bounds(t.Context(), topic, partition)
			if err != nil {
				return err
			}
			end += last
		}
		for _, at := range tallies {
			if at.topic == topic {
				stored += at.next
			}
		}
		if stored == end {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d of %d stored", topic, stored, end)
		}
	}
}

// TestOverHTTP runs the same store against a ClickHouse behind a port, and opens it twice.
func TestOverHTTP(t *testing.T) {
	cfg := config(t)
	server := httptest.NewServer(shared)
	defer server.Close()
	cfg.ClickHouse = clickhouse.Options{Addr: []string{strings.TrimPrefix(server.URL, "http://")}}
	s, b := openStore(t, cfg), openBus(t)
	publish(t, b, events(caseRecords(0, 200)...)...)
	stop := startSink(t, s, b)
	caught(t, s, b, "records.hall.case", "records.hall.rating", "records.hall.ticket")
	stop()
	again := openStore(t, cfg)
	healthy(t, again)
	if got := count(t, again, "SELECT count() FROM records"); got != 200 {
		t.Errorf("%d rows, want 200", got)
	}
	if _, err := again.Lookup(t.Context(), "hall.rating", []string{"it's \\ \x00 no key"}); err != nil {
		t.Error(err)
	}
	server.Close()
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a server that is gone: %v", err)
	}
}

func TestTrimStored(t *testing.T) {
	cfg := config(t)
	cfg.TrimStored, cfg.TrimMargin, cfg.BatchRecords = true, 50, 100
	s, b := openStore(t, cfg), openBus(t)
	publish(t, b, events(caseRecords(0, 1000)...)...)
	stop := startSink(t, s, b)
	caught(t, s, b, "records.hall.case")
	for partition := range 2 {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			first, end, err := b.Bounds(t.Context(), "records.hall.case", partition)
			if err == nil && first == end-50 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("partition %d holds %d to %d, want the last 50: %v", partition, first, end, err)
			}
		}
	}
	stop()
	startSink(t, s, b) // goes on behind what was deleted
	publish(t, b, events(caseRecords(1000, 1100)...)...)
	caught(t, s, b, "records.hall.case", "records.hall.rating", "records.hall.ticket")
	if got := count(t, s, "SELECT count() FROM records"); got != 1100 {
		t.Errorf("%d rows, want 1100", got)
	}
	healthy(t, s)
}

func FuzzDecode(f *testing.F) {
	good := record("market.enterprise", exchange.Register, "k", time.Unix(1_700_000_000, 0), `{"a":1}`).Event()
	for _, topic := range []string{good.Topic, exchange.RejectedTopic, LicensesTopic} {
		headers, err := json.Marshal(good.Headers)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(topic, good.Key, good.Value, headers)
	}
	f.Fuzz(func(t *testing.T, topic string, key, value, headers []byte) {
		m := bus.Message{Topic: topic, Key: key, Value: value, Time: time.Unix(0, 0)}
		if json.Unmarshal(headers, &m.Headers) != nil {
			return
		}
		it := decode(m)
		kinds := 0
		for _, set := range []bool{it.record != nil, it.rejected != nil, it.license != nil} {
			if set {
				kinds++
			}
		}
		if kinds != 1 || it.id == (identity{}) || it.notEvent && string(it.rejected.Raw) != string(value) {
			t.Errorf("decoded to %+v", it)
		}
		if again := decode(m); again.id != it.id {
			t.Errorf("identity changed: %x, %x", it.id, again.id)
		}
	})
}

func FuzzOffsets(f *testing.F) {
	for _, seed := range []string{"", "0", "1-3,7", "5,4", "1-", "-1", "0-9999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOffsets(text)
		if err != nil {
			return
		}
		again, err := parseOffsets(o.String())
		if err != nil || again.String() != o.String() {
			t.Errorf("%q: %v, %v: %v", text, o, again, err)
		}
	})
}
