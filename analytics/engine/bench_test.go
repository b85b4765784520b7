package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// resident is the process's resident set in MB, 0 where it is not known.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb float64
	if _, after, found := strings.Cut(string(status), "VmRSS:"); found {
		_, _ = fmt.Sscan(after, &kb)
	}
	return kb / 1024
}

// fill creates a table of records of about 500 bytes and inserts batches of
// 10,000 durably, each under its own token.
func fill(b *testing.B, conn driver.Conn, batches int) {
	b.Helper()
	payload := strings.Repeat("0123456789abcdef", 28)
	for n := range batches {
		ctx := clickhouse.Context(b.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": fmt.Sprint("batch ", n)}))
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO records")
		if err != nil {
			b.Fatal(err)
		}
		for i := range 10_000 {
			id := n*10_000 + i
			at := time.Date(2026, 1, 1, 0, 0, id, 0, time.UTC)
			if err := batch.Append(fmt.Sprintf("key-%d", id), "department-"+fmt.Sprint(id%40), at, fmt.Sprint(id*7919, payload)); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
}

func records(b *testing.B) driver.Conn {
	b.Helper()
	conn := connect(b, "")
	execute(b, conn, `CREATE TABLE records (key String, department LowCardinality(String), at DateTime64(6, 'UTC'), payload String)
		ENGINE = MergeTree ORDER BY key
		SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1`)
	return conn
}

// BenchmarkInsert inserts one batch of 10,000 records of 500 bytes per round.
func BenchmarkInsert(b *testing.B) {
	conn := records(b)
	b.ResetTimer()
	fill(b, conn, b.N)
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(resident(), "MB-resident")
}

// BenchmarkPointLookup looks records up by key among 200,000, one per query and 1,000 per query.
func BenchmarkPointLookup(b *testing.B) {
	conn := records(b)
	fill(b, conn, 20)
	for _, keys := range []int{1, 1000} {
		b.Run(fmt.Sprint(keys, "-per-query"), func(b *testing.B) {
			for n := range b.N {
				wanted := make([]string, keys)
				for i := range wanted {
					wanted[i] = fmt.Sprintf("key-%d", (n*7919+i*197)%200_000)
				}
				rows, err := conn.Query(b.Context(), "SELECT key, payload FROM records WHERE key IN {keys:Array(String)}",
					clickhouse.Named("keys", wanted))
				if err != nil {
					b.Fatal(err)
				}
				found := 0
				for rows.Next() {
					found++
				}
				if err := rows.Err(); err != nil || found != keys {
					b.Fatalf("found %d of %d: %v", found, keys, err)
				}
				_ = rows.Close()
			}
			b.ReportMetric(float64(b.N*keys)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
