package connectors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

// Holdings is what the exchange has stored. HeldSums and HeldKeys tell of the
// current records of a resource that came from one source, deletes left out:
// their number and the sum of their hashes by bucket of the key, and the keys
// of some buckets. StoredThrough returns once everything that is on the topic
// of the resource now is stored. RejectedRecord answers [exchange.ErrUnknownRejected].
type Holdings interface {
	HeldSums(ctx context.Context, resource, source string, buckets int) ([]exchange.HeldSum, error)
	HeldKeys(ctx context.Context, resource, source string, buckets int, wanted []int, yield func(exchange.HeldKey) error) error
	StoredThrough(ctx context.Context, resource string) error
	RejectedRecords(ctx context.Context, q exchange.RejectedQuery) (page []exchange.Rejected, next string, err error)
	RejectedRecord(ctx context.Context, id string) (exchange.Rejected, error)
}

const (
	// proofBuckets is into how many parts the keys are divided, so that a
	// difference is found by looking at few of them.
	proofBuckets = exchange.MaxHeldBuckets
	// proofKeys is how many keys are looked at together.
	proofKeys = 100_000
	// proofListed is how many differing keys a report lists; all are counted.
	proofListed = 1000
	// settleTime is how long a comparison waits for what is under way.
	settleTime = 2 * time.Minute
)

// Verdict is the outcome of a proof.
type Verdict string

// The verdicts.
const (
	Asked Verdict = "asked"
	// Equal means that source and exchange have the same keys with the same content.
	Equal Verdict = "equal"
	// Different means that they do not; the report says where.
	Different Verdict = "different"
	// Failed means that the comparison could not be made; the report says why.
	Failed Verdict = "failed"
)

// Report is what a completeness proof found.
type Report struct {
	ID, Source string    `json:"-"`
	Resource   string    `json:"resource"`
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished"`
	Verdict    Verdict   `json:"-"`
	// SourceRows are the records that the source has, SourceRejected the rows of it that the exchange refuses
	// by its rules, HeldRows the records that the exchange holds from it.
	SourceRows     int64 `json:"source_rows"`
	SourceRejected int64 `json:"source_rejected"`
	HeldRows       int64 `json:"held_rows"`
	// SourceHash and HeldHash are the sums of the rows' hashes (exchange.HeldHash) in hexadecimal.
	SourceHash string `json:"source_hash"`
	HeldHash   string `json:"held_hash"`
	// Missing rows are not in the exchange, Different ones differ there, Extra ones are no longer at the source.
	Missing   int64 `json:"missing"`
	Different int64 `json:"different"`
	Extra     int64 `json:"extra"`
	// Differences lists up to 1,000 of them.
	Differences []Difference `json:"differences,omitempty"`
	// Repaired counts those that were put right.
	Repaired int64 `json:"repaired"`
	// Code and Fault say why the verdict is Failed.
	Code  FaultCode `json:"code,omitempty"`
	Fault string    `json:"fault,omitempty"`
}

// Difference is one key that is not the same on both sides.
type Difference struct {
	Key string `json:"key"`
	// Is is "missing", "different" or "extra".
	Is string `json:"is"`
}

// The kinds of difference.
const (
	isMissing   = "missing"
	isDifferent = "different"
	isExtra     = "extra"
)

// comparison holds the source against the exchange:
//
//  1. Count and hash of every bucket of keys, on both sides. What is equal is
//     proved equal; only buckets that differ are looked at.
//  2. Their keys, one by one. A row that is being changed may differ for a
//     moment, so
//  3. after everything under way is handed on and stored, the keys that
//     differed are read once more: a difference is one that is the same both times.
type comparison struct {
	run     *sourceRun
	def     Definition
	scanner Scanner
	mapper  *mapper
	pacer   pacer
	repair  bool
	report  Report
	// ours and theirs are the sums of each bucket, of source and exchange, as they were looked at last.
	ours, theirs []exchange.HeldSum
	batch        []exchange.Draft // repairs that are not handed over yet
	again        [][]string       // keys of the source that are to be read again
}

// compare makes one comparison and, if repair is set, puts right what differs.
// The error says why it could not be made.
func (s *sourceRun) compare(ctx context.Context, repair bool) (Report, error) {
	c := &comparison{run: s, repair: repair, report: Report{
		Source: s.def.Name, Resource: s.def.Resource, Started: s.cfg.Now(), Verdict: Equal,
	}}
	control, err := loadControl(ctx, s.cfg.DB, s.def.Name)
	if err != nil {
		return c.report, err
	}
	r, err := s.open(control.taken)
	if err != nil {
		return c.report, err
	}
	var ok bool
	if c.scanner, ok = r.src.(Scanner); !ok {
		return c.report, Refused(FaultDefinition, nil, "sources of kind %s cannot be compared with the exchange", s.def.Kind)
	}
	c.def, c.mapper, c.pacer = r.def, r.mapper, newPacer(r.def)
	err = c.make(ctx)
	c.report.SourceRows, c.report.SourceHash = total(c.ours)
	c.report.HeldRows, c.report.HeldHash = total(c.theirs)
	c.report.Finished = s.cfg.Now()
	return c.report, err
}

