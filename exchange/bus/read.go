package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchAPI "github.com/segmentio/kafka-go/protocol/fetch"
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
	aborted   int64 // messages of aborted transactions that were left out, up to counted
	counted   int64
}

// abortMark is the type of the control record that ends an aborted transaction.
const abortMark = 0

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

// Aborted counts the messages that were left out because their transactions were aborted.
func (r *Reader) Aborted() int64 { return r.aborted }

// Next returns the next messages, at least one and at most limit, in the order of their offsets and without a gap.
// Only committed messages are returned: those of aborted transactions, and the marks that end transactions, are passed
// over, and reading ends before the first transaction that is still open. It waits for Config.ReadWait and then returns
// none and no error; Offset may have passed over messages all the same. The messages are the caller's to keep.
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
	for len(r.ahead) == 0 && r.failure == nil {
		before := r.next
		if err := r.fetch(ctx); err != nil {
			return nil, err
		}
		if r.next == before {
			break
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
	res, err := r.bus.fetchPartition(ctx, r.topic, r.partition, r.next, size)
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
	if err := r.decode(res); err != nil {
		return fmt.Errorf("bus: read %s/%d at %d: %w", r.topic, r.partition, r.next, err)
	}
	at := r.next
	if n := len(r.ahead); n > 0 {
		at = r.ahead[n-1].Offset + 1
	}
	r.behind = at < res.LastStableOffset
	return nil
}

// fetchPartition asks for committed messages. kafka-go's own Fetch drops the list of aborted transactions that comes
// with them, without which the broker's answer still holds what was aborted.
func (b *Bus) fetchPartition(ctx context.Context, topic string, partition int, offset, size int64) (*fetchAPI.ResponsePartition, error) {
	answer, err := b.transport.RoundTrip(ctx, b.client.Addr, &fetchAPI.Request{
		ReplicaID: -1, MaxWaitTime: int32(b.cfg.ReadWait.Milliseconds()), MinBytes: 1, MaxBytes: int32(size), //nolint:gosec // both are small
		IsolationLevel: int8(kafka.ReadCommitted), SessionID: -1, SessionEpoch: -1,
		Topics: []fetchAPI.RequestTopic{{Topic: topic, Partitions: []fetchAPI.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: int32(size), //nolint:gosec // as above
		}}}},
	})
	if err != nil {
		return nil, err
	}
	res, ok := answer.(*fetchAPI.Response)
	switch {
	case !ok || len(res.Topics) == 0 || len(res.Topics[0].Partitions) == 0:
		return nil, protocol.ErrNoPartition
	case res.ErrorCode != 0:
		return nil, kafka.Error(res.ErrorCode)
	}
	found := &res.Topics[0].Partitions[0]
	if found.ErrorCode != 0 {
		return nil, kafka.Error(found.ErrorCode)
	}
	return found, nil
}

// decode takes the committed messages out of an answer, batch by batch. A transaction that was aborted is known by its
// producer, from the offset that the broker names up to the producer's next mark.
func (r *Reader) decode(in *fetchAPI.ResponsePartition) error {
	batches := []protocol.RecordReader{in.RecordSet.Records}
	if stream, ok := in.RecordSet.Records.(*protocol.RecordStream); ok {
		batches = stream.Records
	}
	pending := slices.Clone(in.AbortedTransactions)
	slices.SortFunc(pending, func(a, b fetchAPI.ResponseTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	aborting := map[int64]bool{} // producers
	expect := r.next
	var ahead []Message
	for _, batch := range batches {
		var keep bool
		var err error
		switch b := batch.(type) {
		case nil:
			continue
		case *protocol.ControlBatch:
			pending = begin(aborting, pending, b.BaseOffset)
			keep, expect, err = r.marks(b, aborting, expect)
		case *protocol.RecordBatch:
			pending = begin(aborting, pending, b.BaseOffset)
			if b.Attributes.Transactional() && aborting[b.ProducerID] {
				keep, expect, err = r.leaveOut(b, expect)
				break
			}
			ahead, keep, expect, err = r.take(ahead, b, expect)
		default:
			ahead, keep, expect, err = r.take(ahead, b, expect)
		}
		if err != nil {
			return err
		}
		if !keep {
			break
		}
	}
	if r.ahead = ahead; len(ahead) == 0 {
		r.next = expect
	}
	return nil
}

// begin moves the transactions that begin at or before an offset from pending to aborting, and returns the others.
func begin(aborting map[int64]bool, pending []fetchAPI.ResponseTransaction, offset int64) []fetchAPI.ResponseTransaction {
	for len(pending) > 0 && pending[0].FirstOffset <= offset {
		aborting[pending[0].ProducerID] = true
		pending = pending[1:]
	}
	return pending
}

// at compares the offset of a record with the one that is expected. A batch may begin before the offset that was asked
// for; those records are old. If records are missing the reading ends here.
func (r *Reader) at(offset, expect int64) (old, gap bool) {
	if offset > expect {
		r.failure = &GapError{Topic: r.topic, Partition: r.partition, From: expect, To: offset}
	}
	return offset < expect, offset > expect
}

// marks passes over the marks of a batch and notes which transactions they end.
func (r *Reader) marks(b *protocol.ControlBatch, aborting map[int64]bool, expect int64) (more bool, next int64, err error) {
	for {
		rec, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			return true, expect, nil
		}
		if err != nil {
			return false, expect, err
		}
		offset := rec.Offset
		mark, err := protocol.ReadControlRecord(rec)
		if err != nil {
			return false, expect, err
		}
		if mark.Type == abortMark {
			delete(aborting, b.ProducerID)
		}
		switch old, gap := r.at(offset, expect); {
		case gap:
			return false, expect, nil
		case !old:
			expect++
		}
	}
}

// leaveOut passes over the messages of an aborted transaction.
func (r *Reader) leaveOut(b protocol.RecordReader, expect int64) (more bool, next int64, err error) {
	for {
		rec, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			return true, expect, nil
		}
		if err != nil {
			return false, expect, err
		}
		closeBytes(rec)
		switch old, gap := r.at(rec.Offset, expect); {
		case gap:
			return false, expect, nil
		case !old:
			expect++
			if expect > r.counted {
				r.aborted, r.counted = r.aborted+1, expect
			}
		}
	}
}

// take copies messages out of kafka-go's buffers.
func (r *Reader) take(ahead []Message, b protocol.RecordReader, expect int64) (out []Message, more bool, next int64, err error) {
	for {
		rec, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			return ahead, true, expect, nil
		}
		if err != nil {
			return ahead, false, expect, err
		}
		if old, gap := r.at(rec.Offset, expect); old || gap {
			closeBytes(rec)
			if gap {
				return ahead, false, expect, nil
			}
			continue
		}
		m := Message{Topic: r.topic, Partition: r.partition, Offset: rec.Offset, Time: rec.Time.UTC()}
		m.Key, err = r.copy(rec.Key)
		if err == nil {
			m.Value, err = r.copy(rec.Value)
		}
		closeBytes(rec)
		if err != nil {
			return ahead, false, expect, err
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
