package pglog

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// BenchmarkStream prints how many changes of 20 columns a second Read gives,
// the server's work included, beside receiving the same bytes without looking at them.
func BenchmarkStream(b *testing.B) {
	const total = 200_000
	columns := []string{"id"}
	create, values := []string{"id bigint PRIMARY KEY"}, []string{"g"}
	for i := 1; i < 20; i++ {
		name := fmt.Sprintf("c%d", i)
		columns = append(columns, name)
		switch i % 4 {
		case 0:
			create, values = append(create, name+" timestamptz"), append(values, "now()")
		case 1:
			create, values = append(create, name+" numeric(18,2)"), append(values, "g * 1.25")
		case 2:
			create, values = append(create, name+" text"), append(values, "'张三 ' || g")
		default:
			create, values = append(create, name+" integer"), append(values, "g")
		}
	}
	for _, rows := range []int{total, 100} {
		b.Run(fmt.Sprintf("%d rows a transaction", rows), func(b *testing.B) {
			d := newDepartment(b, `CREATE TABLE people (`+strings.Join(create, ", ")+`)`)
			def := d.definition(columns...)
			def.Batch = 5000
			src := d.follow(b, def, nil)
			drain(b, src)
			position, err := src.at.encode()
			if err != nil {
				b.Fatal(err)
			}
			if err := src.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			for from := 1; from <= total; from += rows {
				d.exec(b, fmt.Sprintf(`INSERT INTO people SELECT %s FROM generate_series(%d, %d) g`, strings.Join(values, ", "), from, from+rows-1))
			}
			for b.Loop() {
				src := d.follow(b, def, position)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start, n := time.Now(), 0
				for n < total {
					batch, err := src.Read(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					n += len(batch.Rows)
				}
				took := time.Since(start)
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(n)/took.Seconds(), "changes/s")
				b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/change")
				if err := src.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				raw(b, d, def, position, total)
			}
		})
	}
}

// BenchmarkSnapshot prints how many rows of a quiet table a second come in chunks beside the stream.
func BenchmarkSnapshot(b *testing.B) {
	const total = 200_000
	for b.Loop() {
		d := newDepartment(b, `CREATE TABLE people (id bigint PRIMARY KEY, name text, a integer, c numeric(18,2), at timestamptz)`,
			fmt.Sprintf(`INSERT INTO people SELECT g, '张三 ' || g, g, g * 1.25, now() FROM generate_series(1, %d) g`, total))
		def := d.definition("id", "name", "a", "c", "at")
		def.Batch = 5000
		src := d.follow(b, def, nil)
		start := time.Now()
		if n := len(rowsOf(drain(b, src))); n != total {
			b.Fatalf("%d rows", n)
		}
		b.ReportMetric(total/time.Since(start).Seconds(), "rows/s")
	}
}

// raw receives the same changes and only counts them.
func raw(b *testing.B, d *department, def connectors.Definition, position []byte, total int) {
	src := d.follow(b, def, position)
	start, n := time.Now(), 0
	for n < total {
		message, err := src.wire.next(b.Context(), time.Now().Add(time.Second))
		if err != nil && !errors.Is(err, errQuiet) {
			b.Fatal(err)
		}
		if len(message) > 25 && message[0] == 'w' && message[25] == 'I' {
			n++
		}
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "raw/s")
	if err := src.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