func (c *comparison) make(ctx context.Context) error {
	if err := c.settle(ctx); err != nil {
		return err
	}
	groups, err := c.sums(ctx)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := c.details(ctx, group); err != nil {
			return err
		}
	}
	return c.finish(ctx)
}

// bulk says that nothing but comparisons reads the source, so that there is nothing under way to wait for.
func (c *comparison) bulk() bool { return c.def.SQL != nil && c.def.SQL.Mode == Bulk }

// settle waits until what the source held just now is stored, as far as it is read at all.
func (c *comparison) settle(ctx context.Context) error {
	if !c.bulk() {
		if c.def.SQL != nil && !sleep(ctx, c.def.SQL.Delay) { // younger rows are not read yet
			return ctx.Err()
		}
		c.run.awaitCaughtUp(ctx, settleTime)
	}
	waiting, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := c.run.cfg.Holdings.StoredThrough(waiting, c.def.Resource); err != nil {
		return Away(FaultExchange, err, "what was handed on is not stored yet; try again later")
	}
	return nil
}

// record is one row of the source as the exchange would hold it.
type record struct {
	draft     exchange.Draft
	sourceKey []string
	high, low uint64
}

// scan calls yield with every record that the source has now. A key may come
// more than once, from files or where the record's key is not that of the
// table; as with what is published, the newest event time counts, and among
// equal ones the last.
func (c *comparison) scan(ctx context.Context, yield func(record) error) (rejected int64, err error) {
	began := time.Now()
	err = c.scanner.Scan(ctx, KeyRange{}, func(rows []Row) error {
		c.pacer.note(time.Since(began), len(rows))
		now := c.run.cfg.Now()
		drafts := make([]exchange.Draft, len(rows))
		for i := range rows {
			drafts[i] = c.mapper.draft(rows[i], now)
		}
		rejections, err := c.run.cfg.Publisher.Examine(ctx, c.def.Resource, drafts)
		if err != nil {
			return Away(FaultExchange, err, "the exchange cannot check rows")
		}
		for i := range drafts {
			if rejections[i] != nil {
				rejected++
				continue
			}
			r := record{draft: drafts[i], sourceKey: rows[i].Key}
			if r.draft.Operation != exchange.Delete {
				r.high, r.low = exchange.HeldHash(r.draft.Key, r.draft.Payload)
			}
			if err := yield(r); err != nil {
				return err
			}
		}
		if !c.pacer.wait(ctx) {
			return ctx.Err()
		}
		began = time.Now()
		return nil
	})
	return rejected, err
}

