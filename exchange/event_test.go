package exchange

import (
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

// TestEventTypesHaveAReverseDomain checks the types that are written, and that events with the types of older versions
// are read as the same records.
func TestEventTypesHaveAReverseDomain(t *testing.T) {
	at := time.Date(2025, 11, 3, 8, 0, 0, 0, time.UTC)
	for operation, want := range map[Operation]string{Upsert: "org.onewindow.record.upsert.v1", Delete: "org.onewindow.record.delete.v1"} {
		record := Record{ID: strings.Repeat("a", 64), Source: "market/enterprise", Key: "k", Resource: "market.enterprise", Operation: operation, EventTime: at}
		if operation == Upsert {
			record.Payload = []byte(`{}`)
		}
		m := record.Event()
		if isNull := m.Value == nil; isNull != (operation == Delete) {
			t.Errorf("%s: a null value: %v; only a delete has one", want, isNull)
		}
		old := bus.Message{Topic: m.Topic, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			if h.Key == "ce_type" {
				if string(h.Value) != want {
					t.Errorf("ce_type %s; want %s", h.Value, want)
				}
				h.Value = []byte(strings.TrimPrefix(want, "org."))
			}
			old.Headers = append(old.Headers, h)
		}
		now, err := ParseEvent(m)
		before, oldErr := ParseEvent(old)
		if err != nil || oldErr != nil || now.Operation != operation || before.Operation != operation || before.ID != now.ID {
			t.Errorf("%s: %v %v, the old type: %v %v", want, now.Operation, err, before.Operation, oldErr)
		}
	}
}
