package analytics

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

const benchRecords = 600_000

// registerRecord is the i'th record of a register, about 500 bytes of payload.
func registerRecord(i int) exchange.Record {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
	return record("market.enterprise", exchange.Register, fmt.Sprintf("91%016d", i), at, fmt.Sprintf(
		`{"uscc":"91%016d","name":"Enterprise %d","address":"Street %d, Number %d","scope":%q}`, i, i, i%977, i%211, strings.Repeat(fmt.Sprintf("goods %x, ", i*2654435761), 22)))
}

// fill publishes the records of a stream to a new log.
func fill(b *testing.B, n int, at func(int) exchange.Record) *bus.Bus {
	b.Helper()
	feed := openBus(b)
	for _, topic := range []string{"records.market.enterprise", "records.hall.case", "records.hall.rating", "records.hall.ticket"} {
		if err := feed.EnsureTopic(b.Context(), topic, bus.TopicOptions{Partitions: 4}); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; i < n; i += 5000 {
		var chunk []bus.Message
		for j := i; j < min(n, i+5000); j++ {
			chunk = append(chunk, at(j).Event())
		}
		if _, err := feed.Publish(b.Context(), chunk...); err != nil {
			b.Fatal(err)
		}
	}
	return feed
}

func measureSink(b *testing.B, feed *bus.Bus, cfg Config, n int) {
	b.Helper()
	s := openStore(b, cfg)
	started, used := time.Now(), processorTime(b)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.RunSink(ctx, feed) }()
	for {
		var positions int64
		for _, topic := range []string{"market.enterprise", "hall.case", "hall.rating", "hall.ticket"} {
			for partition := range 4 {
				_, end, err := feed.Bounds(ctx, exchange.TopicOf(topic), partition)
				if err != nil {
					b.Fatal(err)
				}
				if end > 0 {
					if err := s.WaitStored(ctx, topic, []bus.Position{{Partition: partition, Offset: end - 1}}); err != nil {
						b.Fatal(err)
					}
				}
				positions += end
			}
		}
		if positions >= int64(n) {
			break
		}
	}
	b.ReportMetric(float64(n)/time.Since(started).Seconds(), "records/s")
	b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(n), "cpu-µs/record")
	b.ReportMetric(residentMiB(b), "MiB-resident")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// processorTime is what this process has used, which says more than the clock on a machine that others use too.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMiB is what this process, log, engine and benchmark, has in memory now.
func residentMiB(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0 // not Linux
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

func BenchmarkSinkRegister(b *testing.B) {
	requireEngine(b)
	feed := fill(b, benchRecords, registerRecord)
	for b.Loop() {
		measureSink(b, feed, config(b), benchRecords)
	}
}

func BenchmarkSinkCases(b *testing.B) {
	requireEngine(b)
	feed := fill(b, benchRecords, caseRecord)
	for b.Loop() {
		measureSink(b, feed, config(b), benchRecords)
	}
}

// BenchmarkGuard measures what the guard costs for 10,000 new ids, and for 10,000 that are all stored.
func BenchmarkGuard(b *testing.B) {
	s := openStore(b, config(b))
	const n = 300_000
	g := &guard{}
	if err := s.loadGuard(b.Context(), g); err != nil {
		b.Fatal(err)
	}
	all := make([]item, 0, n+10_000)
	for i := range n + 10_000 {
		all = append(all, decode(registerRecord(i).Event()))
	}
	for i := 0; i < n; i += 20_000 {
		in := intent{epoch: 1, first: int64(i), last: int64(i + 19_999)}
		p := position{topic: "records.market.enterprise", epoch: 1}
		if err := s.insertRecords(b.Context(), p, in, in.token(p), all[i:i+20_000]); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		items []item
	}{{"new", all[n:]}, {"stored", all[100_000:110_000]}} {
		b.Run(c.name, func(b *testing.B) {
			g := &guard{}
			if err := s.loadGuard(b.Context(), g); err != nil {
				b.Fatal(err)
			}
			var found offsets
			for b.Loop() {
				var err error
				if found, err = s.duplicates(b.Context(), g, "market.enterprise", c.items); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(found)), "duplicates")
		})
	}
}

// BenchmarkLookup compares lookups one by one with 64 callers at once.
func BenchmarkLookup(b *testing.B) {
	s := openStore(b, config(b))
	const n = 100_000
	for i := 0; i < n; i += 20_000 {
		var items []item
		for j := i; j < i+20_000; j++ {
			items = append(items, decode(registerRecord(j).Event()))
		}
		in := intent{epoch: 1, first: int64(i), last: int64(i + 19_999)}
		p := position{topic: "records.market.enterprise", epoch: 1}
		if err := s.insertRecords(b.Context(), p, in, in.token(p), items); err != nil {
			b.Fatal(err)
		}
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var next sync.Mutex
			left, at, used := b.N, 0, processorTime(b)
			var group sync.WaitGroup
			for range callers {
				group.Go(func() {
					for {
						next.Lock()
						left--
						at += 7919
						i := at % n
						over := left < 0
						next.Unlock()
						if over {
							return
						}
						if got, err := s.Lookup(b.Context(), "market.enterprise", []string{fmt.Sprintf("91%016d", i)}); err != nil || len(got) != 1 {
							b.Errorf("%d records, %v", len(got), err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
			b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/lookup")
		})
	}
}