// sums compares all buckets and returns those that differ, in groups of about
// proofKeys keys.
func (c *comparison) sums(ctx context.Context) (groups [][]int, err error) {
	c.ours, c.theirs = make([]exchange.HeldSum, proofBuckets), make([]exchange.HeldSum, proofBuckets)
	c.report.SourceRejected, err = c.scan(ctx, func(r record) error {
		if r.draft.Operation != exchange.Delete {
			c.ours[exchange.HeldBucket(r.draft.Key, proofBuckets)].Add(r.high, r.low)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	held, err := c.run.cfg.Holdings.HeldSums(ctx, c.def.Resource, c.def.Name, proofBuckets)
	if err != nil {
		return nil, Away(FaultExchange, err, "the exchange does not say what it holds")
	}
	for _, sum := range held {
		c.theirs[sum.Bucket] = sum
	}
	keys := int64(proofKeys) // so that the first bucket begins a group
	for bucket, our := range c.ours {
		their := c.theirs[bucket]
		if our.Count == their.Count && our.High == their.High && our.Low == their.Low {
			continue
		}
		if keys += our.Count + their.Count; keys > proofKeys {
			groups, keys = append(groups, nil), our.Count+their.Count
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], bucket)
	}
	return groups, nil
}

// total adds the sums of all buckets up, for the report.
func total(sums []exchange.HeldSum) (rows int64, hash string) {
	var all exchange.HeldSum
	for _, sum := range sums {
		all.Count, all.High, all.Low = all.Count+sum.Count, all.High+sum.High, all.Low+sum.Low
	}
	return all.Count, fmt.Sprintf("%016x%016x", all.High, all.Low)
}

// found is one difference as one reading of both sides shows it.
type found struct {
	is        string
	high, low uint64 // of the source; zero if it has no such row
	held      exchange.HeldKey
}

// details finds the keys that differ in some buckets, reads them once more and reports those that still do.
func (c *comparison) details(ctx context.Context, buckets []int) error {
	first := map[string]found{}
	err := c.keys(ctx, buckets, func(f found, r record) error {
		first[r.draft.Key] = f
		if c.bulk() {
			return c.differs(ctx, f, r)
		}
		return nil
	})
	if err != nil || c.bulk() || len(first) == 0 {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	var again []int
	for key := range first {
		again = append(again, exchange.HeldBucket(key, proofBuckets))
	}
	slices.Sort(again)
	return c.keys(ctx, slices.Compact(again), func(f found, r record) error {
		was, ok := first[r.draft.Key]
		if !ok || was.is != f.is || was.high != f.high || was.low != f.low || was.held.High != f.held.High || was.held.Low != f.held.Low {
			return nil
		}
		return c.differs(ctx, f, r)
	})
}

// keys calls yield with every key of some buckets that differs now.
func (c *comparison) keys(ctx context.Context, buckets []int, yield func(found, record) error) error {
	wanted := make([]bool, proofBuckets)
	for _, bucket := range buckets {
		wanted[bucket] = true
		c.ours[bucket], c.theirs[bucket] = exchange.HeldSum{}, exchange.HeldSum{}
	}
	held := map[string]exchange.HeldKey{}
	err := c.run.cfg.Holdings.HeldKeys(ctx, c.def.Resource, c.def.Name, proofBuckets, buckets, func(k exchange.HeldKey) error {
		held[k.Key] = k
		c.theirs[exchange.HeldBucket(k.Key, proofBuckets)].Add(k.High, k.Low)
		return nil
	})
	if err != nil {
		return Away(FaultExchange, err, "the exchange does not say what it holds")
	}
	newest := map[string]record{}
	_, err = c.scan(ctx, func(r record) error {
		if !wanted[exchange.HeldBucket(r.draft.Key, proofBuckets)] {
			return nil
		}
		if was, ok := newest[r.draft.Key]; ok && was.draft.EventTime.After(r.draft.EventTime) {
			return nil
		}
		if h, ok := held[r.draft.Key]; ok && r.is(h) { // nothing of it will be needed
			r.draft.Payload, r.draft.Raw, r.sourceKey = nil, nil, nil
		}
		newest[r.draft.Key] = r
		return nil
	})
	if err != nil {
		return err
	}
	for key, r := range newest {
		if r.draft.Operation == exchange.Delete {
			continue // held or not, it is as if the source had no such row
		}
		c.ours[exchange.HeldBucket(key, proofBuckets)].Add(r.high, r.low)
		h, ok := held[key]
		delete(held, key)
		f := found{is: isMissing, high: r.high, low: r.low, held: h}
		if ok {
			f.is = isDifferent
		}
		if ok && r.is(h) {
			continue
		}
		if err := yield(f, r); err != nil {
			return err
		}
	}
	for key, h := range held {
		gone := record{draft: exchange.Draft{Key: key, Operation: exchange.Delete, EventTime: newest[key].draft.EventTime}}
		if err := yield(found{is: isExtra, held: h}, gone); err != nil {
			return err
		}
	}
	return nil
}

// is says whether the record is the one that the exchange holds.
func (r record) is(h exchange.HeldKey) bool {
	return r.draft.Operation != exchange.Delete && r.high == h.High && r.low == h.Low
}

// differs reports one difference and puts it right if that is wanted.
func (c *comparison) differs(ctx context.Context, f found, r record) error {
	c.report.Verdict = Different
	switch f.is {
	case isMissing:
		c.report.Missing++
	case isDifferent:
		c.report.Different++
	default:
		c.report.Extra++
	}
	if len(c.report.Differences) < proofListed {
		c.report.Differences = append(c.report.Differences, Difference{Key: r.draft.Key, Is: f.is})
	}
	if !c.repair {
		return nil
	}
	if c.def.Kind == KindLog && f.is != isExtra {
		// The log orders the versions of a row; only the source itself can fit this one in.
		c.again = append(c.again, r.sourceKey)
		return nil
	}
	// It takes the place of what is held, and of nothing newer.
	if after := f.held.EventTime.Add(time.Microsecond); f.is != isMissing && (f.is == isExtra || r.draft.EventTime.Before(after)) {
		r.draft.EventTime = after
	}
	c.batch = append(c.batch, r.draft)
	if len(c.batch) < c.def.Batch {
		return nil
	}
	return c.hand(ctx)
}

// hand hands the repairs over to be published and counted with the batches of the source.
func (c *comparison) hand(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	taken := make(chan error, 1)
	waiting, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	select {
	case c.run.repairs <- step{drafts: c.batch, taken: taken}:
	case <-waiting.Done():
		return cmp.Or(ctx.Err(), Away(FaultUnclassified, nil, "the source is not being read, so that nothing can be put right; resume it first"))
	}
	select {
	case err := <-taken:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	c.report.Repaired += int64(len(c.batch))
	c.batch = nil
	return nil
}

// rereadAll is from how many rows on the whole table is read again rather than row by row.
const rereadAll = 1000

func (c *comparison) finish(ctx context.Context) error {
	if err := c.hand(ctx); err != nil || len(c.again) == 0 {
		return err
	}
	ranges := make([]KeyRange, 0, len(c.again))
	for _, key := range c.again {
		ranges = append(ranges, KeyRange{From: key, To: key})
	}
	if len(ranges) > rereadAll {
		ranges = []KeyRange{{}}
	}
	for _, keys := range ranges {
		if _, err := c.run.runner.Reread(ctx, c.def.Name, keys, "proof"); err != nil {
			return err
		}
	}
	c.report.Repaired += int64(len(c.again))
	return nil
}
