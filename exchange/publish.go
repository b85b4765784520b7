package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

const (
	maxKeyBytes     = 256
	maxPayloadBytes = 512 << 10
	// maxFuture is how far an event time may lie ahead of this clock.
	maxFuture = 24 * time.Hour
)

// Outcome is what became of a draft. Position is where it lies on the topic
// of its resource, or on [RejectedTopic] when Rejection is set.
type Outcome struct {
	ID        string
	Position  bus.Position
	Rejection *Rejection
	Findings  []string
}

// Publish checks drafts of one resource and puts each on the resource's topic
// or, with its reason and original bytes, on [RejectedTopic]. source is
// "<department>/<connector>". It returns one outcome per draft, in order, after
// the broker has all of them on disk. It wraps [ErrUnknownResource]. After an
// error nothing is known, and the same drafts must be published again: their
// ids are the same, so a repetition is stored once.
func (e *Exchange) Publish(ctx context.Context, resource, source string, drafts []Draft) ([]Outcome, error) {
	v, err := e.validator(ctx, resource)
	if err != nil {
		return nil, err
	}
	now := e.cfg.Now()
	outcomes := make([]Outcome, len(drafts))
	msgs := make([]bus.Message, len(drafts))
	for i := range drafts {
		if msgs[i], err = v.judge(&drafts[i], source, now, &outcomes[i]); err != nil {
			return nil, err
		}
	}
	positions, err := e.cfg.Topics.Publish(ctx, msgs...)
	if err != nil {
		return nil, fmt.Errorf("exchange: publish %d records of %s: %w", len(drafts), resource, err)
	}
	for i := range outcomes {
		outcomes[i].Position = positions[i]
	}
	return outcomes, nil
}

// Examine says what Publish would reject, nil for what it would accept, and
// brings accepted drafts into the form that Publish publishes. Nothing is
// published. It wraps [ErrUnknownResource].
func (e *Exchange) Examine(ctx context.Context, resource string, drafts []Draft) ([]*Rejection, error) {
	v, err := e.validator(ctx, resource)
	if err != nil {
		return nil, err
	}
	now := e.cfg.Now()
	rejections := make([]*Rejection, len(drafts))
	for i := range drafts {
		if rejections[i] = drafts[i].Rejection; rejections[i] == nil {
			rejections[i] = v.examine(&drafts[i], now)
		}
	}
	return rejections, nil
}

// judge decides about one draft, fills in its outcome and returns the message
// that carries the decision.
func (v *validator) judge(d *Draft, source string, now time.Time, out *Outcome) (bus.Message, error) {
	rejection := d.Rejection
	if rejection == nil {
		rejection = v.examine(d, now)
	}
	if rejection != nil {
		raw := d.Raw
		if raw == nil {
			raw = d.Payload
		}
		if len(raw) > maxPayloadBytes {
			whole := *rejection
			rejection = &whole // the draft's own is published again after an error
			rejection.Detail += fmt.Sprintf(" (only the first %d of %d bytes are kept)", maxPayloadBytes, len(raw))
			raw = raw[:maxPayloadBytes]
		}
		out.Rejection = rejection
		out.ID = rejectedID(v.resource.Name, source, d.Origin, raw)
		return Rejected{
			ID: out.ID, Resource: v.resource.Name, Source: source, Origin: d.Origin, Time: now,
			Rule: rejection.Rule, Field: rejection.Field, Detail: rejection.Detail, Raw: raw,
		}.Event()
	}
	r := Record{
		ID:       RecordID(v.resource.Name, d.Key, d.Operation, d.EventTime, d.Payload),
		Resource: v.resource.Name, Source: source, Kind: v.resource.Kind,
		Key: d.Key, Operation: d.Operation, EventTime: d.EventTime, RecordedTime: d.RecordedTime, Payload: d.Payload,
	}
	out.ID, out.Findings = r.ID, d.Findings
	delay := time.Duration(v.resource.AgreedDelaySeconds) * time.Second
	if delay > 0 && !d.RecordedTime.IsZero() && d.RecordedTime.Sub(d.EventTime) > delay {
		r.Late = true
		out.Findings = append(out.Findings[:len(out.Findings):len(out.Findings)], FindingLate)
	}
	return r.Event(), nil
}

// examine normalises a draft in place and returns why it is refused, or nil.
func (v *validator) examine(d *Draft, now time.Time) *Rejection {
	if d.Operation == "" {
		d.Operation = Upsert
	}
	switch {
	case d.Key == "":
		return &Rejection{Rule: RuleKey, Detail: "the record has no key"}
	case len(d.Key) > maxKeyBytes:
		return &Rejection{Rule: RuleKey, Detail: fmt.Sprintf("the key has %d bytes, at most %d are allowed", len(d.Key), maxKeyBytes)}
	case d.EventTime.IsZero() || d.EventTime.Year() < 1900:
		return &Rejection{Rule: RuleEventTime, Field: "eventTime", Detail: "the event time is missing or before 1900"}
	case d.EventTime.After(now.Add(maxFuture)):
		return &Rejection{Rule: RuleEventTime, Field: "eventTime", Detail: "the event time lies more than a day in the future: check the source's clock and time zone"}
	case len(d.Payload) > maxPayloadBytes:
		return &Rejection{Rule: RuleMalformed, Detail: fmt.Sprintf("the payload has %d bytes, at most %d are allowed", len(d.Payload), maxPayloadBytes)}
	}
	// The topic keeps microseconds: what is hashed must be what is stored.
	d.EventTime = d.EventTime.Truncate(time.Microsecond)
	if d.Operation == Delete {
		d.Payload = nil
		return nil
	}
	if hasWhiteSpace(d.Payload) {
		var compact bytes.Buffer
		compact.Grow(len(d.Payload))
		if err := json.Compact(&compact, d.Payload); err != nil {
			return &Rejection{Rule: RuleMalformed, Detail: "the payload is not JSON: " + err.Error()}
		}
		d.Payload = compact.Bytes()
	}
	return v.check(d.Payload)
}

// hasWhiteSpace says whether JSON text has white space between its tokens,
// which is not part of the record. Most sources send none, and looking is
// cheaper than compacting.
func hasWhiteSpace(text []byte) bool {
	inString := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			inString = !inString
		case '\\':
			i++ // only within a string; elsewhere the text is no JSON
		case ' ', '\t', '\n', '\r':
			if !inString {
				return true
			}
		}
	}
	return false
}

// validator returns the compiled schema of a resource, from memory when the
// catalogue entry has not changed.
func (e *Exchange) validator(ctx context.Context, resource string) (*validator, error) {
	e.mu.Lock()
	v, changes := e.validated[resource], e.changes
	e.mu.Unlock()
	if v != nil {
		return v, nil
	}
	r, err := e.Resource(ctx, resource)
	if err != nil {
		return nil, err
	}
	if v, err = newValidator(r); err != nil {
		return nil, err
	}
	e.mu.Lock()
	if changes == e.changes {
		e.validated[resource] = v
	}
	e.mu.Unlock()
	return v, nil
}
