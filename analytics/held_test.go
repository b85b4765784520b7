package analytics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// from is record with a source.
func from(source string, r exchange.Record) exchange.Record {
	r.Source = source
	return r
}

// insertNow stores records as one part, as the sink does.
func insertNow(t testing.TB, s *Store, first int, records ...exchange.Record) {
	t.Helper()
	items := make([]item, len(records))
	for i, r := range records {
		m := r.Event()
		m.Offset = int64(first + i)
		if items[i] = decode(m); items[i].record == nil {
			t.Fatalf("%+v: %s", r, items[i].rejected.Detail)
		}
	}
	i := intent{epoch: 1, first: int64(first), last: int64(first + len(records) - 1)}
	p := position{topic: exchange.TopicOf(records[0].Resource), epoch: 1}
	if err := s.insertRecords(context.Background(), p, i, i.token(p), items); err != nil {
		t.Fatal(err)
	}
}

// heldModel is what sources hold by the rule that the newest event time wins, and at one time the last in the log, in Go.
type heldModel map[string]exchange.Record

func (m heldModel) take(records ...exchange.Record) {
	for _, r := range records {
		if old, ok := m[r.Key]; !ok || !r.EventTime.Before(old.EventTime) {
			m[r.Key] = r
		}
	}
}

// keys are the records of a source, and the keys that are deleted, whoever deleted them.
func (m heldModel) keys(source string) map[string]exchange.HeldKey {
	out := map[string]exchange.HeldKey{}
	for key, r := range m {
		switch {
		case r.Operation == exchange.Delete:
			out[key] = exchange.HeldKey{Key: key, EventTime: r.EventTime, Deleted: true}
		case r.Source == source:
			high, low := exchange.HeldHash(key, r.Payload)
			out[key] = exchange.HeldKey{Key: key, High: high, Low: low, EventTime: r.EventTime}
		}
	}
	return out
}

func sumsOf(keys map[string]exchange.HeldKey, buckets int) []exchange.HeldSum {
	out := make([]exchange.HeldSum, buckets)
	for i := range out {
		out[i].Bucket = i
	}
	for key, k := range keys {
		if !k.Deleted {
			out[exchange.HeldBucket(key, buckets)].Add(k.High, k.Low)
		}
	}
	return out
}

