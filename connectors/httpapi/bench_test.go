package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

// BenchmarkRead reads 100,000 rows of ten members in pages of 5,000 from a server in this process, and prints rows a
// second and the largest heap, the server's included.
func BenchmarkRead(b *testing.B) {
	const pages, size = 20, 5000
	bodies := make([]string, pages+1)
	for p := range pages {
		rows := make([]string, size)
		for i := range rows {
			rows[i] = fmt.Sprintf(`{"id":"%09d","name":"张三","updated_at":"2025-11-03 08:00:00","a":"陕西省宝鸡市岐山县","b":12345.67,"c":true,"d":null,"e":"x","f":1,"g":"y"}`, p*size+i)
		}
		bodies[p] = `{"data":[` + strings.Join(rows, ",") + `]}`
	}
	bodies[pages] = `{"data":[]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		_, _ = w.Write([]byte(bodies[page-1]))
	}))
	defer server.Close()
	def := connectortest.Definition(connectors.KindHTTP)
	def.Batch = size
	def.HTTP = &connectors.HTTP{URL: server.URL, Paging: connectors.PagingNumber, Records: "data", PageParam: "page", SizeParam: "size", Size: size}
	var peak uint64
	rows := 0
	for b.Loop() {
		src, err := New(def, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
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
		if err := src.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
}
