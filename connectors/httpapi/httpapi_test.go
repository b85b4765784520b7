package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange"
)

const token = "secret-token"

// department is a department's interface: rows in pages, for those who have the token.
type department struct {
	paging string
	mu     sync.Mutex
	rows   []string // JSON
	stamps []string // updated_at of the rows
	down   bool
}

// rowsPerPage is the size of pages of the suite.
const rowsPerPage = 9

func (d *department) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	query := r.URL.Query()
	size, err := strconv.Atoi(query.Get("size"))
	if err != nil || query.Get("unit") != "民政" {
		http.Error(w, "bad query", http.StatusBadRequest)
		return
	}
	from := 0
	switch number := query.Get("page") + query.Get("after"); {
	case d.paging == connectors.PagingSince:
		// Rows of the same instant come again: many interfaces mean "since" so. No more than size at a time.
		for from < len(d.stamps) && d.stamps[from] < query.Get("since") {
			from++
		}
	case d.paging == connectors.PagingNumber:
		page, err := strconv.Atoi(number)
		if err != nil || page < 1 {
			http.Error(w, "bad page", http.StatusBadRequest)
			return
		}
		from = (page - 1) * size
	case number != "":
		if from, err = strconv.Atoi(number); err != nil {
			http.Error(w, "bad cursor", http.StatusBadRequest)
			return
		}
	}
	from = min(from, len(d.rows))
	to := min(from+size, len(d.rows))
	next := "null"
	if to < len(d.rows) {
		next = fmt.Sprintf(`"%d"`, to)
		if d.paging == connectors.PagingLink {
			query.Set("after", strconv.Itoa(to))
			w.Header().Add("Link", `</rows?unit=x>; rel="first", <`+r.URL.Path+"?"+query.Encode()+`>; title="a, b"; rel="last next"`)
		}
	}
	body := fmt.Sprintf(`{"total": %d, "result": {"data": [%s], "next": %s}, "unused": {"a": [1]}}`, len(d.rows), strings.Join(d.rows[from:to], ", "), next)
	if d.down { // breaks off in the middle of the answer
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	_, _ = w.Write([]byte(body))
}

func (d *department) add(rows ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = append(d.rows, rows...)
}

func (d *department) setDown(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
}

func TestSuite(t *testing.T) {
	for _, paging := range []string{connectors.PagingNumber, connectors.PagingCursor, connectors.PagingLink, connectors.PagingSince} {
		t.Run(paging, func(t *testing.T) {
			connectortest.Run(t, func(t *testing.T) connectortest.System { return system(t, paging) })
		})
	}
}

func system(t *testing.T, paging string) connectortest.System {
	d := &department{paging: paging}
	def := definition(t, d)
	def.HTTP.Paging = paging
	if paging == connectors.PagingSince {
		def.HTTP.PageParam = ""
	}
	if paging == connectors.PagingLink {
		def.HTTP.Next = ""
	}
	return connectortest.System{
		Definition: def, Construct: New,
		Append: func(t *testing.T, rows []connectortest.Row) {
			for _, r := range rows {
				text, err := json.Marshal(map[string]string{"id": r.ID, "name": r.Name, "updated_at": r.UpdatedAt})
				if err != nil {
					t.Fatal(err)
				}
				d.mu.Lock()
				d.stamps = append(d.stamps, r.UpdatedAt)
				d.mu.Unlock()
				d.add(string(text))
			}
		},
		AppendBad: func(*testing.T) {
			d.mu.Lock()
			if n := len(d.stamps); n > 0 {
				d.stamps = append(d.stamps, d.stamps[n-1])
			}
			d.mu.Unlock()
			d.add("{\"id\": \"\xc4\xe3\"}")
		},
		Cut: func(*testing.T) func() {
			d.setDown(true)
			return func() { d.setDown(false) }
		},
	}
}

func definition(t *testing.T, handler http.Handler) connectors.Definition {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	def := connectortest.Definition(connectors.KindHTTP)
	def.HTTP = &connectors.HTTP{
		URL: server.URL + "/rows?unit=%E6%B0%91%E6%94%BF", Paging: connectors.PagingNumber, Size: rowsPerPage, Records: "result.data",
		PageParam: "page", SizeParam: "size", CursorParam: "after", Next: "result.next", SinceParam: "since", SinceColumn: "updated_at",
		Overlap: time.Hour, TokenFile: secretFile(t, token),
	}
	return def
}

