package httpapi

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// newestList is the interface of case 07: 12 rows, the newest first, and one more in front after every fourth request,
// up to 40.
func newestList() func(q url.Values) string {
	requests := 0
	return func(q url.Values) string {
		ids := numbers(1, min(12+requests/4, 40))
		requests++
		slices.Reverse(ids)
		page := atoi(q.Get("page"))
		if page < 1 {
			return "400"
		}
		return `{"data":` + list(part(ids, (page-1)*10, 10)...) + `}`
	}
}

// untilAll reads until all 40 rows were there or so many readings brought nothing more.
func untilAll(t *testing.T, src connectors.Source) (seen map[string]bool, faults []error) {
	t.Helper()
	seen = map[string]bool{}
	for range 400 {
		batch, err := src.Read(t.Context())
		switch {
		case errors.Is(err, connectors.ErrCaughtUp):
		case err != nil:
			faults = append(faults, err)
			if err := src.Open(t.Context(), batch.Position); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range batch.Rows {
			seen[row.Values[0].Text] = true
		}
	}
	return seen, faults
}

func TestCase07NewestFirst(t *testing.T) {
	def := paged(t, connectors.PagingNumber, newestList())
	def.HTTP.NewestFirst = true
	seen, faults := untilAll(t, opened(t, def, nil))
	if len(seen) != 40 || len(faults) > 0 {
		t.Errorf("%d rows of 40, faults %v", len(seen), faults)
	}
}

// TestCase07MovedRowsAreNoticed checks that a list with new rows in front whose definition does not say so is a fault.
func TestCase07MovedRowsAreNoticed(t *testing.T) {
	def := paged(t, connectors.PagingNumber, newestList())
	src := opened(t, def, nil)
	var last connectors.Batch
	for {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			continue
		}
		if err != nil {
			expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "write order: newest_first")
			break
		}
		last = batch
	}
	// What comes then is read from the first page, with the news that there was a gap.
	seen, gap := map[string]bool{}, false
	for range 400 {
		if err := src.Open(t.Context(), last.Position); err != nil {
			t.Fatal(err)
		}
		for {
			batch, err := src.Read(t.Context())
			if err != nil {
				break
			}
			gap = gap || batch.Gap
			last = batch
			for _, row := range batch.Rows {
				seen[row.Values[0].Text] = true
			}
		}
	}
	if len(seen) < 38 || !gap { // the last ones came behind the first page while it was read
		t.Errorf("%d rows of 40, gap %v", len(seen), gap)
	}
}

// TestNewestFirstResumes opens at every position of a reading while rows come in front: none is missed.
func TestNewestFirstResumes(t *testing.T) {
	ids := numbers(1, 35)
	def := paged(t, connectors.PagingNumber, func(q url.Values) string {
		turned := slices.Clone(ids)
		slices.Reverse(turned)
		return `{"data":` + list(part(turned, (atoi(q.Get("page"))-1)*10, 10)...) + `}`
	})
	def.HTTP.NewestFirst, def.Batch = true, 4
	seen := map[string]bool{}
	var at connectors.Batch
	for step := range 60 {
		src := opened(t, def, at.Position)
		for range step%3 + 1 {
			batch, err := src.Read(t.Context())
			if errors.Is(err, connectors.ErrCaughtUp) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			at = batch
			for _, row := range batch.Rows {
				seen[row.Values[0].Text] = true
			}
		}
		if step < 30 {
			ids = numbers(1, len(ids)+step%5)
		}
	}
	ids, _, err := drain(t, opened(t, def, at.Position))
	if !errors.Is(err, connectors.ErrCaughtUp) {
		t.Fatal(err)
	}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != 95 {
		t.Errorf("%d rows of 95", len(seen))
	}
}

// TestNewestFirstAsksForLittle checks that a list in which nothing is new costs one request, whatever its length, and a
// row that is pinned in front hides nothing.
func TestNewestFirstAsksForLittle(t *testing.T) {
	ids, asked := numbers(1, 95), 0
	def := paged(t, connectors.PagingNumber, func(q url.Values) string {
		asked++
		turned := slices.Clone(ids)
		slices.Reverse(turned)
		turned = append([]string{"pinned"}, turned...)
		return `{"data":` + list(part(turned, (atoi(q.Get("page"))-1)*10, 10)...) + `}`
	})
	def.HTTP.NewestFirst = true
	src := opened(t, def, nil)
	ids, _, err := drain(t, src)
	if !errors.Is(err, connectors.ErrCaughtUp) || len(ids) != 96 {
		t.Fatalf("%d rows, %v", len(ids), err)
	}
	ids = numbers(1, 95)
	asked = 0
	want(t, src)
	if asked != 1 {
		t.Errorf("%d requests for nothing", asked)
	}
	ids = numbers(1, 107)
	got, last, err := drain(t, src)
	slices.SortFunc(got, func(a, b string) int { return atoi(a) - atoi(b) })
	if !errors.Is(err, connectors.ErrCaughtUp) || !slices.Equal(got, numbers(96, 107)) {
		t.Fatalf("%q, %v", got, err)
	}
	asked = 0
	want(t, opened(t, def, last.Position))
	if asked > 12 {
		t.Errorf("%d requests after a restart", asked)
	}
}
