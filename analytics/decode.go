package analytics

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// LicensesTopic is the topic of what happens to licences.
const LicensesTopic = "licenses.events"

// RuleNotAnEvent is the rule under which a message that is no event is kept.
const RuleNotAnEvent = "NOT_AN_EVENT"

// The instants that ClickHouse's DateTime64(6) can hold, with room for any time zone.
const (
	firstYear = 1901
	lastYear  = 2298
)

// identity tells one message from every other: the record id where there is one.
type identity [sha256.Size]byte

// item is one message of a topic. Exactly one of record, rejected and license is set.
type item struct {
	offset   int64
	id       identity
	record   *exchange.Record
	rejected *exchange.Rejected
	license  *licenseEvent
	notEvent bool // rejected says why this is no event
}

// licenseEvent is a CloudEvent of LicensesTopic.
type licenseEvent struct {
	id, kind, source, subject string
	time                      time.Time
	value                     []byte
}

// decode reads a message by the rules of its topic. What breaks them becomes an item to keep, never an error.
func decode(m bus.Message) item {
	it := item{offset: m.Offset}
	var err error
	switch m.Topic {
	case exchange.RejectedTopic:
		err = it.readRejected(m)
	case LicensesTopic:
		err = it.readLicense(m)
	default:
		err = it.readRecord(m)
	}
	if err == nil {
		return it
	}
	h := sha256.New()
	h.Write(fmt.Appendf(nil, "%s/%d/%d/%d:", m.Topic, m.Partition, m.Offset, len(m.Key)))
	h.Write(m.Key)
	h.Write(m.Value)
	bad := item{offset: m.Offset, notEvent: true}
	h.Sum(bad.id[:0])
	bad.rejected = &exchange.Rejected{
		ID: hex.EncodeToString(bad.id[:]), Resource: strings.TrimPrefix(m.Topic, exchange.RecordsTopicPrefix),
		Origin: fmt.Sprintf("%s/%d/%d", m.Topic, m.Partition, m.Offset),
		Rule:   RuleNotAnEvent, Detail: err.Error(), Raw: m.Value, Time: storable(m.Time),
	}
	return bad
}

// readRecord reads an accepted record. The id must be the one that its content has: then two records with one id are
// the same record, and the guard may look for an id where its event time says.
func (it *item) readRecord(m bus.Message) error {
	r, err := exchange.ParseEvent(m)
	if err != nil {
		return err
	}
	if exchange.TopicOf(r.Resource) != m.Topic {
		return errors.New("ce_resource is not the resource of the topic")
	}
	if year := r.EventTime.UTC().Year(); year < firstYear || year > lastYear {
		return fmt.Errorf("ce_time is not between %d and %d", firstYear, lastYear)
	}
	r.RecordedTime = storable(r.RecordedTime)
	if r.ID != exchange.RecordID(r.Resource, r.Key, r.Operation, r.EventTime, r.Payload) {
		return errors.New("ce_id is not the id of the record's content")
	}
	it.record = &r
	_, err = hex.Decode(it.id[:], []byte(r.ID))
	return err
}

func (it *item) readRejected(m bus.Message) error {
	r, err := exchange.ParseRejected(m)
	if err != nil {
		return err
	}
	if _, err := hex.Decode(it.id[:], []byte(r.ID)); err != nil {
		return fmt.Errorf("key is not a record id: %w", err)
	}
	r.Time = storable(r.Time)
	it.rejected = &r
	return nil
}

// readLicense reads a CloudEvent in the Kafka binary binding.
func (it *item) readLicense(m bus.Message) error {
	e := licenseEvent{value: m.Value}
	for _, h := range m.Headers {
		value := string(h.Value)
		switch h.Key {
		case "ce_id":
			e.id = value
		case "ce_type":
			e.kind = value
		case "ce_source":
			e.source = value
		case "ce_subject":
			e.subject = value
		case "ce_time":
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return fmt.Errorf("header ce_time: %w", err)
			}
			e.time = at.UTC()
		}
	}
	if e.id == "" || e.kind == "" {
		return errors.New("ce_id or ce_type is missing")
	}
	if e.time.IsZero() {
		e.time = m.Time.UTC()
	}
	if year := e.time.Year(); year < firstYear || year > lastYear {
		return fmt.Errorf("ce_time is not between %d and %d", firstYear, lastYear)
	}
	h := sha256.New()
	h.Write(fmt.Appendf(nil, "%d:%s%d:%s%d:%s", len(e.id), e.id, len(e.kind), e.kind, len(e.source), e.source))
	h.Write(e.value)
	h.Sum(it.id[:0])
	it.license = &e
	return nil
}

// storable replaces an instant that ClickHouse cannot hold by the beginning of 1970, which stands for unknown.
func storable(t time.Time) time.Time {
	if year := t.UTC().Year(); year < firstYear || year > lastYear {
		return time.Unix(0, 0).UTC()
	}
	return t.UTC()
}

// batch is what one insert takes: neighbours in the log.
type batch struct {
	items []item
	bytes int
}

// digest is over the identities of all messages in their order.
func (b batch) digest() string {
	h := sha256.New()
	for i := range b.items {
		h.Write(b.items[i].id[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// first and last are the batch's ends in the log; lastDigest is the identity of its last message.
func (b batch) first() int64       { return b.items[0].offset }
func (b batch) last() int64        { return b.items[len(b.items)-1].offset }
func (b batch) lastDigest() string { return hex.EncodeToString(b.items[len(b.items)-1].id[:]) }

// without returns the items but for those at the dropped offsets.
func (b batch) without(dropped offsets) []item {
	if len(dropped) == 0 {
		return b.items
	}
	kept := make([]item, 0, len(b.items)-len(dropped))
	for i := range b.items {
		if len(dropped) > 0 && b.items[i].offset == dropped[0] {
			dropped = dropped[1:]
			continue
		}
		kept = append(kept, b.items[i])
	}
	return kept
}
