package analytics

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// refuse makes a rejected record as a publisher does; what it is about is its raw bytes.
func refuse(t *testing.T, resource, rule string, at time.Time, raw []byte) (exchange.Rejected, bus.Message) {
	t.Helper()
	h := record(resource, exchange.Register, string(raw), time.Unix(0, 0), "") // any 64 digits that differ
	r := exchange.Rejected{
		ID: h.ID, Resource: resource, Source: exchange.DepartmentOf(resource) + "/file", Origin: "居民.csv:17", Rule: rule,
		Field: "/name", Detail: `it's "wrong"` + "\n", Raw: raw, Time: at,
	}
	m, err := r.Event()
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// pages reads all pages of a query and checks that none but the last is empty.
func pages(t *testing.T, s *Store, q exchange.RejectedQuery) (all []exchange.Rejected, count int) {
	t.Helper()
	for {
		page, next, err := s.RejectedRecords(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		count++
		all = append(all, page...)
		if next == "" {
			return all, count
		}
		if len(page) == 0 || q.After == next {
			t.Fatalf("page %d has %d records and leads to %q", count, len(page), next)
		}
		q.After = next
	}
}

func TestRejectedRecords(t *testing.T) {
	cfg, b := config(t), openBus(t)
	cfg.Feed = b // the sink may not have begun when the log is asked
	s := openStore(t, cfg)
	day := time.Date(2026, 5, 1, 0, 0, 0, 123457000, time.UTC)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var want []exchange.Rejected
	var messages []bus.Message
	add := func(resource, rule string, at time.Time, raw []byte) {
		r, m := refuse(t, resource, rule, at, raw)
		want, messages = append(want, r), append(messages, m)
	}
	add("police.resident", exchange.RuleEncoding, day.Add(-time.Hour), every)
	add("police.resident", exchange.RuleMalformed, day.Add(-2*time.Hour), []byte{})
	for i := range 40 { // many at one instant, over two resources
		add([]string{"police.resident", "civil.marriage"}[i%2], exchange.RuleCheckDigit, day, fmt.Appendf(nil, "row %d\x00\xd5\xc5\r\n", i))
	}
	startSink(t, s, b)
	stored := func(messages ...bus.Message) {
		t.Helper()
		publish(t, b, messages...)
		if err := s.StoredThrough(t.Context(), "rejected"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages { // in parts of their own
		stored(messages[i])
	}
	newest := func(a, b exchange.Rejected) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	}
	slices.SortFunc(want, newest)
	filtered := func(keep func(exchange.Rejected) bool) []exchange.Rejected {
		return slices.DeleteFunc(slices.Clone(want), func(r exchange.Rejected) bool { return !keep(r) })
	}
	for name, c := range map[string]struct {
		query exchange.RejectedQuery
		want  []exchange.Rejected
		pages int
	}{
		"all at once":    {exchange.RejectedQuery{}, want, 1},
		"by 7":           {exchange.RejectedQuery{Limit: 7}, want, 6},
		"by 41":          {exchange.RejectedQuery{Limit: 41}, want, 2},
		"by 42":          {exchange.RejectedQuery{Limit: 42}, want, 1},
		"of a resource":  {exchange.RejectedQuery{Resource: "civil.marriage", Limit: 6}, filtered(func(r exchange.Rejected) bool { return r.Resource == "civil.marriage" }), 4},
		"of a source":    {exchange.RejectedQuery{Source: "police/file", Limit: 6}, filtered(func(r exchange.Rejected) bool { return r.Source == "police/file" }), 4},
		"under a rule":   {exchange.RejectedQuery{Rule: exchange.RuleEncoding}, filtered(func(r exchange.Rejected) bool { return r.Rule == exchange.RuleEncoding }), 1},
		"of none":        {exchange.RejectedQuery{Resource: "it's"}, nil, 1},
		"all three said": {exchange.RejectedQuery{Resource: "police.resident", Source: "police/file", Rule: exchange.RuleMalformed}, filtered(func(r exchange.Rejected) bool { return r.Rule == exchange.RuleMalformed }), 1},
	} {
		got, n := pages(t, s, c.query)
		if n != c.pages || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %d records on %d pages, want %d on %d, or they differ", name, len(got), n, len(c.want), c.pages)
		}
	}
	for _, r := range want {
		if got, err := s.RejectedRecord(t.Context(), r.ID); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, r)
		}
	}

	// While somebody pages, the last row is rejected again, by another rule: it moves to the front, once, and nothing else moves.
	first, next, err := s.RejectedRecords(t.Context(), exchange.RejectedQuery{Limit: 30})
	if err != nil {
		t.Fatal(err)
	}
	again, m := refuse(t, "police.resident", exchange.RuleSchema, day.Add(time.Hour), []byte{})
	stored(m)
	rest, _ := pages(t, s, exchange.RejectedQuery{Limit: 30, After: next})
	if got := append(first, rest...); !reflect.DeepEqual(got, want[:len(want)-1]) {
		t.Errorf("%d records while one is rejected again, want the other %d", len(got), len(want)-1)
	}
	if got, _ := pages(t, s, exchange.RejectedQuery{}); len(got) != len(want) || !reflect.DeepEqual(got[0], again) {
		t.Errorf("%d records, the first %+v", len(got), got[0])
	}
	if got, _ := pages(t, s, exchange.RejectedQuery{Rule: exchange.RuleMalformed}); len(got) != 0 {
		t.Errorf("under its old rule: %+v", got)
	}
}

