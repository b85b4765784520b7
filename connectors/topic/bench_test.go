package topic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange/bus"
)

// BenchmarkRead reads 200,000 messages of 150 bytes in four partitions from an embedded broker, and prints rows a
// second and the largest heap, the broker's included.
func BenchmarkRead(b *testing.B) {
	shared, err := bus.Open(b.Context(), bus.Config{URL: "embedded:" + b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = shared.Close() }()
	if err := shared.EnsureTopic(b.Context(), "t", bus.TopicOptions{Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	const count = 200_000
	for from := 0; from < count; from += 5000 {
		messages := make([]bus.Message, 5000)
		for i := range messages {
			key := fmt.Sprintf("%09d", from+i)
			messages[i] = bus.Message{Topic: "t", Key: []byte(key), Value: fmt.Appendf(nil, `{"id":%q,"name":"张三","updated_at":"2025-11-03 08:00:00","a":"陕西省宝鸡市岐山县","b":12345.67,"c":true,"d":null,"e":"x"}`, key)}
		}
		if _, err := shared.Publish(b.Context(), messages...); err != nil {
			b.Fatal(err)
		}
	}
	decoder, err := charset.New(charset.UTF8)
	if err != nil {
		b.Fatal(err)
	}
	def := connectortest.Definition(connectors.KindTopic)
	def.Batch = 5000
	def.Topic = &connectors.Topic{URLFile: file(b, "kafka://embedded:1"), Topic: "t", Charset: charset.UTF8}
	var peak uint64
	rows := 0
	for b.Loop() {
		src := &source{
			def: def, cfg: def.Topic, log: slog.New(slog.DiscardHandler), now: time.Now, rows: newRowMaker(def.Map, decoder), shared: true, told: map[int]int64{},
			open: func(context.Context, bus.Config) (*bus.Bus, error) { return shared, nil },
		}
		if err := src.Open(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
		for {
			batch, err := src.Read(b.Context())
			if errors.Is(err, connectors.ErrCaughtUp) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			rows += len(batch.Rows)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
}
