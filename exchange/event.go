package exchange

import (
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

// ErrEvent is wrapped when a message of a topic is not an event of this system.
var ErrEvent = errors.New("exchange: not a record event")

// The ce_type values of the events on record topics.
const (
	typeUpsert = "onewindow.record.upsert.v1"
	typeDelete = "onewindow.record.delete.v1"
)

// Event encodes a record as a CloudEvents 1.0 event in the Kafka binary
// binding: key = record key, attributes in ce_ headers, payload as the value.
// ce_subject is the record key; the extensions ce_resource, ce_kind,
// ce_recordedtime and ce_late carry what the sink needs.
func (r Record) Event() bus.Message {
	ceType := typeUpsert
	if r.Operation == Delete {
		ceType = typeDelete
	}
	headers := []bus.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(r.ID)},
		{Key: "ce_source", Value: []byte(r.Source)},
		{Key: "ce_type", Value: []byte(ceType)},
		{Key: "ce_subject", Value: []byte(r.Key)},
		{Key: "ce_time", Value: []byte(r.EventTime.UTC().Format(time.RFC3339Nano))},
		{Key: "ce_resource", Value: []byte(r.Resource)},
		{Key: "ce_kind", Value: []byte(r.Kind)},
		{Key: "content-type", Value: []byte("application/json")},
	}
	if !r.RecordedTime.IsZero() {
		headers = append(headers, bus.Header{Key: "ce_recordedtime", Value: []byte(r.RecordedTime.UTC().Format(time.RFC3339Nano))})
	}
	if r.Late {
		headers = append(headers, bus.Header{Key: "ce_late", Value: []byte("true")})
	}
	return bus.Message{Topic: TopicOf(r.Resource), Key: []byte(r.Key), Value: r.Payload, Headers: headers}
}

// ParseEvent decodes a message of a records topic. It wraps [ErrEvent] when
// the message is something else.
func ParseEvent(m bus.Message) (Record, error) {
	r := Record{Key: string(m.Key), Payload: m.Value}
	var version, ceType string
	var err error
	for _, h := range m.Headers {
		value := string(h.Value)
		switch h.Key {
		case "ce_specversion":
			version = value
		case "ce_id":
			r.ID = value
		case "ce_source":
			r.Source = value
		case "ce_type":
			ceType = value
		case "ce_time":
			r.EventTime, err = time.Parse(time.RFC3339Nano, value)
		case "ce_recordedtime":
			r.RecordedTime, err = time.Parse(time.RFC3339Nano, value)
		case "ce_resource":
			r.Resource = value
		case "ce_kind":
			r.Kind = Kind(value)
		case "ce_late":
			r.Late = value == "true"
		}
		if err != nil {
			return Record{}, fmt.Errorf("%w: %s/%d/%d: header %s: %w", ErrEvent, m.Topic, m.Partition, m.Offset, h.Key, err)
		}
	}
	switch ceType {
	case typeUpsert:
		r.Operation = Upsert
	case typeDelete:
		r.Operation = Delete
	default:
		return Record{}, fmt.Errorf("%w: %s/%d/%d: ce_type %q", ErrEvent, m.Topic, m.Partition, m.Offset, ceType)
	}
	if version != "1.0" || len(r.ID) != 64 || r.Resource == "" || r.EventTime.IsZero() {
		return Record{}, fmt.Errorf("%w: %s/%d/%d: a required attribute is missing", ErrEvent, m.Topic, m.Partition, m.Offset)
	}
	return r, nil
}