// TestRejectedLong has pages end where they grow too long, even with one record, and keeps every byte.
func TestRejectedLong(t *testing.T) {
	cfg, b := config(t), openBus(t)
	cfg.Feed = b // the sink may not have begun when the log is asked
	s := openStore(t, cfg)
	startSink(t, s, b)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var want []exchange.Rejected
	for i := range 12 {
		r, m := refuse(t, "police.resident", exchange.RuleMalformed, day.Add(-time.Duration(i)*time.Minute), []byte(strings.Repeat(fmt.Sprintf("%d\xff", i), 200_000)))
		want = append(want, r)
		publish(t, b, m)
	}
	if err := s.StoredThrough(t.Context(), "rejected"); err != nil {
		t.Fatal(err)
	}
	got, n := pages(t, s, exchange.RejectedQuery{Limit: 11})
	if n != 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d records on %d pages, want %d on 3, or they differ", len(got), n, len(want))
	}
}

func TestRejectedRefuses(t *testing.T) {
	s := openStore(t, config(t))
	for _, q := range []exchange.RejectedQuery{
		{Limit: -1},
		{Limit: exchange.MaxRejected + 1},
		{After: "x"},
		{After: "-"},
		{After: "12-" + strings.Repeat("z", 64)},
		{After: strings.Repeat("ab", 32)},
		{After: "9223372036854775807-" + strings.Repeat("ab", 32)},
		{After: "1'-" + strings.Repeat("ab", 32)},
	} {
		if _, _, err := s.RejectedRecords(t.Context(), q); !errors.Is(err, exchange.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, id := range []string{"", "x", "'", strings.Repeat("ab", 32), strings.Repeat("ab", 31)} {
		if _, err := s.RejectedRecord(t.Context(), id); !errors.Is(err, exchange.ErrUnknownRejected) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func FuzzRejectedToken(f *testing.F) {
	f.Add(rejectedToken(exchange.Rejected{ID: strings.Repeat("0f", 32), Time: time.Unix(-1, 5000)}))
	f.Add("1-" + strings.Repeat("0", 63))
	f.Fuzz(func(t *testing.T, token string) {
		at, id, err := parseRejectedToken(token)
		if err != nil {
			return
		}
		again, same, err := parseRejectedToken(rejectedToken(exchange.Rejected{ID: id, Time: at}))
		if err != nil || !again.Equal(at) || same != id || strings.ContainsAny(id, `'\`) {
			t.Fatalf("%q gives %s and %q, and those %s and %q: %v", token, at, id, again, same, err)
		}
	})
}
