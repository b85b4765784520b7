package analytics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	analyticsv1 "github.com/onewindow/onewindow/proto/analytics/v1"
)

func TestLookup(t *testing.T) {
	s, b := openStore(t, config(t)), openBus(t)
	day := time.Date(2026, 5, 1, 0, 0, 0, 123456000, time.UTC)
	const resource = "police.resident"
	r := func(key string, days int, payload string) exchange.Record {
		return record(resource, exchange.Register, key, day.AddDate(0, 0, days), payload)
	}
	late := r("a", 1, `{"v":1}`)
	late.Late, late.RecordedTime = true, day.AddDate(0, 0, 3)
	startSink(t, s, b)
	for _, step := range [][]exchange.Record{
		{r("a", 2, `{"v":2}`), r("b", 1, `{"v":1}`), r("c", 1, `{"v":1}`), r("d", 5, ``), r("it's \\ a\tkey", 1, `{"v":9}`)},
		{late, r("b", 2, ``), r("c", 2, ``), r("d", 4, `{"v":4}`)}, // an older version of a comes late; d was deleted after this version
		{r("c", 3, `{"v":3}`)}, // c comes back
	} {
		positions := publish(t, b, events(step...)...)
		if err := s.WaitStored(t.Context(), resource, positions); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Lookup(t.Context(), resource, []string{"c", "b", "it's \\ a\tkey", "a", "nobody", "d"})
	if err != nil {
		t.Fatal(err)
	}
	want := []exchange.Record{r("c", 3, `{"v":3}`), r("it's \\ a\tkey", 1, `{"v":9}`), r("a", 2, `{"v":2}`)}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if other, err := s.Lookup(t.Context(), "police.other", []string{"a"}); err != nil || len(other) != 0 {
		t.Errorf("another resource: %v, %v", other, err)
	}
	if _, err := s.Lookup(t.Context(), resource, make([]string, MaxLookupKeys+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("too many keys: %v", err)
	}
	if report, err := s.Storage(t.Context()); err != nil || report.Resources[0].Late != 1 {
		t.Errorf("report %+v, %v", report, err)
	}
	healthy(t, s)
}

// TestLookupsShareQueries counts the queries behind many calls at once, of which one gives up.
func TestLookupsShareQueries(t *testing.T) {
	var mu sync.Mutex
	queries := 0
	release := make(chan struct{})
	s := &Store{lookups: newLookups(func(_ context.Context, _ string, keys []string) (map[string]exchange.Record, error) {
		<-release
		mu.Lock()
		defer mu.Unlock()
		queries++
		found := map[string]exchange.Record{}
		for _, key := range keys {
			found[key] = exchange.Record{Key: key}
		}
		return found, nil
	})}
	impatient, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := s.Lookup(impatient, "a.b", []string{"gone"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that gave up: %v", err)
		}
	})
	for i := range 200 {
		calls.Go(func() {
			key := fmt.Sprint(i)
			if got, err := s.Lookup(t.Context(), "a.b", []string{key}); err != nil || len(got) != 1 || got[0].Key != key {
				t.Errorf("%s: %+v, %v", key, got, err)
			}
		})
	}
	cancel()
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	calls.Wait()
	if queries >= 100 {
		t.Errorf("%d queries for 200 calls", queries)
	}
}

// A query whose last caller has left is ended; one that somebody still waits for is not.
func TestLastCallerThatLeavesEndsTheQuery(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan error, 1)
	s := &Store{lookups: newLookups(func(ctx context.Context, _ string, _ []string) (map[string]exchange.Record, error) {
		close(asked)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})}
	first, leaveFirst := context.WithCancel(t.Context())
	second, leaveSecond := context.WithCancel(t.Context())
	defer leaveSecond()
	shared := s.lookups.join(first, "a.b", []string{"1"})
	if other := s.lookups.join(second, "a.b", []string{"2"}); other != shared {
		t.Fatal("two calls at once do not share a query")
	}
	<-asked
	leaveFirst()
	s.lookups.leave("a.b", shared)
	select {
	case err := <-ended:
		t.Fatalf("the query ended although a call waits for it: %v", err)
	default:
	}
	s.lookups.leave("a.b", shared)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the query ended with %v", err)
	}
	<-shared.done
	if len(s.lookups.slots) != 0 || len(s.lookups.open) != 0 {
		t.Error("an ended query keeps its slot, or takes more calls")
	}
}

// expected counts the index of a stream as the clerk's rules say, in Go.
func expected(t *testing.T, records []exchange.Record, group func(members map[string]any, day string) string, keep func(day string) bool) map[string]Figures {
	t.Helper()
	zone := time.FixedZone("CST", 8*3600)
	out := map[string]Figures{}
	for _, r := range records {
		if r.Kind != exchange.CaseEvent {
			continue
		}
		members := map[string]any{}
		if err := json.Unmarshal(r.Payload, &members); err != nil {
			t.Fatal(err)
		}
		number := func(name string) float64 { n, _ := members[name].(float64); return n }
		day := r.EventTime.In(zone).Format(time.DateOnly)
		add := func(day string, f Figures) {
			if keep(day) {
				sum := out[group(members, day)]
				sum.add(f)
				out[group(members, day)] = sum
			}
		}
		switch members["event"] {
		case "accepted":
			add(day, Figures{Accepted: 1, MaterialsRequired: int64(number("materials_required")), MaterialsSubmitted: int64(number("materials_submitted"))})
		case "decided":
			f := Figures{Decided: 1}
			if number("used_days") <= number("promised_days") {
				f.OnTime = 1
			}
			add(day, f)
			add(members["accepted_date"].(string), Figures{Completed: 1})
		}
	}
	return out
}

