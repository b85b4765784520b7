package bus

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
)

const (
	// fetchBytes is what a reader asks for when it knows that there is more, and pollBytes when it waits for news.
	// The broker always gives one whole batch at least, so both may be exceeded by a batch.
	fetchBytes = 512 << 10
	pollBytes  = 16 << 10
	// maxFetches bounds the large fetches under way: an embedded broker, the connection and the decoder each hold
	// a copy for a moment, and after a long stop every partition catches up at once.
	maxFetches = 8
	// slabBytes is the size of the blocks into which keys and values are copied.
	slabBytes = 64 << 10
)

// Reader reads one partition from a given offset on. It holds no goroutine and needs no closing. It is for one
// goroutine at a time.
type Reader struct {
	bus       *Bus
	topic     string
	partition int
	next      int64     // offset of the next message to hand out
	ahead     []Message // fetched and not handed out
	failure   error     // found behind ahead
	behind    bool      // the broker had more than it gave
	slab      []byte
}

// Read opens a partition at an offset, which must lie within its Bounds (the end included): otherwise
// ErrOffsetOutOfRange. There is no consumer group: callers share partitions among themselves.
func (b *Bus) Read(ctx context.Context, topic string, partition int, offset int64) (*Reader, error) {
	first, end, err := b.Bounds(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	if offset < first || offset > end {
		return nil, outOfRange(topic, partition, offset, first, end)
	}
	return &Reader{bus: b, topic: topic, partition: partition, next: offset, behind: offset < end}, nil
}

func outOfRange(topic string, partition int, offset, first, end int64) error {
	return fmt.Errorf("%w: %s/%d at %d, the log holds %d up to, not including, %d", ErrOffsetOutOfRange, topic, partition, offset, first, end)
}

// Offset is the offset of the message that Next will return next.
func (r *Reader) Offset() int64 { return r.next }

// Next returns the next messages, at least one and at most limit, in the order of their offsets and without a gap.
// It waits for Config.ReadWait and then returns none and no error. The messages are the caller's to keep.
//
// ErrOffsetOutOfRange: the offset was deleted, or the log went back. ErrGap (a *GapError): records are missing
// here. Both come back on every call; open a new Reader to go on elsewhere. After any other error the same call
// may be made again; no message is lost.
func (r *Reader) Next(ctx context.Context, limit int) ([]Message, error) {
	if limit < 1 {
		return nil, fmt.Errorf("bus: Next needs room for at least one message, not %d", limit)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(r.ahead) == 0 && r.failure == nil {
		if err := r.fetch(ctx); err != nil {
			return nil, err
		}
	}
	if len(r.ahead) == 0 {
		return nil, r.failure
	}
	n := min(limit, len(r.ahead))
	out := r.ahead[:n:n]
	r.ahead = r.ahead[n:]
	r.next = out[n-1].Offset + 1
	return out, nil
}

// fetch fills ahead with what the broker has from next on.
func (r *Reader) fetch(ctx context.Context) error {
	if err := r.bus.enter(); err != nil {
		return err
	}
	defer r.bus.ops.Done()
	size := int64(pollBytes)
	if r.behind {
		size = fetchBytes
		select {
		case r.bus.fetches <- struct{}{}:
			defer func() { <-r.bus.fetches }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.bus.cfg.ReadWait+2*requestTimeout)
	defer cancel()
	res, err := r.bus.client.Fetch(ctx, &kafka.FetchRequest{
		Topic:     r.topic,
		Partition: r.partition,
		Offset:    r.next,
		MinBytes:  1,
		MaxBytes:  size,
		MaxWait:   r.bus.cfg.ReadWait,
	})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) {
		first, end, boundsErr := r.bus.bounds(ctx, r.topic, r.partition)
		if boundsErr != nil {
			return boundsErr
		}
		r.failure = outOfRange(r.topic, r.partition, r.next, first, end)
		return r.failure
	}
	if err != nil {
		return fmt.Errorf("bus: read %s/%d at %d: %w", r.topic, r.partition, r.next, translate(err))
	}
	if err := r.decode(res.Records); err != nil {
		return fmt.Errorf("bus: read %s/%d at %d: %w", r.topic, r.partition, r.next, err)
	}
	r.behind = r.next+int64(len(r.ahead)) < res.HighWatermark
	return nil
}

// decode copies records out of kafka-go's buffers. A batch may begin before the offset that was asked for.
func (r *Reader) decode(in kafka.RecordReader) error {
	expect := r.next
	var ahead []Message
	for {
		rec, err := in.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if rec.Offset != expect {
			closeBytes(rec)
			if rec.Offset < expect {
				continue
			}
			r.failure = &GapError{Topic: r.topic, Partition: r.partition, From: expect, To: rec.Offset}
			break
		}
		m := Message{Topic: r.topic, Partition: r.partition, Offset: rec.Offset, Time: rec.Time.UTC()}
		m.Key, err = r.copy(rec.Key)
		if err == nil {
			m.Value, err = r.copy(rec.Value)
		}
		closeBytes(rec)
		if err != nil {
			return err
		}
		if len(rec.Headers) > 0 {
			m.Headers = make([]Header, len(rec.Headers))
			for i, h := range rec.Headers {
				m.Headers[i] = Header(h)
			}
		}
		ahead = append(ahead, m)
		expect++
	}
	r.ahead = ahead
	return nil
}

// copy moves bytes into the slab. Nil stays nil.
func (r *Reader) copy(from kafka.Bytes) ([]byte, error) {
	if from == nil {
		return nil, nil
	}
	n := from.Len()
	if n > len(r.slab) {
		r.slab = make([]byte, max(n, slabBytes))
	}
	out := r.slab[:n:n]
	r.slab = r.slab[n:]
	if _, err := io.ReadFull(from, out); err != nil {
		return nil, err
	}
	return out, nil
}

// closeBytes gives the pages of a record back to kafka-go.
func closeBytes(rec *kafka.Record) {
	for _, b := range []kafka.Bytes{rec.Key, rec.Value} {
		if b != nil {
			_ = b.Close()
		}
	}
}
