package connectors

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// EventsTopic has what happened to sources: CloudEvents in the Kafka binary
// binding, keyed by the source's name.
const EventsTopic = "connectors.events"

// Event is something that the owner of a source should know.
type Event struct {
	Type EventType
	// Detail says what happened, in words.
	Detail string
}

// EventType is the ce_type of an event.
type EventType string

// The types of events.
const (
	EventDesired         EventType = exchange.TypePrefix + "connector.desired.v1"
	EventColumnsAdded    EventType = exchange.TypePrefix + "connector.columns-added.v1"
	EventColumnsChanged  EventType = exchange.TypePrefix + "connector.columns-changed.v1"
	EventColumnsAccepted EventType = exchange.TypePrefix + "connector.columns-accepted.v1"
	EventFault           EventType = exchange.TypePrefix + "connector.fault.v1"
	EventProof           EventType = exchange.TypePrefix + "connector.proof.v1"
)

// Outbox takes events into a transaction: they are published, at least once,
// if and only if it commits.
type Outbox interface {
	Put(ctx context.Context, tx *sql.Tx, msgs ...bus.Message) error
}

// put writes an event into a transaction, if there is one and somebody to tell.
func (r *Runner) put(ctx context.Context, tx *sql.Tx, source string, event Event) error {
	if event.Type == "" || r.cfg.Outbox == nil {
		return nil
	}
	now := r.cfg.Now().UTC().Format(time.RFC3339Nano)
	value, err := json.Marshal(map[string]string{"source": source, "detail": event.Detail, "time": now})
	if err != nil {
		return err
	}
	return r.cfg.Outbox.Put(ctx, tx, bus.Message{Topic: EventsTopic, Key: []byte(source), Value: value, Headers: []bus.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(newID())},
		{Key: "ce_source", Value: []byte(source)},
		{Key: "ce_type", Value: []byte(event.Type)},
		{Key: "ce_subject", Value: []byte(source)},
		{Key: "ce_time", Value: []byte(now)},
		{Key: "content-type", Value: []byte("application/json")},
	}})
}

// tell publishes an event that goes with no other change.
func (r *Runner) tell(ctx context.Context, source string, event Event) error {
	if r.cfg.Outbox == nil {
		return nil
	}
	return r.cfg.DB.InTx(ctx, func(tx *sql.Tx) error { return r.put(ctx, tx, source, event) })
}

// newID makes an id that sorts by time (RFC 9562, version 7).
func newID() string { return uuid.Must(uuid.NewV7()).String() }
