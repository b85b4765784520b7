package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// drain reads until an error, which is ErrCaughtUp if all is well, and returns the first column of the rows.
func drain(t *testing.T, src connectors.Source) (ids []string, last connectors.Batch, err error) {
	t.Helper()
	for range 5000 {
		batch, err := src.Read(t.Context())
		if err != nil {
			return ids, last, err
		}
		for _, row := range batch.Rows {
			if row.Rejection != nil {
				t.Fatalf("rejected: %+v", *row.Rejection)
			}
			ids = append(ids, row.Values[0].Text)
		}
		last = batch
	}
	t.Fatal("no end")
	return nil, last, nil
}

func list(ids ...string) string {
	rows := make([]string, len(ids))
	for i, id := range ids {
		rows[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	return "[" + strings.Join(rows, ",") + "]"
}

// TestEndless checks that pages, cursors and links that repeat are refused, however long the loop, after all rows
// were handed on, and again after a restart.
func TestEndless(t *testing.T) {
	page := func(n int) string { return list(slices.Repeat([]string{strconv.Itoa(n)}, rowsPerPage)...) }
	calls := 0
	tests := []struct {
		name, paging string
		answer       func(query url.Values) (body, link string)
		want         string
	}{
		{"the page number is ignored", connectors.PagingNumber, func(url.Values) (string, string) {
			return `{"data":` + page(1) + `}`, ""
		}, "same as the page before; does the interface know the parameter page"},
		{"seven pages in a circle", connectors.PagingNumber, func(q url.Values) (string, string) {
			n, _ := strconv.Atoi(q.Get("page"))
			return `{"data":` + page(n%7) + `}`, ""
		}, "same as an earlier page"},
		{"the cursor is ignored", connectors.PagingCursor, func(url.Values) (string, string) {
			calls++
			return fmt.Sprintf(`{"data":%s,"next":%d}`, page(1), calls), ""
		}, "same as the page before; does the interface know the parameter after"},
		{"the cursor stays", connectors.PagingCursor, func(url.Values) (string, string) {
			calls++
			return `{"data":` + page(calls) + `,"next":"x"}`, ""
		}, "the pages go round in a circle"},
		{"cursors in a circle", connectors.PagingCursor, func(q url.Values) (string, string) {
			n, _ := strconv.Atoi(q.Get("after"))
			calls++
			return fmt.Sprintf(`{"data":%s,"next":"%d"}`, page(calls), n%11+1), ""
		}, "the pages go round in a circle"},
		{"links in a circle", connectors.PagingLink, func(q url.Values) (string, string) {
			n, _ := strconv.Atoi(q.Get("p"))
			calls++
			return `{"data":` + page(calls) + `}`, fmt.Sprintf(`<?p=%d&unit=x>; rel=next`, n%5+1)
		}, "the pages go round in a circle"},
		{"empty for ever", connectors.PagingCursor, func(url.Values) (string, string) {
			calls++
			return fmt.Sprintf(`{"data":[],"next":%d}`, calls), ""
		}, "1000 pages without rows"},
		{"too many", connectors.PagingCursor, func(url.Values) (string, string) {
			calls++
			return fmt.Sprintf(`{"data":%s,"next":%d}`, page(calls), calls), ""
		}, "more than 50 pages without an end"},
		{"one value hides the rest", connectors.PagingSince, func(url.Values) (string, string) {
			return `{"data":` + strings.ReplaceAll(page(1), "}", `,"updated_at":"2025-11-03 08:00:00"}`) + `}`, ""
		}, "make size larger, or name a page_param"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			def := simple(t, test.paging, func(w http.ResponseWriter, r *http.Request) {
				body, link := test.answer(r.URL.Query())
				if link != "" {
					w.Header().Set("Link", link)
				}
				_, _ = w.Write([]byte(body))
			})
			def.HTTP.SizeParam = "size"
			src := opened(t, def, nil)
			if test.name == "too many" {
				src.(*source).most = 50
			}
			ids, last, err := drain(t, src)
			expectFault(t, err, connectors.FaultEndless, connectors.ErrRefused, test.want)
			if len(ids) == 0 && test.name != "empty for ever" {
				t.Error("no rows before the fault")
			}
			if test.paging == connectors.PagingNumber {
				_, _, err = drain(t, opened(t, def, last.Position))
				expectFault(t, err, connectors.FaultEndless, connectors.ErrRefused, test.want)
			}
		})
	}
}

// TestNewestFirst refuses an interface that cuts its answers and gives the newest rows first: the others would be passed over.
func TestNewestFirst(t *testing.T) {
	def := simple(t, connectors.PagingSince, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":[{"id":"c","updated_at":"2025-11-03"},{"id":"b","updated_at":"2025-11-02"}]}`))
	})
	def.HTTP.SizeParam, def.HTTP.Size = "size", 2
	ids, _, err := drain(t, opened(t, def, nil))
	expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, "have it ordered by that column")
	if len(ids) != 2 {
		t.Errorf("%q", ids)
	}
}

