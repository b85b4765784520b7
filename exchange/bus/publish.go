package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"
)

const (
	// batchBytes is what one produce request carries at most, unless a single message is larger. It stays below
	// the default limit of a Kafka topic (1,048,588 bytes), so that topics made by others work too.
	batchBytes = 900_000
	// messageOverhead and headerOverhead are what a record and a header take in a batch besides their bytes, at most.
	messageOverhead = 36
	headerOverhead  = 10
	// batchSlack is the room that the frame of a batch and of its only message need above the message limit.
	batchSlack = 16 << 10
	// routeAge is how long the number of partitions of a topic is taken as known.
	routeAge = 5 * time.Second
)

// Publish writes messages and returns when all brokers in sync have them (acks=all; embedded: after fsync).
// Messages with one key, and messages without key within one call, keep their order. The returned positions
// are those of msgs.
//
// Before anything is sent it answers ErrTooLarge (naming the index), ErrUnknownTopic or ErrFull. Later failures
// are a *PublishError with positions for what was stored; if a message failed, those behind it in the same call
// and partition are not sent. Broken connections and changes of leader are retried for some seconds, by which
// a message can be written twice. When ctx ends, Publish returns at once: what was not yet sent never will be,
// what was on its way is ErrUnknown. The bytes of msgs must not change after Publish was called.
func (b *Bus) Publish(ctx context.Context, msgs ...Message) ([]Position, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.ops.Done()
	if len(msgs) == 0 {
		return nil, nil
	}
	var total int64
	for i := range msgs {
		payload, size := measure(&msgs[i])
		if payload > b.cfg.MaxMessageBytes {
			return nil, fmt.Errorf("%w: message %d for %q has %d bytes, the limit is %d", ErrTooLarge, i, msgs[i].Topic, payload, b.cfg.MaxMessageBytes)
		}
		total += int64(size)
	}
	c, err := b.sort(ctx, msgs)
	if err != nil {
		return nil, err
	}
	if b.embedded != nil {
		if err := b.embedded.reserve(total, func() ([]string, error) { return b.topics(ctx, "") }); err != nil {
			return nil, err
		}
	}
	// A call larger than the whole budget goes alone.
	c.budget, c.weight = b.budget, min(total, maxInFlight)
	if err := b.budget.Acquire(ctx, c.weight); err != nil {
		return nil, fmt.Errorf("bus: nothing sent: %w", err)
	}
	for _, p := range c.parcels {
		b.post(ctx, p)
	}
	select {
	case <-c.done:
		return c.result()
	case <-ctx.Done():
		return c.abandon(ctx.Err())
	}
}

// measure gives the bytes of a message that count against the limit, and those it takes in a batch.
func measure(m *Message) (payload, encoded int) {
	payload = len(m.Key) + len(m.Value)
	for i := range m.Headers {
		payload += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return payload, payload + messageOverhead + headerOverhead*len(m.Headers)
}

// call is one Publish call under way.
type call struct {
	msgs    []Message
	parcels []*parcel
	done    chan struct{} // closed when every message is settled

	budget *semaphore.Weighted
	weight int64

	mu        sync.Mutex
	pending   int // messages not settled
	positions []Position
	errs      []error // nil while there is none
	failed    []*lane // where a parcel failed
}

// parcel is the part of a call that goes to one partition in one batch.
type parcel struct {
	call  *call
	lane  *lane
	index []int // of the messages in call.msgs
	size  int   // in a batch
}

// sort makes the parcels of a call.
func (b *Bus) sort(ctx context.Context, msgs []Message) (*call, error) {
	c := &call{msgs: msgs, done: make(chan struct{}), pending: len(msgs), positions: make([]Position, len(msgs))}
	open := make(map[*lane]*parcel)
	var r *route
	keyless := b.spread.Add(1)
	for i := range msgs {
		m := &msgs[i]
		if r == nil || r.topic != m.Topic {
			var err error
			if r, err = b.route(ctx, m.Topic); err != nil {
				return nil, fmt.Errorf("message %d: %w", i, err)
			}
		}
		n := r.pick(m.Key, keyless)
		c.positions[i] = Position{Partition: n, Offset: -1}
		l := r.lanes[n]
		_, size := measure(m)
		p := open[l]
		if p == nil || p.size+size > batchBytes {
			p = &parcel{call: c, lane: l, index: make([]int, 0, min(len(msgs)-i, 1+2*len(msgs)/len(r.lanes)))}
			open[l] = p
			c.parcels = append(c.parcels, p)
		}
		p.index = append(p.index, i)
		p.size += size
	}
	return c, nil
}

// settle notes what became of a parcel: stored from offset base on, or err.
func (c *call) settle(p *parcel, base int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = append(c.failed, p.lane)
	}
	for i, at := range p.index {
		if err == nil {
			c.positions[at].Offset = base + int64(i)
			continue
		}
		if c.errs == nil {
			c.errs = make([]error, len(c.msgs))
		}
		c.errs[at] = err
	}
	if c.pending -= len(p.index); c.pending == 0 {
		c.budget.Release(c.weight)
		close(c.done)
	}
}

