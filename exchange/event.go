package exchange

import (
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

// ErrEvent is wrapped when a message of a topic is not an event of this system.
var ErrEvent = errors.New("exchange: not a record event")

// TypePrefix begins the ce_type of every event of this system: a domain name turned round, as CloudEvents 1.0 asks for.
const TypePrefix = "org.onewindow."

// The ce_type values of the events on record topics. Those that were written before types had a prefix stay readable.
const (
	typeUpsert    = TypePrefix + "record.upsert.v1"
	typeDelete    = TypePrefix + "record.delete.v1"
	oldTypeUpsert = "onewindow.record.upsert.v1"
	oldTypeDelete = "onewindow.record.delete.v1"
)

// Event encodes a record as a CloudEvents 1.0 event in the Kafka binary
// binding: key = record key, attributes in ce_ headers, payload as the value.
// ce_subject is the record key; the extensions ce_resource, ce_kind,
// ce_recordedtime and ce_late carry what the sink needs.
//
// The value of a delete is null (a tombstone): the event says by its type that
// the record of ce_subject is no longer current, and a compacted copy of the
// topic forgets the key. Consumers must not decode the value of a delete.
func (r Record) Event() bus.Message {
	ceType := typeUpsert
	if r.Operation == Delete {
		ceType = typeDelete
	}
	// Eleven headers of each of many records: their values lie in one piece of memory.
	h := headers{
		list: make([]bus.Header, 0, 11),
		text: make([]byte, 0, 160+len(r.ID)+len(r.Source)+len(r.Key)+len(r.Resource)+len(r.Kind)),
	}
	h.add("ce_specversion", "1.0")
	h.add("ce_id", r.ID)
	h.add("ce_source", r.Source)
	h.add("ce_type", ceType)
	key := h.add("ce_subject", r.Key)
	h.addTime("ce_time", r.EventTime)
	h.add("ce_resource", r.Resource)
	h.add("ce_kind", string(r.Kind))
	h.add("content-type", "application/json")
	if !r.RecordedTime.IsZero() {
		h.addTime("ce_recordedtime", r.RecordedTime)
	}
	if r.Late {
		h.add("ce_late", "true")
	}
	return bus.Message{Topic: TopicOf(r.Resource), Key: key, Value: r.Payload, Headers: h.list}
}

// headers collects the headers of one message.
type headers struct {
	list []bus.Header
	text []byte
}

func (h *headers) add(key, value string) []byte {
	start := len(h.text)
	h.text = append(h.text, value...)
	return h.end(key, start)
}

func (h *headers) addTime(key string, at time.Time) {
	start := len(h.text)
	h.text = at.UTC().AppendFormat(h.text, time.RFC3339Nano)
	h.end(key, start)
}

// end makes a header of what was added to text; appending to its value would copy it.
func (h *headers) end(key string, start int) []byte {
	value := h.text[start:len(h.text):len(h.text)]
	h.list = append(h.list, bus.Header{Key: key, Value: value})
	return value
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
	case typeUpsert, oldTypeUpsert:
		r.Operation = Upsert
	case typeDelete, oldTypeDelete:
		r.Operation = Delete
	default:
		return Record{}, fmt.Errorf("%w: %s/%d/%d: ce_type %q", ErrEvent, m.Topic, m.Partition, m.Offset, ceType)
	}
	if version != "1.0" || len(r.ID) != 64 || r.Resource == "" || r.EventTime.IsZero() {
		return Record{}, fmt.Errorf("%w: %s/%d/%d: a required attribute is missing", ErrEvent, m.Topic, m.Partition, m.Offset)
	}
	return r, nil
}