// TestOwnLimit refuses an interface that gives fewer rows than are asked for although there are more, and takes those
// that end with an error, repeat their last page, or grow meanwhile.
func TestOwnLimit(t *testing.T) {
	for name, test := range map[string]struct {
		pages  map[string]string
		refuse bool
	}{
		"a limit":             {map[string]string{"1": list("a", "b"), "2": list("c")}, true},
		"the end":             {map[string]string{"1": list("a", "b"), "2": list()}, false},
		"an error at the end": {map[string]string{"1": list("a", "b"), "2": ""}, false},
		"its last page again": {map[string]string{"1": list("a", "b"), "2": list("a", "b")}, false},
	} {
		for _, paging := range []string{connectors.PagingNumber, connectors.PagingSince} {
			t.Run(name+" "+paging, func(t *testing.T) {
				def := simple(t, paging, func(w http.ResponseWriter, r *http.Request) {
					rows := test.pages[r.URL.Query().Get("page")]
					if rows == "" {
						w.WriteHeader(http.StatusNotFound)
						return
					}
					if r.URL.Query().Has("since") {
						rows = "[]"
					}
					_, _ = w.Write([]byte(`{"data":` + strings.ReplaceAll(rows, "}", `,"updated_at":"2025-11-03"}`) + `}`))
				})
				def.HTTP.PageParam, def.HTTP.SizeParam, def.HTTP.Size = "page", "size", 5
				ids, last, err := drain(t, opened(t, def, nil))
				if len(ids) != 2 {
					t.Errorf("%q", ids)
				}
				if !test.refuse {
					if !errors.Is(err, connectors.ErrCaughtUp) {
						t.Errorf("%v; want ErrCaughtUp", err)
					}
					return
				}
				expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, "it gives only 2 of the 5 rows asked for")
				if paging == connectors.PagingNumber {
					_, _, err = drain(t, opened(t, def, last.Position))
					expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, "it gives only 2 of the 5 rows asked for")
				}
			})
		}
	}
}