// simple is the definition of an interface that answers with {"data": …} to anybody.
func simple(t *testing.T, paging string, handler http.HandlerFunc) connectors.Definition {
	t.Helper()
	def := definition(t, handler)
	one := 1
	def.HTTP.Paging, def.HTTP.Records, def.HTTP.Next, def.HTTP.FirstPage = paging, "data", "next", &one
	if paging == connectors.PagingLink {
		def.HTTP.Next = ""
	}
	if paging == connectors.PagingSince {
		def.HTTP.PageParam, def.HTTP.SizeParam = "", ""
	}
	return def
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func opened(t *testing.T, def connectors.Definition, after json.RawMessage) connectors.Source {
	t.Helper()
	src, err := New(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close(context.WithoutCancel(t.Context())) })
	return src
}

// TestBadAnswers checks that each kind of wrong answer has its code, is told in
// words, and reports whether somebody has to act (ErrRefused) or may hope (ErrNotConnected).
func TestBadAnswers(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	header := func(name, value string, then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			then(w, r)
		}
	}
	page := func(n int) string {
		return `{"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"a"},`, n), ",") + `]}`
	}
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 400 { // 400 MiB in 400 KB
			if _, err := z.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		code    connectors.FaultCode
		kind    error
		want    string
	}{
		{"html", answer(200, "\n<!DOCTYPE html><html>"), connectors.FaultNotJSON, connectors.ErrRefused, "login page"},
		{"no JSON", answer(200, "OK"), connectors.FaultNotJSON, connectors.ErrRefused, "not JSON"},
		{"nothing", answer(200, ""), connectors.FaultNotJSON, connectors.ErrRefused, "not JSON"},
		{"cut JSON", answer(200, `{"data": [{"id": 1}`), connectors.FaultNotJSON, connectors.ErrRefused, "unexpected end"},
		{"trailing", answer(200, `{"data": []} {}`), connectors.FaultNotJSON, connectors.ErrRefused, "not JSON"},
		{"no member", answer(200, `{"rows": [], "610323199001011234": 1}`), connectors.FaultAnswer, connectors.ErrRefused, `no member "data"; it has "rows"`},
		{"twice", answer(200, `{"data": [{"id":"a"}], "data": []}`), connectors.FaultAnswer, connectors.ErrRefused, `the member "data" twice`},
		{"null", answer(200, `{"code": 401, "msg": "令牌过期", "data": null}`), connectors.FaultAnswer, connectors.ErrRefused, `not an array; it says code "401", msg "令牌过期"`},
		{"unauthorized", answer(401, ""), connectors.FaultCredentials, connectors.ErrRefused, "401 Unauthorized; is the token"},
		{"forbidden", answer(403, ""), connectors.FaultCredentials, connectors.ErrRefused, "403 Forbidden; is the token"},
		{"not found", answer(404, ""), connectors.FaultTable, connectors.ErrRefused, "404 Not Found; is the url right?"},
		{"redirect", answer(302, ""), connectors.FaultAnswer, connectors.ErrRefused, "302 Found; redirects are not followed"},
		{"teapot", answer(418, ""), connectors.FaultAnswer, connectors.ErrRefused, "418"},
		{"broken", answer(500, ""), connectors.FaultAnswer, connectors.ErrNotConnected, "500"},
		{"busy", answer(503, "later"), connectors.FaultBusy, connectors.ErrNotConnected, "503 Service Unavailable"},
		{"busy for long", header("Retry-After", "3600", answer(429, "")), connectors.FaultBusy, connectors.ErrNotConnected, "left alone for 1h0m0s"},
		{"busy twice", header("Retry-After", "0", answer(429, "")), connectors.FaultBusy, connectors.ErrNotConnected, "429 Too Many Requests"},
		{"too many rows", answer(200, page(10)), connectors.FaultAnswer, connectors.ErrRefused, "10 rows although 9"},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, connectors.FaultUnreachable, connectors.ErrNotConnected, "page 1 of http://127.0.0.1"},
		{"too slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, connectors.FaultSlow, connectors.ErrNotConnected, "longer than limits.query_time"},
		{"too large", answer(200, strings.Repeat(" ", maxBody+1)), connectors.FaultTooLarge, connectors.ErrRefused, "larger than 16 MiB"},
		{"gzip bomb", bomb, connectors.FaultTooLarge, connectors.ErrRefused, "larger than 16 MiB"},
		{"unasked compression", header("Content-Encoding", "br", answer(200, page(1))), connectors.FaultAnswer, connectors.ErrRefused, `compressed by "br"`},
		{"unknown charset", header("Content-Type", "application/json; charset=ebcdic", answer(200, page(1))), connectors.FaultAnswer, connectors.ErrRefused, `"ebcdic"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			def := simple(t, connectors.PagingNumber, test.handler)
			if test.name == "too slow" {
				def.Limits.QueryTime = 50 * time.Millisecond
			}
			_, err := opened(t, def, nil).Read(t.Context())
			expectFault(t, err, test.code, test.kind, test.want)
			if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "unit") || strings.Contains(err.Error(), "610323") {
				t.Errorf("%v says more than it should", err)
			}
		})
	}
}

func expectFault(t *testing.T, err error, code connectors.FaultCode, kind error, want string) {
	t.Helper()
	var fault *connectors.Fault
	if !errors.As(err, &fault) || fault.Code != code || !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v; want %s, %v with %q", err, code, kind, want)
	}
}

// TestBusyOnce checks that a short pause that the server asks for is kept, and the page then read.
func TestBusyOnce(t *testing.T) {
	asked := 0
	def := simple(t, connectors.PagingNumber, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"data":[{"id":"a"}]}`))
	})
	if batch, err := opened(t, def, nil).Read(t.Context()); err != nil || len(batch.Rows) != 1 || asked != 3 { // the last time for a page behind
		t.Errorf("%d rows, %v, asked %d times", len(batch.Rows), err, asked)
	}
}

