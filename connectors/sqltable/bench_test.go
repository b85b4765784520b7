package sqltable

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
)

// BenchmarkPostgres reads a table of 20 columns, and prints beside it how fast
// COPY writes the same columns to nowhere, which is the physical limit.
func BenchmarkPostgres(b *testing.B) {
	const total = 300_000
	db := newDepartment(b, "postgres")
	declarations, values, columns := wide()
	db.run(b, "CREATE TABLE people (id BIGINT PRIMARY KEY, updated_at TIMESTAMPTZ NOT NULL, "+declarations+")")
	db.run(b, `INSERT INTO people SELECT i, '2025-11-03'::timestamptz + i * interval '1 ms', `+values+` FROM generate_series(1, $1) i`, total)
	db.run(b, `CREATE INDEX ON people (updated_at, id)`)
	db.run(b, `ANALYZE people`)
	columns = append([]string{"id", "updated_at"}, columns...)
	for _, mode := range []connectors.Mode{connectors.Cursor, connectors.Bulk} {
		b.Run(string(mode), func(b *testing.B) {
			b.ReportAllocs()
			def := db.definition(columns...)
			def.Batch = 5000
			if def.SQL.Mode = mode; mode == connectors.Bulk {
				def.SQL.Cursor = ""
			}
			for b.Loop() {
				read, bytes := readAll(b, opened(b, def, nil))
				if read != total {
					b.Fatalf("%d rows", read)
				}
				b.SetBytes(bytes)
			}
			rate := float64(total*b.N) / b.Elapsed().Seconds()
			limit := float64(total) / copyOut(b, db.dsn, columns).Seconds()
			b.ReportMetric(rate, "rows/s")
			b.ReportMetric(limit, "rows/s-of-COPY")
			b.ReportMetric(100*rate/limit, "%-of-COPY")
		})
	}
}

// BenchmarkMariaDB reads a table of 20 columns.
func BenchmarkMariaDB(b *testing.B) {
	const total = 200_000
	db := newDepartment(b, "mariadb")
	declarations, values, columns := wide()
	db.run(b, "CREATE TABLE people (id BIGINT PRIMARY KEY, updated_at DATETIME(6) NOT NULL, "+declarations+")")
	values = strings.NewReplacer("'张三' || i", "CONCAT('张三', seq)", "i", "seq").Replace(values)
	db.run(b, `INSERT INTO people SELECT seq, '2025-11-03' + INTERVAL seq MICROSECOND, `+values+` FROM seq_1_to_200000`)
	def := db.definition(append([]string{"id", "updated_at"}, columns...)...)
	def.Batch, def.SQL.Mode, def.SQL.Cursor = 5000, connectors.Bulk, ""
	b.ReportAllocs()
	for b.Loop() {
		if read, _ := readAll(b, opened(b, def, nil)); read != total {
			b.Fatalf("%d rows", read)
		}
	}
	b.ReportMetric(float64(total*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// wide are 18 columns with values made of i.
func wide() (declarations, values string, columns []string) {
	var kinds, texts []string
	for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
		_ = i
		kinds = append(kinds, name+"1 VARCHAR(40)", name+"2 NUMERIC(18,2)", name+"3 DATE")
		texts = append(texts, "'张三' || i", "i * 1.25", "'2025-11-03'")
		columns = append(columns, name+"1", name+"2", name+"3")
	}
	return strings.Join(kinds, ", "), strings.ReplaceAll(strings.Join(texts, ", "), "'2025-11-03'", "CAST('2025-11-03' AS DATE)"), columns
}

func readAll(b *testing.B, src *source) (rows int, bytes int64) {
	b.Helper()
	for {
		batch, err := src.Read(b.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			return rows, bytes
		}
		if err != nil {
			b.Fatal(err)
		}
		rows += len(batch.Rows)
		for _, row := range batch.Rows {
			bytes += int64(len(row.Raw))
		}
	}
}

func copyOut(b *testing.B, dsn string, columns []string) time.Duration {
	b.Helper()
	conn, err := pgconn.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(b.Context())) }()
	start := time.Now()
	if _, err := conn.CopyTo(b.Context(), io.Discard, "COPY (SELECT "+strings.Join(columns, ", ")+" FROM people) TO STDOUT"); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}
