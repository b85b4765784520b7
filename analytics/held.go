package analytics

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// One in heldSample keys is looked at to divide them into ranges, and heldEvery of those make a range. What a statement knows of a
// range's 400,000 keys has about 60 MB, half of what the embedded engine allows it.
const (
	heldSample = 4096
	heldEvery  = 96
)

// The functions of package exchange in ClickHouse's words, where numbers are little-endian in memory.
const (
	// heldHash is exchange.HeldHash of a version as one number, from which heldHigh and heldLow take the halves.
	heldHash = `reinterpretAsUInt128(substring(SHA256(concat(key, '\0', payload)), 1, 16))`
	heldHigh = "byteSwap(toUInt64(hash))"
	heldLow  = "byteSwap(toUInt64(bitShiftRight(hash, 64)))"
	// heldVersion orders the versions of a key as one number: the event time made positive, and for two at one time
	// their place in the log, of which the later was stored last and stays.
	heldVersion = "bitShiftLeft(toUInt128(toUnixTimestamp64Micro(event_time) + " + heldEra + "), 64) + bitShiftLeft(toUInt128(epoch), 48) + offset"
	heldTime    = "fromUnixTimestamp64Micro(toInt64(bitShiftRight(version, 64)) - " + heldEra + ", 'UTC')"
	heldEra     = "toInt64(4611686018427387904)"
)

// heldBucket is exchange.HeldBucket.
func heldBucket(buckets int) string {
	return "toUInt32(byteSwap(reinterpretAsUInt32(SHA256(key))) % " + strconv.Itoa(buckets) + ")"
}

// heldRecords selects key, hash and version of the current records of a resource that came from a source, among the keys
// for which condition holds. FINAL would do it, too, but merges whole rows of all parts at once, which with many parts or
// long payloads is too much for the embedded engine's memory. Here rows are hashed as they are read, part by part. Two hashes that
// no record has stand for what does not count: 0 for a record of another source, 1 for a deleted one; from is the least to be selected.
func heldRecords(resource, source, condition, from string) string {
	return "(SELECT key, argMax(multiIf(deleted = 1, toUInt128(1), source = " + quote(source) + ", " + heldHash + ", toUInt128(0)), " + heldVersion + ") AS hash, " +
		"max(" + heldVersion + ") AS version FROM records_current WHERE resource = " + quote(resource) + condition + " GROUP BY key HAVING hash >= " + from + ")"
}