func TestIndex(t *testing.T) {
	s, b := openStore(t, config(t)), openBus(t)
	records := caseRecords(0, 3000)
	odd := `{"case_number":7,"matter":"M0","department":"dept0","region":"R0","event":"decided","used_days":"soon","accepted_date":"no day"}`
	publish(t, b, events(records...)...)
	publish(t, b, events(record("hall.case", exchange.CaseEvent, "odd", time.Date(2026, 1, 20, 17, 0, 0, 0, time.UTC), odd),
		record("hall.case", exchange.CaseEvent, "odd2", time.Date(2026, 1, 20, 17, 0, 0, 0, time.UTC), `[]`),
		record("hall.case", exchange.CaseEvent, "odd2", time.Date(2026, 1, 21, 17, 0, 0, 0, time.UTC), ``))...)
	startSink(t, s, b)
	caught(t, s, b, "records.hall.case", "records.hall.rating", "records.hall.ticket")
	healthy(t, s)
	all := func(string) bool { return true }
	member := func(name string) func(map[string]any, string) string {
		return func(m map[string]any, _ string) string { text, _ := m[name].(string); return text }
	}
	for name, c := range map[string]struct {
		query Query
		want  map[string]Figures
		odd   string // the group that has the odd decision
	}{
		"department": {Query{}, expected(t, records, member("department"), all), "dept0"},
		"region":     {Query{Group: ByRegion}, expected(t, records, member("region"), all), "R0"},
		"month":      {Query{Group: ByMonth}, expected(t, records, func(_ map[string]any, day string) string { return day[:7] }, all), "2026-01"},
		"matter in days": {Query{Group: ByMatter, From: "2026-01-21", Until: "2026-02-03"}, expected(t, records, member("matter"),
			func(day string) bool { return day >= "2026-01-21" && day <= "2026-02-03" }), "M0"},
	} {
		t.Run(name, func(t *testing.T) {
			sum := c.want[c.odd]
			sum.Decided++ // neither on time nor of a known cohort
			c.want[c.odd] = sum
			rows, total, err := s.Index(t.Context(), c.query)
			if err != nil {
				t.Fatal(err)
			}
			var want Figures
			for _, f := range c.want {
				want.add(f)
			}
			if total != want || len(rows) != len(c.want) {
				t.Errorf("%d rows, total %+v; want %d, %+v", len(rows), total, len(c.want), want)
			}
			for _, row := range rows {
				if row.Figures != c.want[row.Group] {
					t.Errorf("%s: %+v, want %+v", row.Group, row.Figures, c.want[row.Group])
				}
			}
		})
	}
	for _, q := range []Query{{From: "2026-13-01"}, {Until: "yesterday"}, {From: "2026-02-01", Until: "2026-01-01"}, {Group: "street"}} {
		if _, _, err := s.Index(t.Context(), q); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestService asks through the service's own types: rates without a denominator are left out.
func TestService(t *testing.T) {
	s, b := openStore(t, config(t)), openBus(t)
	publish(t, b, events(caseRecord(0))...)
	startSink(t, s, b)
	caught(t, s, b, "records.hall.case")
	a := &api{store: s}
	index, err := a.GetIndex(t.Context(), &analyticsv1.GetIndexRequest{})
	if err != nil || len(index.GetRows()) != 1 {
		t.Fatalf("%v, %v", index, err)
	}
	total := index.GetTotal()
	if total.GetAccepted() != 1 || total.OnTimeRate != nil || total.CompletionRate == nil || total.GetCompletionRate() != 0 || total.GetMaterialsNotAskedRate() == 0 {
		t.Errorf("total %v", total)
	}
	if _, err := a.GetIndex(t.Context(), &analyticsv1.GetIndexRequest{GroupBy: 99}); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown grouping: %v", err)
	}
	storage, err := a.GetStorage(t.Context(), &analyticsv1.GetStorageRequest{})
	if err != nil || storage.GetStoredRows() != 1 || storage.GetStoredDistinct() != 1 || len(storage.GetResources()) != 1 {
		t.Errorf("storage %v, %v", storage, err)
	}
	service := s.Service(nil)
	for _, method := range analyticsv1.AnalyticsService_ServiceDesc.Methods {
		if _, ok := service.Access["/"+analyticsv1.AnalyticsService_ServiceDesc.ServiceName+"/"+method.MethodName]; !ok {
			t.Errorf("no access rule for %s", method.MethodName)
		}
	}
}
