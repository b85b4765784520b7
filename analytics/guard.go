package analytics

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

const (
	// bitsPerID and probes give about one false alarm in 2,000 ids when the filter is full.
	bitsPerID = 16
	probes    = 8
	// minFilterIDs makes the smallest filter, 4 MiB; maxFilterIDs the largest, 64 MiB. Beyond, false alarms become more
	// frequent, and with them queries.
	minFilterIDs = 1 << 21
	maxFilterIDs = 1 << 25
	// guardChunk is how many ids one query asks for.
	guardChunk = 5000
)

// guard knows which record ids are stored. Almost every id that comes is new, so a Bloom filter over all stored ids
// answers in memory, and ClickHouse is asked only about those that may be known: those that really come again, and one
// false alarm in some thousand. The query is narrowed by resource and event time, the order of the landing table, which
// an id determines. It is used by whoever holds the turn.
type guard struct {
	bits  []uint64
	ids   int // added since load, and by it
	limit int
}

// duplicates returns the offsets of the items whose record is stored already, or stands earlier in the batch.
func (s *Store) duplicates(ctx context.Context, g *guard, resource string, items []item) (offsets, error) {
	if g.ids+len(items) > g.limit {
		if err := s.loadGuard(ctx, g); err != nil {
			return nil, err
		}
	}
	var suspects []*item
	for i := range items {
		if items[i].record != nil && g.mayKnow(&items[i].id) {
			suspects = append(suspects, &items[i])
		}
	}
	known, err := s.storedIDs(ctx, resource, suspects)
	if err != nil {
		return nil, err
	}
	var out offsets
	seen := make(map[identity]struct{}, len(items))
	for i := range items {
		if items[i].record == nil {
			continue
		}
		_, again := seen[items[i].id]
		_, stored := known[items[i].id]
		if again || stored {
			out = append(out, items[i].offset)
		}
		seen[items[i].id] = struct{}{}
	}
	return out, nil
}

// learn adds the ids of items that are stored, or about to be.
func (g *guard) learn(items []item) {
	for i := range items {
		if items[i].record != nil {
			g.add(&items[i].id)
		}
	}
}

// word and mask of the probe'th bit of an id. An id is a SHA-256, so its bytes are hashes already. All bits of an id lie in
// one 64-byte line, which costs one cache miss.
func (g *guard) probe(id *identity, n int) (word int, mask uint64) {
	lines := uint64(len(g.bits) / 8)
	line := binary.LittleEndian.Uint64(id[:]) % lines
	bit := binary.LittleEndian.Uint16(id[8+2*n:]) % 512
	return int(line)*8 + int(bit/64), 1 << (bit % 64) //nolint:gosec // below len(g.bits)
}

func (g *guard) add(id *identity) {
	g.ids++
	for n := range probes {
		word, mask := g.probe(id, n)
		g.bits[word] |= mask
	}
}

func (g *guard) mayKnow(id *identity) bool {
	for n := range probes {
		if word, mask := g.probe(id, n); g.bits[word]&mask == 0 {
			return false
		}
	}
	return true
}

// loadGuard makes a filter with room for twice the stored ids and fills it from ClickHouse.
func (s *Store) loadGuard(ctx context.Context, g *guard) (err error) {
	var stored uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM records").Scan(&stored); err != nil {
		return fmt.Errorf("analytics: id guard: %w", err)
	}
	g.ids, g.limit = 0, max(minFilterIDs, 2*int(stored))
	g.bits = make([]uint64, (min(g.limit, maxFilterIDs)*bitsPerID/512+1)*8)
	if g.limit > maxFilterIDs {
		g.limit = math.MaxInt // a larger one is not to be had
	}
	rows, err := s.conn.Query(ctx, "SELECT record_id FROM records")
	if err != nil {
		return fmt.Errorf("analytics: id guard: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var raw string
	for rows.Next() {
		if err := rows.Scan(&raw); err != nil {
			return fmt.Errorf("analytics: id guard: %w", err)
		}
		id := identity([]byte(raw))
		g.add(&id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("analytics: id guard: %w", err)
	}
	return nil
}

// storedIDs returns which of the suspects are in the landing table.
func (s *Store) storedIDs(ctx context.Context, resource string, suspects []*item) (map[identity]struct{}, error) {
	known := make(map[identity]struct{}, len(suspects))
	for len(suspects) > 0 {
		chunk := suspects[:min(len(suspects), guardChunk)]
		suspects = suspects[len(chunk):]
		if err := s.storedChunk(ctx, resource, chunk, known); err != nil {
			return nil, fmt.Errorf("analytics: id guard: %w", err)
		}
	}
	return known, nil
}

func (s *Store) storedChunk(ctx context.Context, resource string, chunk []*item, known map[identity]struct{}) (err error) {
	from, until := chunk[0].record.EventTime, chunk[0].record.EventTime
	var list strings.Builder
	for i, it := range chunk {
		if it.record.EventTime.Before(from) {
			from = it.record.EventTime
		}
		if it.record.EventTime.After(until) {
			until = it.record.EventTime
		}
		if i > 0 {
			list.WriteByte(',')
		}
		// Numbers parse faster than 32 bytes of text, and what a prefix finds too much does no harm.
		list.WriteString(strconv.FormatUint(binary.LittleEndian.Uint64(it.id[:]), 10))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": 1 << 20}))
	rows, err := s.conn.Query(ctx, "SELECT record_id FROM records WHERE resource = "+quote(resource)+
		" AND event_time BETWEEN "+instant(from)+" AND "+instant(until)+
		" AND reinterpretAsUInt64(substring(record_id, 1, 8)) IN ("+list.String()+")")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var raw string
	for rows.Next() {
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		known[identity([]byte(raw))] = struct{}{}
	}
	return rows.Err()
}

// instant writes t as a DateTime64(6).
func instant(t time.Time) string {
	return "fromUnixTimestamp64Micro(toInt64(" + strconv.FormatInt(t.UnixMicro(), 10) + "), 'UTC')"
}