// heldKeys collects what HeldKeys yields and fails the test when a key comes twice.
func heldKeys(t testing.TB, s *Store, resource, source string, buckets int, wanted []int) map[string]exchange.HeldKey {
	t.Helper()
	out := map[string]exchange.HeldKey{}
	if err := s.HeldKeys(t.Context(), resource, source, buckets, wanted, func(k exchange.HeldKey) error {
		if _, twice := out[k.Key]; twice {
			t.Errorf("key %q comes twice", k.Key)
		}
		out[k.Key] = k
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// sameHeld compares what the store says of a source with the model, in sums and by key.
func sameHeld(t *testing.T, s *Store, m heldModel, resource, source string) {
	t.Helper()
	want := m.keys(source)
	for _, buckets := range []int{1, 7, 256, exchange.MaxHeldBuckets} {
		got, err := s.HeldSums(t.Context(), resource, source, buckets)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, sumsOf(want, buckets)) {
			t.Errorf("%s in %d buckets: the sums differ", source, buckets)
		}
	}
	if got := heldKeys(t, s, resource, source, exchange.MaxHeldBuckets, upTo(exchange.MaxHeldBuckets)); !maps.Equal(got, want) {
		t.Errorf("%s: %d keys, want %d, or they differ", source, len(got), len(want))
	}
	wanted := []int{6, 2, 2}
	some := maps.Clone(want)
	maps.DeleteFunc(some, func(key string, _ exchange.HeldKey) bool {
		return !slices.Contains(wanted, exchange.HeldBucket(key, 7))
	})
	if got := heldKeys(t, s, resource, source, 7, wanted); !maps.Equal(got, some) {
		t.Errorf("%s: %d keys in buckets 2 and 6 of 7, want %d, or they differ", source, len(got), len(some))
	}
}

// heldKey is one of 400 odd keys: Chinese, bytes that are no text, quotes, zero bytes, as long as a key may be.
func heldKey(random *rand.Rand) string {
	n := random.IntN(400)
	switch n % 8 {
	case 0:
		return fmt.Sprintf("居民·张伟%d", n)
	case 1:
		return fmt.Sprintf("it's \\ a\tkey\n%d", n)
	case 2:
		return fmt.Sprintf("zero\x00byte%d", n)
	case 3:
		return fmt.Sprintf("\xff\xfe\xd5\xc5%d", n)
	case 4:
		return strings.Repeat("长", 84) + fmt.Sprintf("%04d", n)
	}
	return fmt.Sprintf("61092419%010d", n)
}

// heldPayload is an object, now and then a long one, one with Chinese text, or nothing at all.
func heldPayload(random *rand.Rand) string {
	switch random.IntN(6) {
	case 0:
		return fmt.Sprintf(`{"name":"紫阳县\u0000富硒茶","n":%d}`, random.IntN(1e9))
	case 1:
		return fmt.Sprintf(`{"text":%q}`, strings.Repeat(fmt.Sprint(random.IntN(1e9)), 300))
	case 2:
		return `{}`
	}
	return fmt.Sprintf(`{"amount":%d.50,"state":"open"}`, random.IntN(1e9))
}

// rangesAreWhole checks that ranges of keys, of which a large resource has many, have every key in one of them.
func rangesAreWhole(t *testing.T, s *Store, m heldModel, resource string) {
	t.Helper()
	ranges, err := s.heldRanges(t.Context(), resource, 2, 10)
	if err != nil || len(ranges) < 10 {
		t.Fatalf("%d ranges: %v", len(ranges), err)
	}
	got := map[string]int{}
	if err := s.eachHeld(t.Context(), ranges, func(keys string) string {
		return "SELECT DISTINCT key FROM records_current WHERE resource = " + quote(resource) + keys
	}, func(rows driver.Rows) error {
		var key string
		err := rows.Scan(&key)
		got[key]++
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for key := range m {
		if got[key] != 1 {
			t.Errorf("key %q is in %d ranges", key, got[key])
		}
	}
	if len(got) != len(m) {
		t.Errorf("%d keys in all ranges, want %d", len(got), len(m))
	}
}

// TestHeld compares what ClickHouse sums with the same in Go, over versions that come late or at one
// instant, deletes, and keys that go from one source to another and back: first in 60 parts, then merged into one.
func TestHeld(t *testing.T) {
	s := openStore(t, config(t))
	const resource = "police.resident"
	random := rand.New(rand.NewPCG(4, 2026))
	day := time.Date(2026, 5, 1, 0, 0, 0, 123457000, time.UTC)
	if err := s.conn.Exec(t.Context(), "SYSTEM STOP MERGES records_current"); err != nil {
		t.Fatal(err)
	}
	sources := []string{"police/registry", "police/push", "police/it's"}
	m, stored := heldModel{}, 0
	for range 60 {
		first := stored
		var batch []exchange.Record
		for range 1 + random.IntN(60) {
			stored++
			at := day.Add(time.Duration(random.IntN(20)) * time.Hour) // often two versions at one instant
			r := record(resource, exchange.Register, heldKey(random), at, heldPayload(random))
			switch random.IntN(10) {
			case 0:
				r = record(resource, exchange.Register, r.Key, at, "")
			case 1: // an upsert without payload: nobody publishes one, and yet it would be summed
				r.Payload = nil
				r.ID = exchange.RecordID(r.Resource, r.Key, r.Operation, r.EventTime, nil)
			}
			batch = append(batch, from(sources[random.IntN(len(sources))], r))
		}
		insertNow(t, s, first, batch...)
		m.take(batch...)
	}
	insertNow(t, s, 1e6, record("police.other", exchange.Register, "61092419", day, `{"of":"another resource"}`))
	parts := "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'records_current' AND active"
	if n := count(t, s, parts); n < 60 {
		t.Fatalf("%d parts: nothing is left to merge", n)
	}
	for _, source := range sources {
		if n := len(m.keys(source)); n < 50 {
			t.Fatalf("%s: only %d keys", source, n)
		}
		sameHeld(t, s, m, resource, source)
	}
	sameHeld(t, s, m, resource, "police/nobody")
	rangesAreWhole(t, s, m, resource)
	for _, statement := range []string{"SYSTEM START MERGES records_current", "OPTIMIZE TABLE records_current FINAL"} {
		if err := s.conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, parts); n != 1 {
		t.Fatalf("%d parts after merging", n)
	}
	for _, source := range sources {
		sameHeld(t, s, m, resource, source)
	}
}

// TestHeldWhileStoring compares again and again while the sink stores new versions of all keys: the sums are of one instant,
// so no key is ever counted twice or not at all.
func TestHeldWhileStoring(t *testing.T) {
	cfg := config(t)
	cfg.BatchRecords, cfg.Linger = 500, time.Millisecond
	b := openBus(t)
	cfg.Feed = b // the sink may not have begun when the log is asked
	s := openStore(t, cfg)
	const resource, source, keys, versions = "police.resident", "police/test", 1000, 30
	startSink(t, s, b)
	m := heldModel{}
	version := func(n int) []exchange.Record {
		var out []exchange.Record
		for i := range keys {
			at := time.Date(2026, 5, 1, 0, 0, n, 0, time.UTC)
			out = append(out, record(resource, exchange.Register, fmt.Sprintf("居民%04d", i), at, fmt.Sprintf(`{"i":%d,"version":%d}`, i, n)))
		}
		return out
	}
	known := map[exchange.HeldKey]bool{} // every version of every key
	for n := range versions {
		v := version(n)
		m.take(v...)
		for _, k := range m.keys(source) {
			known[k] = true
		}
	}
	publish(t, b, events(version(0)...)...)
	if err := s.StoredThrough(t.Context(), resource); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	written := make(chan struct{})
	writer.Go(func() {
		defer close(written)
		for n := 1; n < versions; n++ {
			if _, err := b.Publish(t.Context(), events(version(n)...)...); err != nil {
				t.Error(err)
				return
			}
			if err := s.StoredThrough(t.Context(), resource); err != nil {
				t.Error(err)
				return
			}
		}
	})
	rounds := 0
	for over := false; !over; rounds++ {
		select {
		case <-written:
			over = true
		default:
		}
		sums, err := s.HeldSums(t.Context(), resource, source, 16)
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for _, sum := range sums {
			n += sum.Count
		}
		if n != keys {
			t.Errorf("round %d: %d records, want %d", rounds, n, keys)
		}
		got := heldKeys(t, s, resource, source, 16, upTo(16))
		for _, k := range got {
			if k.EventTime = k.EventTime.UTC(); !known[k] {
				t.Errorf("round %d: %+v is no version of its key", rounds, k)
			}
		}
		if len(got) != keys {
			t.Errorf("round %d: %d keys, want %d", rounds, len(got), keys)
		}
	}
	writer.Wait()
	sameHeld(t, s, m, resource, source)
	t.Logf("%d comparisons while %d records were stored", rounds, keys*(versions-1))
}

func TestHeldRefuses(t *testing.T) {
	s := openStore(t, config(t))
	insertNow(t, s, 0, record("a.b", exchange.Register, "k", time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), `{}`))
	for _, c := range []struct {
		resource, source string
		buckets          int
		wanted           []int
	}{
		{"", "a/test", 1, []int{0}},
		{"a.b", "", 1, []int{0}},
		{"a.b", "a/test", 0, []int{0}},
		{"a.b", "a/test", exchange.MaxHeldBuckets + 1, []int{0}},
		{"a.b", "a/test", 4, []int{4}},
		{"a.b", "a/test", 4, []int{-1}},
	} {
		if err := s.HeldKeys(t.Context(), c.resource, c.source, c.buckets, c.wanted, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("keys of %+v: %v", c, err)
		}
		if c.buckets == 4 {
			continue
		}
		if _, err := s.HeldSums(t.Context(), c.resource, c.source, c.buckets); !errors.Is(err, ErrInvalid) {
			t.Errorf("sums of %+v: %v", c, err)
		}
	}
	enough := errors.New("enough")
	if err := s.HeldKeys(t.Context(), "a.b", "a/test", 1, []int{0}, func(exchange.HeldKey) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of yield: %v", err)
	}
	if got := heldKeys(t, s, "a.b", "a/test", 4, nil); len(got) != 0 {
		t.Errorf("no buckets wanted: %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.HeldSums(ended, "a.b", "a/test", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("sums after the end: %v", err)
	}
}

func TestStoredThrough(t *testing.T) {
	cfg := config(t)
	s, b := openStore(t, cfg), openBus(t)
	const resource = "police.resident"
	r := record(resource, exchange.Register, "k", time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), `{}`)
	publish(t, b, r.Event())
	if err := s.StoredThrough(t.Context(), resource); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a log: %v", err)
	}
	cfg.Feed = b
	elsewhere := openStore(t, cfg) // a process that runs no sink
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := elsewhere.StoredThrough(soon, resource); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while nothing stores: %v", err)
	}
	if err := elsewhere.StoredThrough(t.Context(), "police.nothing"); !errors.Is(err, bus.ErrUnknownTopic) {
		t.Errorf("without a topic: %v", err)
	}
	startSink(t, s, b)
	for _, store := range []*Store{elsewhere, s} { // the first shows that the sink runs
		if err := store.StoredThrough(t.Context(), resource); err != nil {
			t.Fatal(err)
		}
		sums, err := store.HeldSums(t.Context(), resource, "police/test", 1)
		if err != nil || sums[0].Count != 1 {
			t.Errorf("%+v, %v", sums, err)
		}
	}
}

// BenchmarkHeld is a comparison of a million records of 300 bytes: the sums, and the keys of some buckets.
func BenchmarkHeld(b *testing.B) {
	s := openStore(b, config(b))
	const n, chunk, resource, source = 1_000_000, 20_000, "market.enterprise", "market/test"
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < n; i += chunk {
		records := make([]exchange.Record, chunk)
		for j := range records {
			records[j] = record(resource, exchange.Register, fmt.Sprintf("91%016d", random.IntN(1e15)), at.Add(time.Duration(i+j)*time.Second),
				fmt.Sprintf(`{"name":"紫阳富硒茶合作社 %d","address":"Street %d","scope":"%0230d"}`, i+j, j%977, random.Int64()))
		}
		insertNow(b, s, i, records...)
	}
	parts := count(b, s, "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'records_current' AND active")
	for _, buckets := range []int{256, exchange.MaxHeldBuckets} {
		b.Run(fmt.Sprintf("sums/buckets=%d", buckets), func(b *testing.B) {
			used := processorTime(b)
			for b.Loop() {
				sums, err := s.HeldSums(b.Context(), resource, source, buckets)
				if err != nil {
					b.Fatal(err)
				}
				var held int64
				for _, sum := range sums {
					held += sum.Count
				}
				if held != n {
					b.Fatalf("%d records in all buckets, want %d", held, n)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric((processorTime(b)-used).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(parts), "parts")
		})
	}
	for _, wanted := range []int{3, 1000, exchange.MaxHeldBuckets} {
		b.Run(fmt.Sprintf("keys/wanted=%d", wanted), func(b *testing.B) {
			keys := 0
			for b.Loop() {
				keys = 0
				if err := s.HeldKeys(b.Context(), resource, source, exchange.MaxHeldBuckets, upTo(wanted), func(exchange.HeldKey) error { keys++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(keys), "keys")
		})
	}
}