// failedIn tells whether a parcel of the call failed in a lane.
func (c *call) failedIn(l *lane) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.failed, l)
}

func (c *call) result() ([]Position, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errs != nil {
		return c.positions, &PublishError{Errs: c.errs}
	}
	return c.positions, nil
}

// abandon takes back what is not yet sent, and reports the rest as it stands. Batches on their way go on
// and settle later, unseen, so the caller gets copies.
func (c *call) abandon(reason error) ([]Position, error) {
	for _, p := range c.parcels {
		if p.lane.withdraw(p) {
			c.settle(p, -1, fmt.Errorf("bus: not sent: %w", reason))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	positions := append([]Position(nil), c.positions...)
	errs := make([]error, len(c.msgs))
	copy(errs, c.errs)
	unknown := fmt.Errorf("%w: on its way when the caller gave up: %w", ErrUnknown, reason)
	failed := false
	for i := range errs {
		if errs[i] == nil && positions[i].Offset < 0 {
			errs[i] = unknown
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		return positions, nil
	}
	return positions, &PublishError{Errs: errs}
}

// route is the way to the partitions of a topic.
type route struct {
	topic string
	ids   []int // 0, 1, 2...
	lanes []*lane
	asked time.Time
}

// pick is the partitioner of the Java client: murmur2 of the key. Messages without key follow keyless.
func (r *route) pick(key []byte, keyless uint64) int {
	if key == nil {
		return int(keyless % uint64(len(r.ids))) //nolint:gosec // below len
	}
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, r.ids...)
}

// route finds the lanes of a topic. Lanes live as long as the Bus, so that order survives a change of partitions.
func (b *Bus) route(ctx context.Context, topic string) (*route, error) {
	b.routesMu.Lock()
	r := b.routes[topic]
	b.routesMu.Unlock()
	if r != nil && time.Since(r.asked) < routeAge {
		return r, nil
	}
	n, err := b.awaitPartitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	b.routesMu.Lock()
	defer b.routesMu.Unlock()
	fresh := &route{topic: topic, asked: time.Now()}
	if old := b.routes[topic]; old != nil {
		fresh.lanes = append(fresh.lanes, old.lanes[:min(n, len(old.lanes))]...)
	}
	for i := range n {
		fresh.ids = append(fresh.ids, i)
		if i >= len(fresh.lanes) {
			fresh.lanes = append(fresh.lanes, &lane{topic: topic, partition: i})
		}
	}
	b.routes[topic] = fresh
	return fresh, nil
}

// awaitPartitions counts partitions; for a topic that is not in the list it waits until the list is fresh,
// because another process may just have made it.
func (b *Bus) awaitPartitions(ctx context.Context, topic string) (int, error) {
	deadline := time.Now().Add(2 * metadataTTL)
	for {
		n, err := b.partitions(ctx, topic)
		if !errors.Is(err, ErrUnknownTopic) || b.embedded != nil || time.Now().After(deadline) {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, errors.Join(err, ctx.Err())
		case <-time.After(settleEvery):
		}
	}
}