// TestCharset reads an answer in GBK: second bytes that look like backslashes and brackets, and one invalid row.
func TestCharset(t *testing.T) {
	rows := []string{`{"id":"1","name":"誠信\\誠"}`, `{"id":"2","name":"乗乕乗"}`, `{"id":"3","name":"` + "\xff" + `"}`, `{"id":"4","name":"张三"}`}
	body, err := simplifiedchinese.GBK.NewEncoder().String(`{"数据":{"行":[` + strings.Join(append(rows[:2:2], rows[3]), ",") + `]}}`)
	if err != nil {
		t.Fatal(err)
	}
	body = strings.Replace(body, `,{"id":"4"`, ","+rows[2]+`,{"id":"4"`, 1)
	if !strings.Contains(body, "\xd5\\") || !strings.Contains(body, "\x81\\") {
		t.Fatalf("no second byte looks like a backslash in %q", body)
	}
	def := simple(t, connectors.PagingNumber, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", `application/json;charset="GB2312"`)
		_, _ = w.Write([]byte(body))
	})
	def.HTTP.Records = "数据.行"
	batch, err := opened(t, def, nil).Read(t.Context())
	if err != nil || len(batch.Rows) != 4 {
		t.Fatalf("%d rows, %v", len(batch.Rows), err)
	}
	for i, want := range []string{`誠信\誠`, "乗乕乗", "", "张三"} {
		row := batch.Rows[i]
		if want == "" {
			if row.Rejection == nil || row.Rejection.Rule != exchange.RuleEncoding || !bytes.Equal(row.Raw, []byte(rows[2])) {
				t.Errorf("row %d: %+v", i, row)
			}
			continue
		}
		if row.Rejection != nil || row.Values[1].Text != want {
			t.Errorf("row %d: %+v; want %q", i, row, want)
		}
	}
}

// TestScan reads everything, and a range of keys, whatever the paging, without having been opened.
func TestScan(t *testing.T) {
	for _, paging := range []string{connectors.PagingNumber, connectors.PagingCursor, connectors.PagingLink, connectors.PagingSince} {
		t.Run(paging, func(t *testing.T) {
			s := system(t, paging)
			s.Append(t, connectortest.Rows(0, 40))
			src, err := New(s.Definition, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			scan := func(r connectors.KeyRange) (keys []string) {
				err := src.(connectors.Scanner).Scan(t.Context(), r, func(rows []connectors.Row) error {
					for _, row := range rows {
						keys = append(keys, strings.Join(row.Key, "/"))
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				return keys
			}
			if got := scan(connectors.KeyRange{}); len(got) != 40 || got[39] != "id-000039" {
				t.Errorf("all: %q", got)
			}
			if got := scan(connectors.KeyRange{From: []string{"id-000007"}, To: []string{"id-000009"}}); strings.Join(got, " ") != "id-000007 id-000008 id-000009" {
				t.Errorf("a range: %q", got)
			}
			stop := errors.New("enough")
			if err := src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return stop }); !errors.Is(err, stop) {
				t.Errorf("yield failed: %v", err)
			}
		})
	}
}