func TestWithoutValues(t *testing.T) {
	for text, want := range map[string]string{
		"token expired": "token expired",
		"用户不存在(E40301)": "用户不存在(E40301)", "证件11010119900307123X无效": "证件…无效", "no user 13800138000.": "no user …",
		"bad key eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.x": "bad key …",
	} {
		if got := withoutValues(text); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}

// TestRemoved checks that removed rows are a fault once, and that afterwards nothing that is there is missed.
func TestRemoved(t *testing.T) {
	for _, paging := range []string{connectors.PagingNumber, connectors.PagingCursor, connectors.PagingLink} {
		t.Run(paging, func(t *testing.T) {
			body := list("a", "b")
			def := simple(t, paging, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"data":` + body + `}`)) })
			src := opened(t, def, nil)
			_, last, err := drain(t, src)
			if !errors.Is(err, connectors.ErrCaughtUp) {
				t.Fatal(err)
			}
			body = list("b")
			_, err = src.Read(t.Context())
			expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "it has 1 rows, but 2 were read from it before")
			_, err = opened(t, def, last.Position).Read(t.Context())
			expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "1 rows, but 2")

			if err := src.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := src.Open(t.Context(), last.Position); err != nil {
				t.Fatal(err)
			}
			body = list("c") // "a" and "b" went
			batch, err := src.Read(t.Context())
			if err != nil || !batch.Gap || len(batch.Rows) != 1 || batch.Rows[0].Values[0].Text != "c" {
				t.Fatalf("after the fault: %+v, %v", batch, err)
			}
			body = list("d") // one went and one came: as many as before, but others
			batch, err = src.Read(t.Context())
			if err != nil || batch.Gap || len(batch.Rows) != 1 || batch.Rows[0].Values[0].Text != "d" {
				t.Fatalf("another row in its place: %+v, %v", batch, err)
			}
			if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrCaughtUp) {
				t.Fatal(err)
			}
		})
	}
}

// TestRemovedPages goes back over pages that are gone altogether.
func TestRemovedPages(t *testing.T) {
	var ids []string
	for i := range 2*rowsPerPage + 3 {
		ids = append(ids, strconv.Itoa(i))
	}
	def := simple(t, connectors.PagingNumber, func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		from := min((page-1)*rowsPerPage, len(ids))
		_, _ = w.Write([]byte(`{"data":` + list(ids[from:min(from+rowsPerPage, len(ids))]...) + `}`))
	})
	src := opened(t, def, nil)
	if got, _, err := drain(t, src); !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(got, ids) {
		t.Fatalf("%q, %v", got, err)
	}
	ids = ids[:4]
	_, err := src.Read(t.Context())
	expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "page 3")
	gap, err := src.Read(t.Context())
	if err != nil || !gap.Gap {
		t.Fatalf("%+v, %v", gap, err)
	}
	ids = append(ids, "new")
	if got, _, err := drain(t, src); !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(got, ids) {
		t.Errorf("%q, %v; want %q", got, err, ids)
	}
}

// TestCursors follows cursors that are numbers, empty pages in between, and an interface that always names a next one.
func TestCursors(t *testing.T) {
	more := ""
	def := simple(t, connectors.PagingCursor, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(map[string]string{
			"":     `{"data":[{"id":"a"}],"next":2}`,
			"2":    `{"data":[],"next":"3 &="}`,
			"3 &=": `{"data":[` + more + `],"next":"3 &="}`,
		}[r.URL.Query().Get("after")]))
	})
	src := opened(t, def, nil)
	if ids, _, err := drain(t, src); !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(ids, []string{"a"}) {
		t.Fatalf("%q, %v", ids, err)
	}
	more = `{"id":"b"}`
	if batch, err := src.Read(t.Context()); err != nil || len(batch.Rows) != 1 {
		t.Fatalf("%+v, %v", batch, err)
	}
}

// TestArrayAnswer reads an answer that is the array itself.
func TestArrayAnswer(t *testing.T) {
	def := simple(t, connectors.PagingLink, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\xef\xbb\xbf" + list("a", "b"))) })
	def.HTTP.Records = "."
	if ids, _, err := drain(t, opened(t, def, nil)); !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("%q, %v", ids, err)
	}
}

// TestLinkStaysHome checks that a link to elsewhere is not followed, and that a saved one is without the secrets of the definition.
func TestLinkStaysHome(t *testing.T) {
	link := ""
	var asked []string
	def := simple(t, connectors.PagingLink, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		if r.URL.Query().Has("cursor") {
			_, _ = w.Write([]byte(`{"data":` + list("b") + `}`))
			return
		}
		w.Header().Add("Link", link)
		_, _ = w.Write([]byte(`{"data":` + list("a") + `}`))
	})
	def.HTTP.SizeParam = ""
	def.HTTP.URL = strings.Replace(def.HTTP.URL, "unit=", "key=s3cret&unit=", 1)
	home, _, _ := strings.Cut(def.HTTP.URL, "/rows")
	for _, away := range []string{"https://example.com/rows?cursor=1", "//example.com/rows", strings.Replace(home, "http:", "https:", 1) + "/rows", "ftp://x/", "http://u:p@" + strings.TrimPrefix(home, "http://")} {
		link = "<" + away + ">; rel=next"
		_, err := opened(t, def, nil).Read(t.Context())
		expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, "only addresses at "+home+" are followed")
	}
	link = "<" + home + "/rows/more?key=s3cret&cursor=7%2F8&unit=%E6%B0%91%E6%94%BF>; rel=next"
	src := opened(t, def, nil)
	batch, err := src.Read(t.Context())
	if err != nil || strings.Contains(string(batch.Position), "s3cret") || !strings.Contains(string(batch.Position), "/rows/more?cursor=7%2F8") {
		t.Fatalf("%s, %v", batch.Position, err)
	}
	ids, _, err := drain(t, opened(t, def, batch.Position))
	if !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(ids, []string{"b"}) || !strings.Contains(asked[len(asked)-1], "/rows/more?key=s3cret&unit=%E6%B0%91%E6%94%BF&cursor=7%2F8") {
		t.Fatalf("%q, %v, asked for %q", ids, err, asked)
	}
	if err := src.Open(t.Context(), json.RawMessage(`{"by":"link","page":2,"at":"//example.com/x","taken":0}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrPosition) {
		t.Errorf("a position that leads away: %v", err)
	}
}

func TestNextLink(t *testing.T) {
	tests := []struct {
		headers []string
		want    string
		fails   bool
	}{
		{nil, "", false},
		{[]string{`<https://a/b?c=d,e;f>; rel="next"`}, "https://a/b?c=d,e;f", false},
		{[]string{`<a>; rel=prev, <b> ; title="x; rel=\"next\", <c>" ; REL = "first NEXT"`}, "b", false},
		{[]string{`<a>; rel=prev`, ` , <b>;rel=next,`}, "b", false},
		{[]string{`<a>; rel=prev; rel=next`}, "", false},
		{[]string{`<a>; rel=next; anchor="#x"`}, "", false},
		{[]string{`<a>; rel=next, <a>; rel=next`}, "a", false},
		{[]string{`<a>; flag; rel=next`}, "a", false},
		{[]string{`<>; rel=next`}, "", false},
		{[]string{`<a>; rel=next, <b>; rel=next`}, "", true},
		{[]string{`<a; rel=next`}, "", true},
		{[]string{`a; rel=next`}, "", true},
		{[]string{`<a>; rel="next`}, "", true},
		{[]string{`<a> rel=next`}, "", true},
		{[]string{`<a>; rel="next\`}, "", true},
		{[]string{"<" + strings.Repeat("a", maxLinkBytes) + ">; rel=next"}, "", true},
	}
	for _, test := range tests {
		got, err := nextLink(test.headers)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%.60q: %q, %v; want %q", test.headers, got, err, test.want)
		}
	}
}

// TestRemovedBehindFullPage checks that a loss is noticed while the next page is still empty: what is new then comes
// into the page before, which is otherwise not asked for again.
func TestRemovedBehindFullPage(t *testing.T) {
	ids := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8"}
	def := simple(t, connectors.PagingNumber, func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		from := min((page-1)*rowsPerPage, len(ids))
		_, _ = w.Write([]byte(`{"data":` + list(ids[from:min(from+rowsPerPage, len(ids))]...) + `}`))
	})
	src := opened(t, def, nil)
	if got, _, err := drain(t, src); !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(got, ids) {
		t.Fatalf("%q, %v", got, err)
	}
	for range 2 {
		if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrCaughtUp) {
			t.Fatal(err)
		}
	}
	ids = append(slices.Clone(ids[1:]), "new")
	got, last, err := drain(t, src)
	if !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(got, ids) {
		t.Fatalf("one went, one came: %q, %v; want %q", got, err, ids)
	}
	ids = ids[1:]
	_, err = opened(t, def, last.Position).Read(t.Context())
	expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "page 1")
}