// eachHeld runs statements of heldRecords, one for each range of keys, and calls row for each row of their answers. Every key
// is in one range, and a statement sees one instant.
func (s *Store) eachHeld(ctx context.Context, ranges []string, statement func(keys string) string, row func(driver.Rows) error) error {
	// Blocks are small, however long the payloads are.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 4096, "preferred_block_size_bytes": 256 << 10}))
	for _, keys := range ranges {
		rows, err := s.conn.Query(ctx, statement(keys))
		if err != nil {
			return err
		}
		for err == nil && rows.Next() {
			err = row(rows)
		}
		if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

// heldRanges divides the keys of a resource into ranges in the order of the table, so that ClickHouse reads no row twice: one in
// sample keys is looked at, and every so many of those there is a bound. It returns the ranges' conditions.
func (s *Store) heldRanges(ctx context.Context, resource string, sample, every int) ([]string, error) {
	var bounds []string
	n := 0
	err := s.eachHeld(ctx, []string{""}, func(string) string {
		return "SELECT DISTINCT key FROM records_current WHERE resource = " + quote(resource) + " AND cityHash64(key) % " + strconv.Itoa(sample) + " = 0 ORDER BY key"
	}, func(rows driver.Rows) error {
		var key string
		if err := rows.Scan(&key); err != nil {
			return err
		}
		if n++; n%every == 0 {
			bounds = append(bounds, quote(key))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	ranges, from := make([]string, 0, len(bounds)+1), ""
	for _, bound := range bounds {
		ranges = append(ranges, from+" AND key < "+bound)
		from = " AND key >= " + bound
	}
	return append(ranges, from), nil
}

// HeldSums counts the current records of a resource that came from source, "<department>/<connector>", and sums their hashes by
// bucket of their keys. It returns one [exchange.HeldSum] for each bucket, in order, empty ones too. Deleted records are left
// out, and so are keys whose newest version came from another source.
//
// Every key counts once or not at all, by its newest version, whatever the sink does meanwhile. What was published before is
// in the sums if [Store.StoredThrough] returned first. ctx bounds the time: about a second for a million records.
func (s *Store) HeldSums(ctx context.Context, resource, source string, buckets int) ([]exchange.HeldSum, error) {
	if err := checkHeld(resource, source, buckets); err != nil {
		return nil, err
	}
	sums := make([]exchange.HeldSum, buckets)
	for bucket := range sums {
		sums[bucket].Bucket = bucket
	}
	ranges, err := s.heldRanges(ctx, resource, heldSample, heldEvery)
	if err == nil {
		err = s.eachHeld(ctx, ranges, func(keys string) string {
			return "SELECT bucket, count(), sumWithOverflow(" + heldHigh + "), sumWithOverflow(" + heldLow + ") FROM " +
				heldRecords(resource, source, keys, "2") + " GROUP BY " + heldBucket(buckets) + " AS bucket"
		}, func(rows driver.Rows) error {
			var bucket uint32
			var count, high, low uint64
			if err := rows.Scan(&bucket, &count, &high, &low); err != nil {
				return err
			}
			sum := &sums[bucket]
			sum.Count, sum.High, sum.Low = sum.Count+int64(count), sum.High+high, sum.Low+low
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("analytics: sums of %s: %w", resource, err)
	}
	return sums, nil
}

// HeldKeys calls yield with the records behind the sums of the wanted buckets, in no particular order, as they are now, which is later
// than the sums; and with the keys of those buckets that are deleted, whoever deleted them. It ends with the error of yield, which should be quick, because a statement of ClickHouse waits
// for it. ctx bounds the time.
func (s *Store) HeldKeys(ctx context.Context, resource, source string, buckets int, wanted []int, yield func(exchange.HeldKey) error) error {
	if err := checkHeld(resource, source, buckets); err != nil {
		return err
	}
	if len(wanted) == 0 {
		return nil
	}
	// A bit for each bucket has 8 KiB at most; for a list of 65,536 numbers ClickHouse needs 130 MB.
	bits := make([]byte, buckets/8+1)
	for _, bucket := range wanted {
		if bucket < 0 || bucket >= buckets {
			return fmt.Errorf("%w: bucket %d is not one of %d", ErrInvalid, bucket, buckets)
		}
		bits[bucket/8] |= 1 << (bucket % 8)
	}
	bucket := heldBucket(buckets)
	isWanted := fmt.Sprintf(" AND bitTest(reinterpretAsUInt8(substring(unhex('%x'), intDiv(%s, 8) + 1, 1)), %s %% 8)", bits, bucket, bucket)
	ranges, err := s.heldRanges(ctx, resource, heldSample, heldEvery*max(1, buckets/len(wanted)))
	if err == nil {
		err = s.eachHeld(ctx, ranges, func(keys string) string {
			return "SELECT key, " + heldHigh + ", " + heldLow + ", " + heldTime + ", hash = 1 FROM " + heldRecords(resource, source, keys+isWanted, "1")
		}, func(rows driver.Rows) error {
			var k exchange.HeldKey
			var deleted uint8
			if err := rows.Scan(&k.Key, &k.High, &k.Low, &k.EventTime, &deleted); err != nil {
				return err
			}
			if deleted == 1 {
				k.Deleted, k.High, k.Low = true, 0, 0
			}
			return yield(k)
		})
	}
	if err != nil {
		return fmt.Errorf("analytics: keys of %s: %w", resource, err)
	}
	return nil
}

func checkHeld(resource, source string, buckets int) error {
	if resource == "" || source == "" || buckets < 1 || buckets > exchange.MaxHeldBuckets {
		return fmt.Errorf("%w: a comparison needs a resource, a source and 1 to %d buckets", ErrInvalid, exchange.MaxHeldBuckets)
	}
	return nil
}

// StoredThrough returns when the sink has stored all that is in the log of a resource now, whoever published it and
// whenever. It asks the log, where [Store.WaitStored] wants positions: those that a publisher remembers are gone with its process, and
// a log that went back may never reach them. It needs a running sink in this process or Config.Feed. ctx bounds the wait.
func (s *Store) StoredThrough(ctx context.Context, resource string) error {
	feed := s.progress.running()
	if feed == nil {
		feed = s.cfg.Feed
	}
	if feed == nil {
		return fmt.Errorf("%w: %s: this process knows no log to wait for", ErrUnavailable, resource)
	}
	topic := exchange.TopicOf(resource)
	failed := func(err error) error { return fmt.Errorf("analytics: wait until %s is stored: %w", resource, err) }
	n, err := feed.Partitions(ctx, topic)
	if err != nil {
		return failed(err)
	}
	var positions []bus.Position
	for partition := range n {
		first, end, err := feed.Bounds(ctx, topic, partition)
		if err != nil {
			return failed(err)
		}
		if end > first {
			positions = append(positions, bus.Position{Partition: partition, Offset: end - 1})
		}
	}
	return s.WaitStored(ctx, resource, positions)
}
