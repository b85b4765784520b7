package binlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// BenchmarkStream reads changes of 20 columns from the log, beside receiving the same events without looking into them.
func BenchmarkStream(b *testing.B) {
	const n = 100_000
	db := newDepartment(b)
	columns := []string{"id INT PRIMARY KEY"}
	names := []string{"id"}
	values := []string{"%d"}
	for i := range 19 {
		kind, value := "VARCHAR(40)", "'张三 %d'"
		switch i % 5 {
		case 1:
			kind, value = "DECIMAL(18,2)", "%d.25"
		case 2:
			kind, value = "DATETIME(6)", "'2025-11-03 08:00:00.%06d'"
		case 3:
			kind, value = "BIGINT", "%d"
		case 4:
			kind, value = "VARCHAR(40) CHARACTER SET gbk", "'李四 %d'"
		}
		name := fmt.Sprintf("c%d", i)
		columns, names, values = append(columns, name+" "+kind), append(names, name), append(values, value)
	}
	db.run(b, "CREATE TABLE people ("+strings.Join(columns, ", ")+")")
	def := db.definition(b, "people", names...)
	def.Batch = 5000
	src := opened(b, def, nil)
	batches := readAll(b, src)
	start := batches[len(batches)-1].Position
	for first := 0; first < n; first += 500 {
		rows := make([]string, 500)
		for i := range rows {
			numbers := make([]any, len(values))
			for k := range numbers {
				numbers[k] = first + i
			}
			rows[i] = fmt.Sprintf("("+strings.Join(values, ",")+")", numbers...)
		}
		db.run(b, "INSERT INTO people VALUES "+strings.Join(rows, ","))
	}
	p, err := parsePosition(start)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		total := 0
		for b.Loop() {
			if err := src.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := src.Open(b.Context(), start); err != nil {
				b.Fatal(err)
			}
			for got := 0; got < n; {
				batch, err := src.Read(b.Context())
				if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
					b.Fatal(err)
				}
				got += len(batch.Rows)
				total += len(batch.Rows)
			}
		}
		b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "changes/s")
	})
	if err := src.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("receive", func(b *testing.B) {
		total := 0
		end := src.saved
		for b.Loop() {
			conn, err := src.target.connect(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			d, err := startDump(b.Context(), conn, def.Log.ServerID, p.place, 0, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			for d.at.before(end) {
				if _, err := d.next(b.Context(), time.Second); err != nil && !errors.Is(err, errQuiet) {
					b.Fatal(err)
				}
			}
			d.close()
			total += n
		}
		b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "changes/s")
	})
}
