package exchange

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

const (
	testUSCC    = "11100000000013338W"
	testCitizen = "11010519491231002X"
	testSchema  = `{"type":"object","required":["uscc","name"],"additionalProperties":false,"properties":{
		"uscc":{"type":"string","format":"uscc"},"name":{"type":"string","minLength":1},
		"owner":{"type":"string","format":"citizen-number"},"capital":{"type":"number","minimum":0},
		"state":{"enum":["open","closed"]},"phone":{"type":"string","pattern":"^[0-9]+$"}}}`
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fixture is an exchange on an embedded broker with one department and one resource.
type fixture struct {
	exchange *Exchange
	bus      *bus.Bus
}

func newFixture(t testing.TB, db *sqldb.DB) fixture {
	t.Helper()
	topics, err := bus.Open(t.Context(), bus.Config{URL: "embedded:" + t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := topics.Close(); err != nil {
			t.Errorf("close bus: %v", err)
		}
	})
	e, err := New(t.Context(), Config{
		DB: db, Topics: topics, Logger: slog.New(slog.DiscardHandler), Partitions: 1, Now: func() time.Time { return testNow },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.PutDepartment(t.Context(), Department{Code: "market", USCC: testUSCC, Title: "市场监督管理局", Region: "610924"}); err != nil {
		t.Fatal(err)
	}
	err = e.PutResource(t.Context(), Resource{
		Name: "market.enterprise", Title: "企业", Kind: Register, ShareType: Unconditional, Schema: []byte(testSchema), AgreedDelaySeconds: 3600,
	})
	if err != nil {
		t.Fatal(err)
	}
	return fixture{exchange: e, bus: topics}
}

func openSQLite(t testing.TB) *sqldb.DB {
	t.Helper()
	return sqldbtest.Open(t, "sqlite:"+t.TempDir()+"/state.db")
}

// read returns what a topic's only partition holds.
func (f fixture) read(t *testing.T, topic string) []bus.Message {
	t.Helper()
	_, end, err := f.bus.Bounds(t.Context(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := f.bus.Read(t.Context(), topic, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []bus.Message
	for int64(len(all)) < end {
		msgs, err := reader.Next(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, msgs...)
	}
	return all
}

func TestPublishJudgesEachDraft(t *testing.T) {
	good := `{"uscc":"` + testUSCC + `","name":"茶叶合作社","capital":12345678901234567.89}`
	at := testNow.Add(-time.Hour * 24)
	cases := []struct {
		name    string
		draft   Draft
		rule    string
		field   string
		finding string
	}{
		{name: "good", draft: Draft{Key: "1", EventTime: at, Payload: []byte(good)}},
		{name: "white space is not part of the record", draft: Draft{Key: "1", EventTime: at, Payload: []byte(strings.Replace(good, ",", " ,\n ", 1))}},
		{name: "delete", draft: Draft{Key: "1", EventTime: at, Operation: Delete}},
		{name: "late", draft: Draft{Key: "2", EventTime: at, RecordedTime: at.Add(2 * time.Hour), Payload: []byte(good)}, finding: FindingLate},
		{name: "in time", draft: Draft{Key: "2", EventTime: at, RecordedTime: at.Add(time.Hour), Payload: []byte(good)}},
		{name: "missing field", draft: Draft{Key: "3", EventTime: at, Payload: []byte(`{"uscc":"` + testUSCC + `"}`)}, rule: RuleMissingField, field: "/name"},
		{name: "missing field before check digit", draft: Draft{Key: "3", EventTime: at, Payload: []byte(`{"uscc":"11100000000013338X"}`)}, rule: RuleMissingField, field: "/name"},
		{name: "check digit of a USCC", draft: Draft{Key: "4", EventTime: at, Payload: []byte(`{"uscc":"11100000000013338X","name":"a"}`)}, rule: RuleCheckDigit, field: "/uscc"},
		{name: "check digit of a citizen", draft: Draft{Key: "4", EventTime: at, Payload: []byte(`{"uscc":"` + testUSCC + `","name":"a","owner":"110105194912310021"}`)}, rule: RuleCheckDigit, field: "/owner"},
		{name: "unknown member", draft: Draft{Key: "5", EventTime: at, Payload: []byte(`{"uscc":"` + testUSCC + `","name":"a","x":1}`)}, rule: RuleSchema},
		{name: "wrong type", draft: Draft{Key: "5", EventTime: at, Payload: []byte(`{"uscc":"` + testUSCC + `","name":7}`)}, rule: RuleSchema, field: "/name"},
		{name: "pattern", draft: Draft{Key: "5", EventTime: at, Payload: []byte(`{"uscc":"` + testUSCC + `","name":"a","phone":"x1"}`)}, rule: RuleSchema, field: "/phone"},
		{name: "enum", draft: Draft{Key: "5", EventTime: at, Payload: []byte(`{"uscc":"` + testUSCC + `","name":"a","state":"x"}`)}, rule: RuleSchema, field: "/state"},
		{name: "not JSON", draft: Draft{Key: "6", EventTime: at, Payload: []byte(`{"a":`)}, rule: RuleMalformed},
		{name: "not an object", draft: Draft{Key: "6", EventTime: at, Payload: []byte(`[1]`)}, rule: RuleMalformed},
		{name: "no key", draft: Draft{EventTime: at, Payload: []byte(good)}, rule: RuleKey},
		{name: "long key", draft: Draft{Key: strings.Repeat("k", 257), EventTime: at, Payload: []byte(good)}, rule: RuleKey},
		{name: "no event time", draft: Draft{Key: "7", Payload: []byte(good)}, rule: RuleEventTime, field: "eventTime"},
		{name: "event in the future", draft: Draft{Key: "7", EventTime: testNow.Add(25 * time.Hour), Payload: []byte(good)}, rule: RuleEventTime, field: "eventTime"},
		{name: "refused by the connector", draft: Draft{Origin: "a.csv:7", Raw: []byte{0xff, 'x'}, Rejection: &Rejection{Rule: RuleEncoding, Detail: "not GBK"}}, rule: RuleEncoding},
		{name: "too large", draft: Draft{Key: "8", EventTime: at, Payload: []byte(`{"name":"` + strings.Repeat("x", maxPayloadBytes) + `"}`)}, rule: RuleMalformed},
	}
	f := newFixture(t, openSQLite(t))
	drafts := make([]Draft, len(cases))
	for i, c := range cases {
		drafts[i] = c.draft
	}
	outcomes, err := f.exchange.Publish(t.Context(), "market.enterprise", "market/test", drafts)
	if err != nil {
		t.Fatal(err)
	}
	accepted, rejected := f.read(t, "records.market.enterprise"), f.read(t, RejectedTopic)
	for i, c := range cases {
		out := outcomes[i]
		if c.rule == "" {
			if out.Rejection != nil {
				t.Errorf("%s: rejected: %+v", c.name, *out.Rejection)
				continue
			}
			r, err := ParseEvent(accepted[out.Position.Offset])
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if r.ID != out.ID || r.Key != c.draft.Key || !r.EventTime.Equal(c.draft.EventTime) || r.Source != "market/test" || r.Kind != Register {
				t.Errorf("%s: the event is %+v", c.name, r)
			}
			if got := slices.Contains(out.Findings, FindingLate); got != (c.finding == FindingLate) || r.Late != got {
				t.Errorf("%s: findings %v, event late %v", c.name, out.Findings, r.Late)
			}
			continue
		}
		if out.Rejection == nil || out.Rejection.Rule != c.rule || out.Rejection.Field != c.field {
			t.Errorf("%s: got %+v, want rule %s on %q", c.name, out.Rejection, c.rule, c.field)
			continue
		}
		r, err := ParseRejected(rejected[out.Position.Offset])
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := c.draft.Raw
		if want == nil {
			want = c.draft.Payload
		}
		if len(want) <= maxPayloadBytes && string(r.Raw) != string(want) {
			t.Errorf("%s: the original bytes are not kept", c.name)
		}
	}
	if outcomes[0].ID != outcomes[1].ID {
		t.Error("white space changed the id of a record")
	}
	if got := string(accepted[0].Value); got != good {
		t.Errorf("the payload changed on the way: %s", got)
	}
	again, err := f.exchange.Publish(t.Context(), "market.enterprise", "market/test", drafts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i].ID != outcomes[i].ID {
			t.Errorf("%s: another id the second time", cases[i].name)
		}
	}
}

func TestPublishToAnUnknownResource(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	_, err := f.exchange.Publish(t.Context(), "market.nothing", "market/test", []Draft{{Key: "1"}})
	if !errors.Is(err, ErrUnknownResource) {
		t.Fatalf("got %v", err)
	}
}

func TestCatalogueRefusesWhatIsWrong(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	ctx := t.Context()
	resource := func(change func(*Resource)) error {
		r := Resource{Name: "market.x", Title: "x", Kind: Register, ShareType: Unconditional, Schema: []byte(`{}`)}
		change(&r)
		return f.exchange.PutResource(ctx, r)
	}
	cases := []struct {
		name string
		err  error
		want error
	}{
		{"department code", f.exchange.PutDepartment(ctx, Department{Code: "Market", USCC: testUSCC, Title: "x", Region: "610924"}), ErrInvalid},
		{"department USCC", f.exchange.PutDepartment(ctx, Department{Code: "police", USCC: "11100000000013338X", Title: "x", Region: "610924"}), ErrInvalid},
		{"USCC taken", f.exchange.PutDepartment(ctx, Department{Code: "police", USCC: testUSCC, Title: "x", Region: "610924"}), ErrConflict},
		{"region", f.exchange.PutDepartment(ctx, Department{Code: "police", USCC: testUSCC, Title: "x", Region: "61"}), ErrInvalid},
		{"resource name", resource(func(r *Resource) { r.Name = "market" }), ErrInvalid},
		{"resource of nobody", resource(func(r *Resource) { r.Name = "nobody.x" }), ErrUnknownDepartment},
		{"schema not JSON", resource(func(r *Resource) { r.Schema = []byte(`{`) }), ErrInvalid},
		{"schema not a schema", resource(func(r *Resource) { r.Schema = []byte(`{"type":"nothing"}`) }), ErrInvalid},
		{"schema that reads a file", resource(func(r *Resource) { r.Schema = []byte(`{"$ref":"file:///etc/hostname"}`) }), ErrInvalid},
		{"no kind", resource(func(r *Resource) { r.Kind = "" }), ErrInvalid},
		{"matter of nobody", f.exchange.PutMatters(ctx, []Matter{{Code: "M1", Title: "x", Department: "nobody", Type: Promised}}), ErrUnknownDepartment},
		{"matter without code", f.exchange.PutMatters(ctx, []Matter{{Title: "x", Department: "market", Type: Promised}}), ErrInvalid},
		{"material twice", f.exchange.PutMatters(ctx, []Matter{{Code: "M1", Title: "x", Department: "market", Type: Promised, Materials: []Material{{Code: "A"}, {Code: "A"}}}}), ErrInvalid},
		{"good", resource(func(*Resource) {}), nil},
	}
	for _, c := range cases {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.err, c.want)
		}
	}
}

func TestAChangedSchemaCountsAtOnce(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	draft := []Draft{{Key: "1", EventTime: testNow, Payload: []byte(`{"other":1}`)}}
	if out, err := f.exchange.Publish(t.Context(), "market.enterprise", "market/test", draft); err != nil || out[0].Rejection == nil {
		t.Fatalf("outcome %+v, error %v", out, err)
	}
	err := f.exchange.PutResource(t.Context(), Resource{Name: "market.enterprise", Title: "x", Kind: Register, ShareType: Unconditional, Schema: []byte(`{"required":["other"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := f.exchange.Publish(t.Context(), "market.enterprise", "market/test", draft); err != nil || out[0].Rejection != nil {
		t.Fatalf("outcome %+v, error %v", out, err)
	}
}

func TestCatalogueListsInPages(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		f := newFixture(t, open())
		var matters []Matter
		for _, code := range []string{"A-1", "A-2", "B-1"} {
			matters = append(matters, Matter{Code: code, Title: "事项", Department: "market", Type: Joint, PromisedDays: 3, StatutoryDays: 20, Materials: []Material{{Code: "ID", Title: "身份证", Resource: "market.enterprise"}}})
		}
		for range 2 { // replacing is not adding
			if err := f.exchange.PutMatters(t.Context(), matters); err != nil {
				t.Fatal(err)
			}
		}
		first, err := f.exchange.Matters(t.Context(), "market", "", 2)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := f.exchange.Matters(t.Context(), "", first[1].Code, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(first) != 2 || len(rest) != 1 || rest[0].Code != "B-1" || rest[0].Materials[0].Title != "身份证" {
			t.Fatalf("first %+v, rest %+v", first, rest)
		}
		if none, err := f.exchange.Matters(t.Context(), "police", "", 2); err != nil || len(none) != 0 {
			t.Fatalf("another department's: %+v, %v", none, err)
		}
	})
}

func TestOutboxPublishesWhatIsCommittedInOrder(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		f := newFixture(t, db)
		if err := f.bus.EnsureTopic(t.Context(), "licenses.events", bus.TopicOptions{Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		outbox, err := OpenOutbox(t.Context(), db, f.bus, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		put := func(value string, fail error) error {
			return db.InTx(t.Context(), func(tx *sql.Tx) error {
				if err := outbox.Put(t.Context(), tx, bus.Message{Topic: "licenses.events", Key: []byte("k"), Value: []byte(value), Headers: []bus.Header{{Key: "ce_id", Value: []byte("1")}}}); err != nil {
					return err
				}
				return fail
			})
		}
		undone := errors.New("undone")
		for _, step := range []struct {
			value string
			fail  error
		}{{"one", nil}, {"never", undone}, {"two", nil}, {"three", nil}} {
			if err := put(step.value, step.fail); !errors.Is(err, step.fail) {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- outbox.Run(ctx) }()
		var got []string
		for len(got) < 3 {
			got = got[:0]
			for _, m := range f.read(t, "licenses.events") {
				got = append(got, string(m.Value))
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var left int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM outbox`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if all := f.read(t, "licenses.events"); !slices.Equal(got, []string{"one", "two", "three"}) || len(all) != 3 || left != 0 {
			t.Fatalf("published %v, %d messages, %d left", got, len(all), left)
		}
	})
}
