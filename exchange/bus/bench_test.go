package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const benchTopic = "bench"

func benchBus(b *testing.B) *Bus {
	b.Helper()
	bus, err := Open(b.Context(), Config{URL: "embedded:" + b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := bus.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := bus.EnsureTopic(b.Context(), benchTopic, TopicOptions{Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	return bus
}

func benchMessages(n int) []Message {
	msgs := make([]Message, n)
	value := make([]byte, 500)
	for i := range value {
		value[i] = byte(i * 31)
	}
	for i := range msgs {
		msgs[i] = Message{Topic: benchTopic, Key: fmt.Appendf(nil, "key-%d", i), Value: value}
	}
	return msgs
}

// BenchmarkPublish prints messages of 500 bytes per second, durable (fsync), on 4 partitions.
func BenchmarkPublish(b *testing.B) {
	for _, s := range []struct{ callers, size int }{{1, 1}, {16, 1}, {1, 1000}, {8, 1000}} {
		b.Run(fmt.Sprintf("callers=%d/size=%d", s.callers, s.size), func(b *testing.B) {
			bus := benchBus(b)
			msgs := benchMessages(s.size)
			var wg sync.WaitGroup
			b.ResetTimer()
			for c := range s.callers {
				wg.Go(func() {
					for i := c; i < b.N; i += s.callers {
						if _, err := bus.Publish(b.Context(), msgs...); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*s.size)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkRead prints messages of 500 bytes per second through one Reader after the other, and through four at once.
func BenchmarkRead(b *testing.B) {
	bus := benchBus(b)
	const total = 400_000
	publishMany(b, bus, total)
	for _, parallel := range []bool{false, true} {
		b.Run(fmt.Sprintf("parallel=%t", parallel), func(b *testing.B) {
			for b.Loop() {
				readMany(b, bus, parallel)
			}
			b.ReportMetric(float64(b.N*total)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkMemory publishes and reads 600,000 messages of 500 bytes and prints the resident memory of the process at its peak.
func BenchmarkMemory(b *testing.B) {
	bus := benchBus(b)
	const total = 600_000
	for b.Loop() {
		publishMany(b, bus, total)
		readMany(b, bus, true)
	}
	b.ReportMetric(float64(total*b.N)/b.Elapsed().Seconds(), "msg/s")
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc here: ", err)
	}
	var kb int64
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &kb); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(kb)/1024, "peak-MiB")
}

func publishMany(b *testing.B, bus *Bus, total int) {
	b.Helper()
	msgs := benchMessages(1000)
	var wg sync.WaitGroup
	const callers = 8
	for range callers {
		wg.Go(func() {
			for range total / len(msgs) / callers {
				if _, err := bus.Publish(b.Context(), msgs...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func readMany(b *testing.B, bus *Bus, parallel bool) {
	b.Helper()
	var wg sync.WaitGroup
	for p := range 4 {
		read := func() {
			if err := readAll(b.Context(), bus, p); err != nil {
				b.Error(err)
			}
		}
		if parallel {
			wg.Go(read)
		} else {
			read()
		}
	}
	wg.Wait()
}

func readAll(ctx context.Context, bus *Bus, partition int) error {
	_, end, err := bus.Bounds(ctx, benchTopic, partition)
	if err != nil {
		return err
	}
	r, err := bus.Read(ctx, benchTopic, partition, 0)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); r.Offset() < end; {
		if _, err := r.Next(ctx, 10_000); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stuck at %d of %d", r.Offset(), end)
		}
	}
	return nil
}
