package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

const typeRejected = TypePrefix + "record.rejected.v1"

// Rejected is a refused record as it travels on [RejectedTopic] and is kept
// for mending: where it came from, what is wrong, and its original bytes.
type Rejected struct {
	// ID is deterministic over resource, source, origin and raw bytes, so that a row that is read again is kept once.
	ID       string    `json:"-"`
	Resource string    `json:"resource"`
	Source   string    `json:"source"`
	Origin   string    `json:"origin,omitempty"`
	Rule     string    `json:"rule"`
	Field    string    `json:"field,omitempty"`
	Detail   string    `json:"detail"`
	Raw      []byte    `json:"raw"`
	Time     time.Time `json:"time"`
}

// RejectedQuery asks for rejected records; empty members do not narrow it.
type RejectedQuery struct {
	Resource, Source, Rule string
	// After is the token that came with the page before; empty for the first page.
	After string
	// Limit is 1 to [MaxRejected], or 0 for 100. A page of long records has fewer.
	Limit int
}

// MaxRejected is how many rejected records one page may have.
const MaxRejected = 1000

func rejectedID(resource, source, origin string, raw []byte) string {
	h := sha256.New()
	h.Write(fmt.Appendf(nil, "%d:%s%d:%s%d:%s", len(resource), resource, len(source), source, len(origin), origin))
	h.Write(raw)
	return hex.EncodeToString(h.Sum(nil))
}

// Event encodes r as a CloudEvent on [RejectedTopic], keyed by its id; the
// value is a JSON object whose member raw is base64.
func (r Rejected) Event() (bus.Message, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return bus.Message{}, fmt.Errorf("exchange: encode rejected record: %w", err)
	}
	return bus.Message{Topic: RejectedTopic, Key: []byte(r.ID), Value: value, Headers: []bus.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(r.ID)},
		{Key: "ce_source", Value: []byte(r.Source)},
		{Key: "ce_type", Value: []byte(typeRejected)},
		{Key: "ce_subject", Value: []byte(r.Origin)},
		{Key: "ce_time", Value: []byte(r.Time.UTC().Format(time.RFC3339Nano))},
		{Key: "content-type", Value: []byte("application/json")},
	}}, nil
}

// ParseRejected decodes a message of [RejectedTopic]. It wraps [ErrEvent]
// when the message is something else.
func ParseRejected(m bus.Message) (Rejected, error) {
	var r Rejected
	if err := json.Unmarshal(m.Value, &r); err != nil {
		return Rejected{}, fmt.Errorf("%w: %s/%d/%d: %w", ErrEvent, m.Topic, m.Partition, m.Offset, err)
	}
	r.ID = string(m.Key)
	if len(r.ID) != 64 || r.Rule == "" {
		return Rejected{}, fmt.Errorf("%w: %s/%d/%d: a required attribute is missing", ErrEvent, m.Topic, m.Partition, m.Offset)
	}
	return r, nil
}
