package analytics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/onewindow/onewindow/exchange"
)

// insertItems writes the items of one batch: first what goes to rejected_records, then the rest. Repeating it under the
// same token stores nothing twice.
func (s *Store) insertItems(ctx context.Context, p position, i intent, token string, items []item) error {
	var records, rejected, licenses []item
	for at := range items {
		switch {
		case items[at].record != nil:
			records = append(records, items[at])
		case items[at].rejected != nil:
			rejected = append(rejected, items[at])
		default:
			licenses = append(licenses, items[at])
		}
	}
	if err := s.insertRejected(ctx, p, i, token+":rejected", rejected); err != nil {
		return err
	}
	if err := s.insertLicenses(ctx, p, i, token, licenses); err != nil {
		return err
	}
	return s.insertRecords(ctx, p, i, token, records)
}

func (s *Store) insertRecords(ctx context.Context, p position, i intent, token string, items []item) error {
	n := len(items)
	ids, resources, kinds, sources := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	keys, operations, payloads := make([]string, n), make([]string, n), make([]string, n)
	events, recorded := make([]time.Time, n), make([]time.Time, n)
	late := make([]uint8, n)
	for at := range items {
		r := items[at].record
		ids[at], resources[at], kinds[at], sources[at] = string(items[at].id[:]), r.Resource, string(r.Kind), r.Source
		keys[at], operations[at], payloads[at] = r.Key, string(r.Operation), string(r.Payload)
		events[at], recorded[at] = r.EventTime, r.RecordedTime
		if r.Late {
			late[at] = 1
		}
	}
	place := placeOf(p, i, items)
	return s.insert(ctx, token, `INSERT INTO records (record_id, resource, kind, source, key, operation, event_time, recorded_time, late,
		payload, received_time, epoch, topic, partition, offset)`, n,
		ids, resources, kinds, sources, keys, operations, events, recorded, late, payloads,
		repeat(i.received, n), place.epochs, repeat(p.topic, n), place.partitions, place.offsets)
}

func (s *Store) insertRejected(ctx context.Context, p position, i intent, token string, items []item) error {
	n := len(items)
	ids, resources, sources, origins := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	rules, fields, details, raws := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	times := make([]time.Time, n)
	for at := range items {
		r := items[at].rejected
		ids[at], resources[at], sources[at], origins[at] = string(items[at].id[:]), r.Resource, r.Source, r.Origin
		rules[at], fields[at], details[at], raws[at] = r.Rule, r.Field, r.Detail, string(r.Raw)
		times[at] = r.Time
	}
	place := placeOf(p, i, items)
	return s.insert(ctx, token, `INSERT INTO rejected_records (record_id, resource, source, origin, rule, field, detail, raw, rejected_time,
		epoch, topic, partition, offset)`, n,
		ids, resources, sources, origins, rules, fields, details, raws, times,
		place.epochs, repeat(p.topic, n), place.partitions, place.offsets)
}

func (s *Store) insertLicenses(ctx context.Context, p position, i intent, token string, items []item) error {
	n := len(items)
	ids, kinds, sources, subjects, values := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	times := make([]time.Time, n)
	for at := range items {
		e := items[at].license
		ids[at], kinds[at], sources[at], subjects[at], values[at], times[at] = e.id, e.kind, e.source, e.subject, string(e.value), e.time
	}
	place := placeOf(p, i, items)
	return s.insert(ctx, token, `INSERT INTO license_events (event_id, type, source, subject, event_time, value, epoch, partition, offset)`, n,
		ids, kinds, sources, subjects, times, values, place.epochs, place.partitions, place.offsets)
}

// insert sends columns of n rows as one block. After an error the rows may be stored or not.
func (s *Store) insert(ctx context.Context, token, statement string, n int, columns ...any) error {
	if n == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token":                         token,
		"insert_deduplicate":                                 1,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"async_insert":                                       0,
	}))
	b, err := s.conn.PrepareBatch(ctx, statement)
	if err != nil {
		return fmt.Errorf("analytics: insert: %w", err)
	}
	for at, column := range columns {
		if err := b.Column(at).Append(column); err != nil {
			return errors.Join(fmt.Errorf("analytics: insert: column %d: %w", at, err), b.Abort())
		}
	}
	// clickhouse-go reports success for a batch that it cannot encode, which columns of unequal length are.
	if b.Rows() != n {
		return errors.Join(fmt.Errorf("analytics: insert: %d rows where there should be %d", b.Rows(), n), b.Abort())
	}
	for _, column := range b.Columns() {
		if column.Rows() != n {
			return errors.Join(fmt.Errorf("analytics: insert: column %s has %d rows where there should be %d", column.Name(), column.Rows(), n), b.Abort())
		}
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("analytics: insert: %w", err)
	}
	return nil
}

// place holds the columns that say where in the log rows come from.
type place struct {
	epochs, partitions []uint32
	offsets            []uint64
}

func placeOf(p position, i intent, items []item) place {
	out := place{
		epochs:     repeat(uint32(i.epoch), len(items)),     //nolint:gosec // rises by one at a time
		partitions: repeat(uint32(p.partition), len(items)), //nolint:gosec // partition numbers are small
		offsets:    make([]uint64, len(items)),
	}
	for at := range items {
		out.offsets[at] = uint64(items[at].offset) //nolint:gosec // offsets are not negative
	}
	return out
}

func repeat[T any](value T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = value
	}
	return out
}

// isRecords says whether a topic carries accepted records.
func isRecords(topic string) bool {
	return topic != exchange.RejectedTopic && topic != LicensesTopic
}
