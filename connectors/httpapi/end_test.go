package httpapi

import (
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

// numbers are the ids of rows from one number to another.
func numbers(from, to int) []string {
	var ids []string
	for i := from; i <= to; i++ {
		ids = append(ids, strconv.Itoa(i))
	}
	return ids
}

// part is the part of ids that a page of size has behind from of them.
func part(ids []string, from, size int) []string {
	from = min(max(from, 0), len(ids))
	return ids[from:min(from+size, len(ids))]
}

func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// paged is the definition of an interface with pages of 10 rows whose answers are made from the query.
func paged(t *testing.T, paging string, answer func(q url.Values) string) connectors.Definition {
	t.Helper()
	def := simple(t, paging, func(w http.ResponseWriter, r *http.Request) {
		body := answer(r.URL.Query())
		if status := atoi(body); status > 0 {
			w.WriteHeader(status)
			return
		}
		_, _ = w.Write([]byte(body))
	})
	def.HTTP.PageParam, def.HTTP.SizeParam, def.HTTP.Size = "page", "size", 10
	return def
}

func pointer(n int) *int { return &n }

// zeroBased answers with 25 rows in pages that count from 0, as Spring Data does.
func zeroBased(total string) func(q url.Values) string {
	return func(q url.Values) string {
		page := atoi(q.Get("page"))
		if page < 0 {
			return "400"
		}
		return fmt.Sprintf(`{"data":%s%s}`, list(part(numbers(1, 25), page*10, 10)...), total)
	}
}

func TestCase05PagesFromZero(t *testing.T) {
	def := paged(t, connectors.PagingNumber, zeroBased(""))
	def.HTTP.FirstPage = pointer(0)
	want(t, opened(t, def, nil), numbers(1, 25)...)
}

// TestCase05PagesFromZeroAreNoticed checks that what lies on a page 0 is missed by no definition that does not know of it.
func TestCase05PagesFromZeroAreNoticed(t *testing.T) {
	def := paged(t, connectors.PagingNumber, zeroBased(""))
	def.HTTP.FirstPage = nil
	_, _, err := drain(t, opened(t, def, nil))
	expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, "page 0 has 10 rows that page 1 does not begin with, so pages seem to count from 0; write first_page: 0")
	err = opened(t, def, nil).(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return nil })
	expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, "write first_page: 0")

	def = paged(t, connectors.PagingNumber, zeroBased(`,"total":25`))
	def.HTTP.FirstPage = pointer(1)
	ids, _, err := drain(t, opened(t, def, nil))
	expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, `"total" says that there are 25 rows, but the list ended after 15`)
	if len(ids) != 15 {
		t.Errorf("%d rows before the fault; want 15", len(ids))
	}
}

// TestPageZeroThatIsTheFirst takes interfaces that count from 1 and answer to page 0 in one of the ways that they have.
func TestPageZeroThatIsTheFirst(t *testing.T) {
	for name, zero := range map[string]string{
		"the first page": list(numbers(1, 10)...), "all rows": list(numbers(1, 25)...), "none": "[]", "an error": "400", "a server error": "500", "no JSON": "<html>",
	} {
		t.Run(name, func(t *testing.T) {
			def := paged(t, connectors.PagingNumber, func(q url.Values) string {
				page := atoi(q.Get("page"))
				switch {
				case page > 0:
					return `{"data":` + list(part(numbers(1, 25), (page-1)*10, 10)...) + `}`
				case atoi(zero) > 0:
					return zero
				}
				return `{"data":` + zero + `}`
			})
			def.HTTP.FirstPage = nil
			want(t, opened(t, def, nil), numbers(1, 25)...)
		})
	}
}

// TestPagesFromN begins at a page that is neither 0 nor 1.
func TestPagesFromN(t *testing.T) {
	def := paged(t, connectors.PagingNumber, func(q url.Values) string {
		return `{"data":` + list(part(numbers(1, 25), (atoi(q.Get("page"))-100)*10, 10)...) + `}`
	})
	def.HTTP.FirstPage = pointer(100)
	want(t, opened(t, def, nil), numbers(1, 25)...)
}

