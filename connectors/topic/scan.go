package topic

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

const (
	// maxKeys is how many keys take some 20 MiB.
	maxKeys = 400_000
	// maxMarks is how many offsets that give nothing may follow each other.
	maxMarks = 1000
)

// span is the part of a partition that a scan reads.
type span struct {
	number     int
	first, end int64
}

// state is where the last message of a key lies, and when it was written.
type state struct {
	at        time.Time
	offset    int64
	partition int
}

// Scan gives the last message of each key, unless that is a delete, and every message if keys are not known. Messages
// that cannot be read are given if r has no bounds. Like Read it sees committed messages only. A key that is not given may be one that retention took away: that
// it is missing does not say that it was deleted.
func (s *source) Scan(ctx context.Context, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	b, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if !s.shared {
		defer func() { _ = b.Close() }()
	}
	count, err := b.Partitions(ctx, s.cfg.Topic)
	if err != nil {
		return s.fault(ctx, "looking for", err)
	}
	var spans []span
	var total int64
	for number := range count {
		first, end, err := b.Bounds(ctx, s.cfg.Topic, number)
		if err != nil {
			return s.fault(ctx, "looking for", err)
		}
		spans = append(spans, span{number, first, end})
		total += end - first
	}
	out := &rowBatch{limit: s.def.Batch, yield: yield}
	rounds := uint64(1 + total/s.maxKeys) //nolint:gosec // total is not negative
	for round := range rounds {
		if err := s.scanRound(ctx, b, spans, r, round, rounds, out); err != nil {
			return err
		}
	}
	return out.flush()
}

// scanRound scans the keys that belong to a round.
func (s *source) scanRound(ctx context.Context, b *bus.Bus, spans []span, r connectors.KeyRange, round, rounds uint64, out *rowBatch) error {
	wanted := func(row connectors.Row) (id [16]byte, ok bool) {
		if !r.Contains(row.Key) || row.Key == nil {
			return id, false
		}
		id = keyID(row.Key)
		return id, binary.BigEndian.Uint64(id[:])%rounds == round
	}
	last := map[[16]byte]state{}
	if len(s.rows.keys) > 0 {
		err := s.each(ctx, b, spans, func(m *bus.Message, row connectors.Row) error {
			if id, ok := wanted(row); ok {
				before, known := last[id]
				// A key changes its partition when partitions are added; then time says which is later.
				if !known || before.partition == m.Partition || !row.ChangedAt.Before(before.at) {
					last[id] = state{row.ChangedAt, m.Offset, m.Partition}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.each(ctx, b, spans, func(m *bus.Message, row connectors.Row) error {
		if row.Key == nil {
			if round == 0 && r.Contains(nil) {
				return out.add(row)
			}
			return nil
		}
		id, ok := wanted(row)
		if at := last[id]; !ok || at.partition != m.Partition || at.offset != m.Offset || row.Operation == exchange.Delete {
			return nil
		}
		return out.add(row)
	})
}

// each reads spans from their first to their last message.
func (s *source) each(ctx context.Context, b *bus.Bus, spans []span, use func(*bus.Message, connectors.Row) error) error {
	for _, sp := range spans {
		if err := s.eachOf(ctx, b, sp, use); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) eachOf(ctx context.Context, b *bus.Bus, sp span, use func(*bus.Message, connectors.Row) error) error {
	var last time.Time
	var reader *bus.Reader
	for at, empty := sp.first, 0; at < sp.end; {
		var err error
		if reader == nil {
			reader, err = b.Read(ctx, s.cfg.Topic, sp.number, at)
		}
		var messages []bus.Message
		if err == nil {
			messages, err = reader.Next(ctx, maxFetch)
		}
		var hole *bus.GapError
		switch {
		case errors.As(err, &hole):
			at, reader, empty = hole.To, nil, 0
			continue
		case errors.Is(err, bus.ErrOffsetOutOfRange): // deleted meanwhile
			first, _, err := b.Bounds(ctx, s.cfg.Topic, sp.number)
			if err != nil {
				return s.fault(ctx, "reading", err)
			}
			if first <= at {
				return connectors.Refused(connectors.FaultRemoved, nil, "partition %d of topic %q lost its end while it was read", sp.number, s.cfg.Topic)
			}
			at, reader = first, nil
			continue
		case err != nil:
			return s.fault(ctx, "reading", err)
		case len(messages) == 0 && reader.Offset() > at: // what lies there was never committed
			at, empty = reader.Offset(), 0
			continue
		case len(messages) == 0:
			if empty++; empty < emptyFetches {
				continue
			}
			// Nothing that can be read lies here. What is behind it is asked for by itself.
			if empty >= emptyFetches+maxMarks || s.shorter(ctx, b, sp) {
				return connectors.Away(connectors.FaultBusy, nil, "partition %d of topic %q ends at offset %d, but gives nothing from %d on",
					sp.number, s.cfg.Topic, sp.end, at)
			}
			at, reader = at+1, nil
			continue
		}
		empty = 0
		for i := range messages {
			m := &messages[i]
			if at = m.Offset + 1; m.Offset >= sp.end {
				break
			}
			row := s.rows.row(m, changedAt(m.Time, last, s.now()))
			last = row.ChangedAt
			if err := use(m, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// shorter says whether a partition does not, or not surely, reach as far as it did: then that it gives nothing proves nothing.
func (s *source) shorter(ctx context.Context, b *bus.Bus, sp span) bool {
	_, end, err := b.Bounds(ctx, s.cfg.Topic, sp.number)
	return err != nil || end < sp.end
}

// keyID stands for a key.
func keyID(key []string) (id [16]byte) {
	h := sha256.New()
	for _, part := range key {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	copy(id[:], h.Sum(nil))
	return id
}

// rowBatch gathers rows for yield.
type rowBatch struct {
	limit int
	yield func([]connectors.Row) error
	rows  []connectors.Row
	size  int
}

func (b *rowBatch) add(row connectors.Row) error {
	b.rows = append(b.rows, row)
	if b.size += len(row.Raw); len(b.rows) < b.limit && b.size < connectors.MaxBatchBytes {
		return nil
	}
	return b.flush()
}

func (b *rowBatch) flush() error {
	rows := b.rows
	b.rows, b.size = nil, 0
	if len(rows) == 0 {
		return nil
	}
	return b.yield(rows)
}
