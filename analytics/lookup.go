package analytics

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/onewindow/onewindow/exchange"
)

const (
	// MaxLookupKeys is how many keys one Lookup may ask for.
	MaxLookupKeys = 1000
	// lookupWait is how long the first call waits for others.
	lookupWait = 2 * time.Millisecond
	// lookupSlots is how many queries run at once; the embedded engine has few connections.
	lookupSlots = 3
	// lookupTimeout bounds one query, whoever still waits for it.
	lookupTimeout = 15 * time.Second
)

// lookups makes one query of the calls for one resource that arrive at nearly the same time.
type lookups struct {
	query func(ctx context.Context, resource string, keys []string) (map[string]exchange.Record, error)
	mu    sync.Mutex
	open  map[string]*lookup // by resource: those that still take keys
	slots chan struct{}
}

// lookup is one query. found and err are set before done is closed.
type lookup struct {
	waiting int // calls that want the answer; the last that leaves cancels the query
	cancel  context.CancelFunc

	keys  map[string]struct{}
	full  chan struct{} // closed when no more keys fit
	done  chan struct{}
	found map[string]exchange.Record
	err   error
}

// newLookups makes a batcher around a query.
func newLookups(query func(context.Context, string, []string) (map[string]exchange.Record, error)) *lookups {
	return &lookups{query: query, open: map[string]*lookup{}, slots: make(chan struct{}, lookupSlots)}
}

// Lookup returns the current records of the keys that exist, in the order of keys. Deleted records and unknown keys are left out.
// Calls that arrive within 2 ms share a query; one whose ctx ends leaves the others undisturbed.
func (s *Store) Lookup(ctx context.Context, resource string, keys []string) ([]exchange.Record, error) {
	if resource == "" || len(keys) > MaxLookupKeys {
		return nil, fmt.Errorf("%w: a lookup needs a resource and at most %d keys", ErrInvalid, MaxLookupKeys)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	shared := s.lookups.join(ctx, resource, keys)
	select {
	case <-ctx.Done():
		s.lookups.leave(resource, shared)
		return nil, fmt.Errorf("analytics: lookup in %s: %w", resource, ctx.Err())
	case <-shared.done:
	}
	if shared.err != nil {
		return nil, shared.err
	}
	out := make([]exchange.Record, 0, len(keys))
	for _, key := range keys {
		if r, ok := shared.found[key]; ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// join adds keys to the open query of a resource, or opens one.
func (l *lookups) join(ctx context.Context, resource string, keys []string) *lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.open[resource]
	if q == nil {
		// The query outlives the call that opened it, for the sake of those that joined.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		q = &lookup{keys: make(map[string]struct{}, len(keys)), full: make(chan struct{}), done: make(chan struct{}), cancel: cancel}
		l.open[resource] = q
		go l.run(shared, resource, q)
	}
	q.waiting++
	for _, key := range keys {
		q.keys[key] = struct{}{}
	}
	if len(q.keys) >= MaxLookupKeys {
		delete(l.open, resource)
		close(q.full)
	}
	return q
}

// leave is for a call that has given up. When nothing waits for the query any more it is ended, and takes no more keys.
func (l *lookups) leave(resource string, q *lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.waiting--; q.waiting > 0 {
		return
	}
	if l.open[resource] == q {
		delete(l.open, resource)
	}
	q.cancel()
}

// run waits for others to join, then for a free slot, and asks. While it waits for a slot, others still join.
func (l *lookups) run(ctx context.Context, resource string, q *lookup) {
	defer q.cancel()
	defer close(q.done)
	select {
	case <-q.full:
	case <-ctx.Done():
	case <-time.After(lookupWait):
	}
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
	}
	l.mu.Lock()
	if l.open[resource] == q {
		delete(l.open, resource)
	}
	keys := make([]string, 0, len(q.keys))
	for key := range q.keys {
		keys = append(keys, key)
	}
	l.mu.Unlock()
	q.found, q.err = l.query(ctx, resource, keys)
}

// current asks ClickHouse for the current state of keys.
func (s *Store) current(ctx context.Context, resource string, keys []string) (found map[string]exchange.Record, err error) {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = quote(key)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": 4 << 20, "max_threads": 1}))
	rows, err := s.conn.Query(ctx, `SELECT key, record_id, kind, source, event_time, recorded_time, late, payload FROM records_current FINAL
		WHERE resource = `+quote(resource)+` AND key IN (`+strings.Join(list, ",")+`)`)
	if err != nil {
		return nil, fmt.Errorf("analytics: lookup in %s: %w", resource, err)
	}
	defer func() {
		if closeErr := rows.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("analytics: lookup in %s: %w", resource, closeErr))
		}
	}()
	found = make(map[string]exchange.Record, len(keys))
	for rows.Next() {
		r := exchange.Record{Resource: resource, Operation: exchange.Upsert}
		var id, kind, payload string
		var late uint8
		if err := rows.Scan(&r.Key, &id, &kind, &r.Source, &r.EventTime, &r.RecordedTime, &late, &payload); err != nil {
			return nil, fmt.Errorf("analytics: lookup in %s: %w", resource, err)
		}
		r.ID, r.Kind, r.Payload, r.Late = hex.EncodeToString([]byte(id)), exchange.Kind(kind), []byte(payload), late == 1
		if r.RecordedTime.Unix() == 0 {
			r.RecordedTime = time.Time{}
		}
		found[r.Key] = r
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("analytics: lookup in %s: %w", resource, err)
	}
	return found, nil
}
