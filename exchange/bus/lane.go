package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// patience is for how long a batch is sent again after failures that may pass.
	patience   = 10 * time.Second
	minBackoff = 20 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// lane is the queue to one partition. One batch is under way at a time, which keeps the order through retries;
// what arrives meanwhile goes together into the next batch. So a lone message is sent at once, and many callers
// share requests and fsyncs. (kafka-go's Writer waits for a timer instead, and does not return offsets.)
type lane struct {
	topic     string
	partition int

	mu      sync.Mutex
	queue   []*parcel
	sending bool
}

// post queues a parcel and starts the sender if it sleeps. The sender outlives ctx: it serves other calls too.
func (b *Bus) post(ctx context.Context, p *parcel) {
	l := p.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, p)
	if l.sending {
		return
	}
	l.sending = true
	b.ops.Add(1)
	go func(ctx context.Context) {
		defer b.ops.Done()
		b.drain(ctx, l)
	}(context.WithoutCancel(ctx))
}

// withdraw takes a parcel out of the queue, and tells whether it was still there.
func (l *lane) withdraw(p *parcel) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, p)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// take gives the next batch, or nil when the queue is empty: the sender then ends.
func (l *lane) take() []*parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	for n < len(l.queue) && (n == 0 || size+l.queue[n].size <= batchBytes) {
		size += l.queue[n].size
		n++
	}
	if n == 0 {
		l.queue, l.sending = nil, false
		return nil
	}
	batch := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	return batch
}

// drain sends what is queued, batch after batch.
func (b *Bus) drain(ctx context.Context, l *lane) {
	for batch := l.take(); batch != nil; batch = l.take() {
		// Messages must not overtake those of the same call that failed.
		batch = slices.DeleteFunc(batch, func(p *parcel) bool {
			behind := p.call.failedIn(l)
			if behind {
				p.call.settle(p, -1, fmt.Errorf("bus: not sent, because an earlier message for %s/%d failed", l.topic, l.partition))
			}
			return behind
		})
		if len(batch) == 0 {
			continue
		}
		base, err := b.send(ctx, l, batch)
		for _, p := range batch {
			p.call.settle(p, base, err)
			base += int64(len(p.index))
		}
	}
}

// send writes one batch, again and again while that may help, and returns the offset of its first message.
// An error matches ErrUnknown unless it is certain that no attempt wrote the batch.
func (b *Bus) send(ctx context.Context, l *lane, batch []*parcel) (int64, error) {
	deadline := time.Now().Add(patience)
	unknown := false
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		base, err := b.produce(ctx, l, batch)
		if err == nil {
			return base, nil
		}
		again, maybe := judge(err)
		unknown = unknown || maybe
		if !again || time.Now().After(deadline) {
			err = fmt.Errorf("bus: publish to %s/%d: %w", l.topic, l.partition, translate(err))
			if unknown {
				err = fmt.Errorf("%w: %w", ErrUnknown, err)
			}
			return -1, err
		}
		time.Sleep(backoff)
	}
}

// produce makes one attempt.
func (b *Bus) produce(ctx context.Context, l *lane, batch []*parcel) (int64, error) {
	b.sends <- struct{}{}
	defer func() { <-b.sends }()
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	res, err := b.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        l.topic,
		Partition:    l.partition,
		RequiredAcks: kafka.RequireAll,
		Records:      &records{batch: batch},
	})
	if err != nil {
		return 0, err
	}
	if res.Error != nil {
		return 0, res.Error
	}
	return res.BaseOffset, nil
}

// judge tells of a failed attempt whether another may succeed, and whether it may have written the batch after all.
func judge(err error) (again, maybe bool) {
	var ke kafka.Error
	switch {
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition), errors.Is(err, protocol.ErrNoLeader):
		return true, false
	case !errors.As(err, &ke):
		return true, true // the connection
	}
	switch ke { //nolint:exhaustive // the default covers the rest
	case kafka.UnknownTopicOrPartition, kafka.LeaderNotAvailable, kafka.NotLeaderForPartition, kafka.NotEnoughReplicas:
		return true, false
	case kafka.Unknown, kafka.RequestTimedOut, kafka.NetworkException, kafka.NotEnoughReplicasAfterAppend, kafka.KafkaStorageError:
		return true, true
	}
	return false, false
}

// records feeds the messages of a batch to kafka-go, which encodes each before it asks for the next. So one
// record serves for all.
type records struct {
	batch   []*parcel
	at      int // in batch[0].index
	record  kafka.Record
	key     blob
	value   blob
	headers []kafka.Header
}

// ReadRecord implements kafka.RecordReader.
func (r *records) ReadRecord() (*kafka.Record, error) {
	for len(r.batch) > 0 && r.at == len(r.batch[0].index) {
		r.batch, r.at = r.batch[1:], 0
	}
	if len(r.batch) == 0 {
		return nil, io.EOF
	}
	p := r.batch[0]
	m := &p.call.msgs[p.index[r.at]]
	r.at++
	r.headers = r.headers[:0]
	for _, h := range m.Headers {
		r.headers = append(r.headers, kafka.Header(h))
	}
	r.record = kafka.Record{Time: m.Time, Key: r.key.set(m.Key), Value: r.value.set(m.Value), Headers: r.headers}
	return &r.record, nil
}

// blob is a kafka.Bytes that can be filled again.
type blob struct{ rest []byte }

// set returns nil for nil, which Kafka tells from empty.
func (b *blob) set(p []byte) kafka.Bytes {
	if p == nil {
		return nil
	}
	b.rest = p
	return b
}

// Read implements kafka.Bytes.
func (b *blob) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Len implements kafka.Bytes.
func (b *blob) Len() int { return len(b.rest) }

// Close implements kafka.Bytes.
func (b *blob) Close() error { return nil }
