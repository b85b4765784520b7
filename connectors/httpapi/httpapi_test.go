package httpapi

import (
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

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange"
)

const token = "secret-token"

// department is a department's interface: rows in pages, for those who have the token.
type department struct {
	mu   sync.Mutex
	rows []string // JSON
	down bool
}

func (d *department) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	page, perr := strconv.Atoi(r.URL.Query().Get("page"))
	size, serr := strconv.Atoi(r.URL.Query().Get("size"))
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	case perr != nil || serr != nil || page < 1 || r.URL.Query().Get("unit") != "民政":
		http.Error(w, "bad query", http.StatusBadRequest)
		return
	}
	from, to := min((page-1)*size, len(d.rows)), min(page*size, len(d.rows))
	body := fmt.Sprintf(`{"total": %d, "data": [%s], "unused": {"a": [1]}}`, len(d.rows), strings.Join(d.rows[from:to], ", "))
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
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		d := &department{}
		return connectortest.System{
			Definition: definition(t, d), Construct: New,
			Append: func(t *testing.T, rows []connectortest.Row) {
				for _, r := range rows {
					text, err := json.Marshal(map[string]string{"id": r.ID, "name": r.Name, "updated_at": r.UpdatedAt})
					if err != nil {
						t.Fatal(err)
					}
					d.add(string(text))
				}
			},
			AppendBad: func(*testing.T) { d.add("{\"id\": \"\xc4\xe3\"}") },
			Cut: func(*testing.T) func() {
				d.setDown(true)
				return func() { d.setDown(false) }
			},
		}
	})
}

func definition(t *testing.T, handler http.Handler) connectors.Definition {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "dep.token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	def := connectortest.Definition(connectors.KindHTTP)
	def.HTTP = &connectors.HTTP{
		URL: server.URL + "/rows?unit=%E6%B0%91%E6%94%BF", PageParam: "page", SizeParam: "size", Size: 9, Records: "data", TokenFile: file,
	}
	return def
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

// TestBadAnswers checks that each kind of wrong answer is told in words, and
// whether somebody has to act (ErrRefused) or may hope (ErrNotConnected).
func TestBadAnswers(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	page := func(n int) string {
		return `{"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"a"},`, n), ",") + `]}`
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		kind    error
		want    string
	}{
		{"html", answer(200, "\n<!DOCTYPE html><html>"), connectors.ErrRefused, "login page"},
		{"no JSON", answer(200, "OK"), connectors.ErrRefused, "not a JSON object"},
		{"cut JSON", answer(200, `{"data": [{"id": 1}`), connectors.ErrRefused, "not a JSON object"},
		{"trailing", answer(200, `{"data": []} {}`), connectors.ErrRefused, "something follows"},
		{"no member", answer(200, `{"rows": []}`), connectors.ErrRefused, `no member "data"`},
		{"null", answer(200, `{"data": null}`), connectors.ErrRefused, "not an array"},
		{"unauthorized", answer(401, ""), connectors.ErrRefused, "401 Unauthorized; is the token"},
		{"redirect", answer(302, ""), connectors.ErrRefused, "302 Found; redirects are not followed"},
		{"busy", answer(503, "later"), connectors.ErrNotConnected, "503 Service Unavailable"},
		{"too many rows", answer(200, page(10)), connectors.ErrRefused, "10 rows although 9"},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, connectors.ErrNotConnected, "page 1 of http://127.0.0.1"},
		{"too large", answer(200, strings.Repeat(" ", maxBody+1)), connectors.ErrRefused, "larger than 32 MiB"},
	}
	for _, test := range tests {
		_, err := opened(t, definition(t, test.handler), nil).Read(t.Context())
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "unit") {
			t.Errorf("%s: %v; want %v with %q", test.name, err, test.kind, test.want)
		}
	}
}

// TestEndless checks that an interface that ignores the page number is refused, also after a restart.
func TestEndless(t *testing.T) {
	body := `{"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"a"},`, 9), ",") + `]}`
	def := definition(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	src := opened(t, def, nil)
	var position json.RawMessage
	for rows := 0; rows < 9; {
		batch, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rows += len(batch.Rows)
		position = batch.Position
	}
	for _, src := range []connectors.Source{src, opened(t, def, position)} {
		if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), "same as the page before") {
			t.Errorf("the same page again: %v", err)
		}
	}
}

// TestShrunkPage checks that removed rows are noticed instead of others being skipped.
func TestShrunkPage(t *testing.T) {
	d := &department{rows: []string{`{"id":"a"}`, `{"id":"b"}`}}
	def := definition(t, d)
	src := opened(t, def, nil)
	batch, err := src.Read(t.Context())
	if err != nil || len(batch.Rows) != 2 {
		t.Fatal(len(batch.Rows), err)
	}
	d.mu.Lock()
	d.rows = d.rows[:1]
	d.mu.Unlock()
	if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrRefused) {
		t.Errorf("a page that lost a row: %v", err)
	}
	d.add(`{"id":"c"}`, `{"id":"d"}`)
	batch, err = opened(t, def, batch.Position).Read(t.Context())
	if err != nil || len(batch.Rows) != 1 || batch.Rows[0].Values[0].Text != "d" || batch.Rows[0].Origin != "1:2" {
		t.Errorf("after rows were added: %+v, %v", batch.Rows, err)
	}
}

func TestParseRow(t *testing.T) {
	columns := []string{"id", "n", "o", "absent"}
	tests := []struct {
		raw  string
		want []string // nil: rejected with rule
		rule string
	}{
		{`{"n": 12345678901234567890.1200, "id": "张\u4e09", "o": {"x": [1.50]}, "more": 1}`, []string{"张三", "12345678901234567890.1200", `{"x": [1.50]}`, "NULL"}, ""},
		{`{"id": true, "n": null, "o": ""}`, []string{"true", "NULL", "", "NULL"}, ""},
		{`{"id": "\ud83d\ude00\ufffd"}`, []string{"😀\ufffd", "NULL", "NULL", "NULL"}, ""},
		{`{"id": "\ud83d"}`, nil, exchange.RuleEncoding},
		{"{\"id\": \"\xff\"}", nil, exchange.RuleEncoding},
		{`[1]`, nil, exchange.RuleMalformed},
		{`null`, nil, exchange.RuleMalformed},
		{`"` + strings.Repeat("x", connectors.MaxRowBytes) + `"`, nil, exchange.RuleMalformed},
	}
	for _, test := range tests {
		row := parseRow(json.RawMessage(test.raw), columns, "1:0")
		if test.want == nil {
			if row.Rejection == nil || row.Rejection.Rule != test.rule || row.Values != nil {
				t.Errorf("%.40q: %+v; want rule %s", test.raw, row, test.rule)
			}
			continue
		}
		for i, want := range test.want {
			got := row.Values[i].Text
			if row.Values[i].Null {
				got = "NULL"
			}
			if got != want {
				t.Errorf("%s: %s = %q; want %q", test.raw, columns[i], got, want)
			}
		}
	}
}

func FuzzPage(f *testing.F) {
	for _, seed := range []string{`{"data":[{"id":"a","n":1.50},[],null]}`, "\xef\xbb\xbf{\"data\":[]}", `{"data":[{"id":"\ud800"}]}x`, `<html>`, `{"data":{}}`, `[[[[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, err := parsePage(body, "data")
		if err != nil {
			return
		}
		for _, raw := range rows {
			row := parseRow(raw, []string{"id", "n"}, "1:0")
			if (row.Rejection == nil) != (len(row.Values) == 2) || len(row.Raw) == 0 {
				t.Fatalf("%q: %+v", raw, row)
			}
		}
	})
}