// TestOffsets asks for rows by their number, from 0 or 1, with a size or with the number of the last row.
func TestOffsets(t *testing.T) {
	for name, test := range map[string]struct {
		first  int
		answer func(q url.Values) []string
		end    string
	}{
		"offset and limit": {0, func(q url.Values) []string { return part(numbers(1, 25), atoi(q.Get("offset")), atoi(q.Get("size"))) }, ""},
		"startRow and endRow": {1, func(q url.Values) []string {
			return numbers(1, 25)[min(atoi(q.Get("offset"))-1, 25):min(atoi(q.Get("endRow")), 25)]
		}, "endRow"},
		"_start and _end": {0, func(q url.Values) []string {
			return numbers(1, 25)[min(atoi(q.Get("offset")), 25):min(atoi(q.Get("endRow")), 25)]
		}, "endRow"},
	} {
		t.Run(name, func(t *testing.T) {
			ids := func(q url.Values) string { return `{"data":` + list(test.answer(q)...) + `}` }
			def := paged(t, connectors.PagingOffset, ids)
			def.HTTP.OffsetParam, def.HTTP.FirstRow, def.HTTP.EndParam, def.Batch = "offset", test.first, test.end, 4
			src := opened(t, def, nil)
			var got []string
			for {
				batch, err := src.Read(t.Context())
				if errors.Is(err, connectors.ErrCaughtUp) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range batch.Rows {
					got = append(got, row.Values[0].Text)
				}
				want(t, opened(t, def, batch.Position), numbers(len(got)+1, 25)...)
			}
			if !slices.Equal(got, numbers(1, 25)) {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestOffsetsWithALimitOfTheServer reads on behind the rows that came, however many were asked for.
func TestOffsetsWithALimitOfTheServer(t *testing.T) {
	ids := numbers(1, 25)
	def := paged(t, connectors.PagingOffset, func(q url.Values) string {
		return `{"data":` + list(part(ids, atoi(q.Get("offset")), min(atoi(q.Get("size")), 8))...) + `}`
	})
	def.HTTP.OffsetParam, def.HTTP.End.UntilEmpty = "offset", true
	src := opened(t, def, nil)
	want(t, src, numbers(1, 25)...)
	want(t, src)
	ids = numbers(1, 27)
	want(t, src, "26", "27")
	ids = numbers(1, 20) // the last pages are gone
	_, err := src.Read(t.Context())
	expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "rows")
	ids = numbers(1, 28)
	seen := map[string]bool{}
	for _, id := range untilCaughtUp(t, src) {
		seen[id] = true
	}
	if !seen["28"] {
		t.Errorf("%v; what came after the loss is missed", seen)
	}
}

// untilCaughtUp reads on over faults.
func untilCaughtUp(t *testing.T, src connectors.Source) (ids []string) {
	t.Helper()
	for range 100 {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			return ids
		}
		for _, row := range batch.Rows {
			ids = append(ids, row.Values[0].Text)
		}
	}
	t.Fatal("no end")
	return nil
}

// TestOffsetFromOneIsNoticed checks that an interface whose rows count from 1 is not read from 0 in silence.
func TestOffsetFromOneIsNoticed(t *testing.T) {
	def := paged(t, connectors.PagingOffset, func(q url.Values) string {
		return `{"data":` + list(part(numbers(1, 25), atoi(q.Get("offset"))-1, 10)...) + `,"total":25}`
	})
	def.HTTP.OffsetParam = "offset"
	_, _, err := drain(t, opened(t, def, nil))
	expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "it has the last row of the page before again")
}

// ending is an interface of 25 rows with a limit of 8 a page of its own, so that only its words say where the end is.
func ending(words func(page int, last bool) string) func(q url.Values) string {
	return func(q url.Values) string {
		page := max(atoi(q.Get("page")), 1)
		if c := q.Get("after"); c != "" {
			page = atoi(c)
		}
		return fmt.Sprintf(`{"data":%s%s}`, list(part(numbers(1, 25), (page-1)*8, 8)...), words(page, page >= 4))
	}
}

// TestEnds reads 25 rows from interfaces that say in each of the known ways where their list ends.
func TestEnds(t *testing.T) {
	next := func(page int, last bool, end string) string {
		if last {
			return end
		}
		return fmt.Sprintf(`,"next":"%d"`, page+1)
	}
	for name, test := range map[string]struct {
		paging string
		end    connectors.End
		words  func(page int, last bool) string
	}{
		"a total of rows":      {connectors.PagingNumber, connectors.End{Total: "meta.total"}, func(int, bool) string { return `,"meta":{"total":25}` }},
		"a total as text":      {connectors.PagingNumber, connectors.End{Total: "n"}, func(int, bool) string { return `,"n":"25"` }},
		"a total of pages":     {connectors.PagingNumber, connectors.End{Pages: "pages"}, func(int, bool) string { return `,"pages":4` }},
		"has_more":             {connectors.PagingNumber, connectors.End{More: "has_more"}, func(_ int, last bool) string { return fmt.Sprintf(`,"has_more":%v`, !last) }},
		"last":                 {connectors.PagingNumber, connectors.End{Last: "last"}, func(_ int, last bool) string { return fmt.Sprintf(`,"last":%v`, last) }},
		"last as a number":     {connectors.PagingNumber, connectors.End{Last: "last"}, func(_ int, last bool) string { return `,"last":` + map[bool]string{false: "0", true: "1"}[last] }},
		"an empty page":        {connectors.PagingNumber, connectors.End{UntilEmpty: true}, func(int, bool) string { return "" }},
		"no cursor":            {connectors.PagingCursor, connectors.End{}, func(page int, last bool) string { return next(page, last, "") }},
		"a null cursor":        {connectors.PagingCursor, connectors.End{}, func(page int, last bool) string { return next(page, last, `,"next":null`) }},
		"an empty cursor":      {connectors.PagingCursor, connectors.End{}, func(page int, last bool) string { return next(page, last, `,"next":""`) }},
		"a false cursor":       {connectors.PagingCursor, connectors.End{}, func(page int, last bool) string { return next(page, last, `,"next":false`) }},
		"the cursor 0":         {connectors.PagingCursor, connectors.End{Cursor: "0"}, func(page int, last bool) string { return next(page, last, `,"next":"0"`) }},
		"the cursor -1":        {connectors.PagingCursor, connectors.End{Cursor: "-1"}, func(page int, last bool) string { return next(page, last, `,"next":-1`) }},
		"the same cursor":      {connectors.PagingCursor, connectors.End{Cursor: "same"}, func(page int, last bool) string { return next(page, last, `,"next":"4"`) }},
		"a cursor and a flag":  {connectors.PagingCursor, connectors.End{More: "more"}, func(page int, last bool) string { return next(page, false, "") + fmt.Sprintf(`,"more":%v`, !last) }},
		"a cursor and a total": {connectors.PagingCursor, connectors.End{Total: "total"}, func(page int, _ bool) string { return next(page, false, "") + `,"total":25` }},
		"a next URL": {connectors.PagingLink, connectors.End{}, func(page int, last bool) string {
			return strings.ReplaceAll(next(page, last, `,"next":null`), `:"`, `:"?after=`)
		}},
		"a next path": {connectors.PagingLink, connectors.End{}, func(page int, last bool) string {
			return strings.ReplaceAll(next(page, last, `,"next":""`), `:"`, `:"/rows?after=`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ending(test.words)
			def := paged(t, test.paging, func(q url.Values) string {
				body := answer(q)
				return strings.ReplaceAll(body, `"/rows?after="`, `""`) // an empty address stays empty
			})
			def.HTTP.End, def.HTTP.Next = test.end, "next"
			src := opened(t, def, nil)
			want(t, src, numbers(1, 25)...)
			want(t, src)
			_, last, err := drain(t, opened(t, def, nil))
			if !errors.Is(err, connectors.ErrCaughtUp) {
				t.Fatal(err)
			}
			want(t, opened(t, def, last.Position))
		})
	}
}

// TestEndsThatDoNotHold checks that an end shown in another way than the definition says is a fault, not a loss.
func TestEndsThatDoNotHold(t *testing.T) {
	for name, test := range map[string]struct {
		paging string
		end    connectors.End
		words  string
		code   connectors.FaultCode
		want   string
	}{
		"the total is of the page":  {connectors.PagingNumber, connectors.End{Total: "count"}, `,"count":8`, connectors.FaultAnswer, "it says that no page follows, but the next one has 8 rows"},
		"more rows than there are":  {connectors.PagingNumber, connectors.End{Total: "total"}, `,"total":26`, connectors.FaultAnswer, `"total" says that there are 26 rows, but the list ended after 25`},
		"a total that is not named": {connectors.PagingNumber, connectors.End{UntilEmpty: true}, `,"totalCount":99`, connectors.FaultAnswer, `"totalCount" says that there are 99 rows, but the list ended after 25`},
		"a flag turned round":       {connectors.PagingNumber, connectors.End{Last: "hasNext"}, `,"hasNext":true`, connectors.FaultAnswer, "does the member that says so (total, pages, more or last) mean something else?"},
		"no total":                  {connectors.PagingNumber, connectors.End{Total: "total"}, `,"total":null`, connectors.FaultAnswer, `the member "total" of the answer is missing, or not a number of rows or pages`},
		"no number of pages":        {connectors.PagingNumber, connectors.End{Pages: "pages"}, `,"pages":"many"`, connectors.FaultAnswer, `the member "pages" of the answer is missing, or not a number`},
		"no flag":                   {connectors.PagingNumber, connectors.End{More: "more"}, "", connectors.FaultAnswer, `the member "more" of the answer is missing, or neither true nor false`},
		"more without a cursor":     {connectors.PagingCursor, connectors.End{More: "more"}, `,"more":true`, connectors.FaultAnswer, "it says that more rows follow, but names no next cursor"},
		"the server's own limit":    {connectors.PagingNumber, connectors.End{}, "", connectors.FaultAnswer, "it gives only 8 of the 10 rows asked for"},
		"the cursor 0 is an end":    {connectors.PagingCursor, connectors.End{}, `,"next":"0"`, connectors.FaultEndless, "write it as last_cursor"},
		"a cursor that stays":       {connectors.PagingCursor, connectors.End{}, `,"next":"4"`, connectors.FaultEndless, "write it as last_cursor"},
		"pages without an end":      {connectors.PagingNumber, connectors.End{More: "more"}, `,"more":true`, connectors.FaultEndless, "1000 pages without rows"},
	} {
		t.Run(name, func(t *testing.T) {
			def := paged(t, test.paging, ending(func(int, bool) string { return test.words }))
			def.HTTP.End = test.end
			_, _, err := drain(t, opened(t, def, nil))
			expectFault(t, err, test.code, connectors.ErrRefused, test.want)
		})
	}
}

// TestTotalOfSomethingElse reads on when the definition says that the total does not count the rows.
func TestTotalOfSomethingElse(t *testing.T) {
	def := paged(t, connectors.PagingNumber, func(q url.Values) string {
		return fmt.Sprintf(`{"data":%s,"total":10000}`, list(part(numbers(1, 25), (atoi(q.Get("page"))-1)*10, 10)...))
	})
	def.HTTP.End.Total = connectors.TotalNone
	want(t, opened(t, def, nil), numbers(1, 25)...)
}

// TestStatusBehindTheLastPage takes an HTTP status behind a full last page for its end, and the same elsewhere for a fault.
func TestStatusBehindTheLastPage(t *testing.T) {
	for _, status := range []string{"204", "404", "416"} {
		t.Run(status, func(t *testing.T) {
			ids, gone := numbers(1, 20), false
			def := paged(t, connectors.PagingNumber, func(q url.Values) string {
				rows := part(ids, (atoi(q.Get("page"))-1)*10, 10)
				if len(rows) == 0 || gone {
					return status
				}
				return `{"data":` + list(rows...) + `}`
			})
			src := opened(t, def, nil)
			want(t, src, numbers(1, 20)...)
			want(t, src)
			ids = numbers(1, 21)
			want(t, src, "21")
			gone = true
			if _, err := src.Read(t.Context()); errors.Is(err, connectors.ErrCaughtUp) {
				t.Error("everything is gone without a fault")
			}
		})
	}
}

// TestRowsThatMoveUpAreNoticed removes a row of the first page while as many are added at the end: the last page has as
// many rows as before, but an unread one has moved to the page before it.
func TestRowsThatMoveUpAreNoticed(t *testing.T) {
	ids := numbers(1, 25)
	def := paged(t, connectors.PagingNumber, func(q url.Values) string {
		return `{"data":` + list(part(ids, (atoi(q.Get("page"))-1)*10, 10)...) + `}`
	})
	src := opened(t, def, nil)
	want(t, src, numbers(1, 25)...)
	ids = numbers(2, 26)
	_, err := src.Read(t.Context())
	expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "it begins with another row than before")
	batch, err := src.Read(t.Context())
	if err != nil || !batch.Gap {
		t.Fatalf("%+v, %v; want a gap", batch, err)
	}
	want(t, src, numbers(2, 26)...)
}

// TestRowsThatAreEqual reads a list whose pages end and begin with equal rows: after it was looked at twice it is so.
func TestRowsThatAreEqual(t *testing.T) {
	ids := slices.Concat(numbers(1, 9), []string{"x", "x"}, numbers(12, 25))
	def := paged(t, connectors.PagingNumber, func(q url.Values) string {
		return `{"data":` + list(part(ids, (atoi(q.Get("page"))-1)*10, 10)...) + `}`
	})
	src := opened(t, def, nil)
	got, last, err := drain(t, src)
	expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "it has the last row of the page before again")
	if len(got) != 10 {
		t.Errorf("%q before the fault", got)
	}
	if err := src.Open(t.Context(), last.Position); err != nil {
		t.Fatal(err)
	}
	want(t, src, ids...)
	want(t, src)
}
