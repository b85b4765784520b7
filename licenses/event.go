package licenses

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// EventsTopic is the topic of what happens to licences. It must exist before the
// outbox is relayed.
const EventsTopic = "licenses.events"

// The ce_type values on [EventsTopic].
const (
	TypeIssued    = exchange.TypePrefix + "license.issued.v1"
	TypeSuspended = exchange.TypePrefix + "license.suspended.v1"
	TypeResumed   = exchange.TypePrefix + "license.resumed.v1"
	TypeRevoked   = exchange.TypePrefix + "license.revoked.v1"
)

// Event is the value of a message on [EventsTopic], as JSON. It says nothing
// of the holder.
type Event struct {
	Number     string `json:"number"`
	Type       string `json:"type"`
	Issuer     string `json:"issuer"`
	Department string `json:"department"`
	Status     Status `json:"status"`
	// Sequence orders the events of a licence: 0 is the issue.
	Sequence int64     `json:"sequence"`
	Time     time.Time `json:"time"`
}

// event encodes what happened to a licence at a time as a CloudEvents 1.0
// event in the Kafka binary binding, keyed by number. Its id follows from
// number and sequence, so that a repetition is recognised.
func event(l License, ceType string, at time.Time) (bus.Message, error) {
	at = at.UTC()
	value, err := json.Marshal(Event{
		Number: l.Number, Type: l.Type, Issuer: l.Issuer, Department: l.Department,
		Status: l.Status, Sequence: l.changes, Time: at,
	})
	if err != nil {
		return bus.Message{}, fmt.Errorf("licenses: encode event: %w", err)
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s/%d", l.Number, l.changes))
	return bus.Message{Topic: EventsTopic, Key: []byte(l.Number), Value: value, Headers: []bus.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(hex.EncodeToString(id[:]))},
		{Key: "ce_source", Value: []byte(l.Department + "/licenses")},
		{Key: "ce_type", Value: []byte(ceType)},
		{Key: "ce_subject", Value: []byte(l.Number)},
		{Key: "ce_time", Value: []byte(at.Format(time.RFC3339Nano))},
		{Key: "content-type", Value: []byte("application/json")},
	}}, nil
}
