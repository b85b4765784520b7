package exchange

import (
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

func FuzzParseEvent(f *testing.F) {
	r := Record{ID: RecordID("market.enterprise", "k", Upsert, testNow, []byte("{}")), Resource: "market.enterprise", Source: "market/x", Kind: Register, Key: "k", Operation: Upsert, EventTime: testNow, RecordedTime: testNow, Late: true, Payload: []byte("{}")}
	for _, h := range r.Event().Headers {
		f.Add(h.Key, h.Value, []byte("k"), []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, header string, value, key, payload []byte) {
		m := r.Event()
		m.Key, m.Value = key, payload
		m.Headers = append(m.Headers, bus.Header{Key: header, Value: value})
		parsed, err := ParseEvent(m)
		if err != nil {
			return
		}
		again, err := ParseEvent(parsed.Event())
		if err != nil {
			t.Fatalf("an accepted event does not survive: %v", err)
		}
		if again.ID != parsed.ID || again.Key != parsed.Key || again.Resource != parsed.Resource || !again.EventTime.Equal(parsed.EventTime) {
			t.Fatalf("%+v became %+v", parsed, again)
		}
	})
}

func FuzzParseRejected(f *testing.F) {
	m, err := Rejected{ID: rejectedID("a.b", "a/c", "x:1", []byte("raw")), Resource: "a.b", Source: "a/c", Rule: RuleKey, Raw: []byte("raw"), Time: testNow}.Event()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Key, m.Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := ParseRejected(bus.Message{Key: key, Value: value})
		if err == nil && (len(r.ID) != 64 || r.Rule == "") {
			t.Fatalf("accepted %+v", r)
		}
	})
}

func FuzzExamine(f *testing.F) {
	v, err := newValidator(Resource{Name: "market.enterprise", Kind: Register, Schema: []byte(testSchema)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("k", []byte(`{"uscc":"11100000000013338W","name":"a","capital":1e3}`))
	f.Add("k", []byte(`{"name":{"a":[1,2,{"b":null}]}}`))
	f.Fuzz(func(t *testing.T, key string, payload []byte) {
		d := Draft{Key: key, EventTime: testNow, Payload: payload}
		if v.examine(&d, testNow.Add(time.Hour)) != nil {
			return
		}
		first := RecordID("r", d.Key, d.Operation, d.EventTime, d.Payload)
		if v.examine(&d, testNow) != nil || RecordID("r", d.Key, d.Operation, d.EventTime, d.Payload) != first {
			t.Fatal("examining an accepted draft again gives something else")
		}
	})
}
