package connectors

import (
	"context"
	"errors"
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
	// proofKeys is how many keys are looked at together, and uniqueKeys how many where a key comes only once, so that
	// what is equal need not be kept.
	proofKeys  = 100_000
	uniqueKeys = 400_000
	// proofBytes is how much of differing rows is kept for their repair; the rest is repaired by the next proof.
	proofBytes = 32 << 20
	// proofReadings is how often keys that are just being changed are looked at again.
	proofReadings = 5
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
	// Repaired counts those that were put right, Left those that the next proof with repair has to see to.
	Repaired int64 `json:"repaired"`
	Left     int64 `json:"left,omitempty"`
	// BlindSpots are losses and faults that the proof could not have seen, also where it is green.
	BlindSpots []BlindSpot `json:"blind_spots,omitempty"`
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
//     differed are read once more: a difference is one for which the exchange
//     has not moved in between. What did move is looked at again.
//
// Rows that the exchange refuses by its rules are neither missing nor gone:
// they are counted, and what the exchange holds under their keys is left alone.
type comparison struct {
	run     *sourceRun
	def     Definition
	scanner Scanner
	mapper  *mapper
	pacer   pacer
	how     comparing
	report  Report
	// ours and theirs are the sums of each bucket, of source and exchange, as they were looked at last.
	ours, theirs []exchange.HeldSum
	keyless      int64            // rejected rows without a key, in the newest scan
	deleted      int64            // rows of the first scan that say that a record is deleted
	batch        []exchange.Draft // repairs that are not handed over yet
	again        [][]string       // keys of the source that are to be read again
}

// comparing says what a comparison is for.
type comparing struct {
	// repair publishes what is missing or different, deletes also deletes what the source no longer has.
	repair, deletes bool
	// alone says that nothing else reads the source, so that nothing is under way; rejected rows are published too.
	alone bool
	// allow lets a repair delete nearly all records.
	allow bool
}

// compare makes one comparison. The error says why it could not be made.
func (s *sourceRun) compare(ctx context.Context, how comparing) (Report, error) {
	c := &comparison{run: s, how: how, report: Report{
		Source: s.def.Name, Resource: s.def.Resource, Started: s.cfg.Now(), Verdict: Equal, BlindSpots: s.def.traits().blind,
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
	c.def, c.mapper, c.pacer = r.def, r.mapper, newPacer(r.def, s.rows)
	c.pacer.waits = false // a scan waits for nothing
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
	if err := c.emptied(); err != nil {
		return err
	}
	for _, group := range groups {
		if err := c.details(ctx, group); err != nil {
			return err
		}
	}
	return c.finish(ctx)
}

const (
	// emptiedFrom is from how many held records on a repair looks whether the source shows most of them, and
	// emptiedShare the share of them, in percent, that it must show.
	emptiedFrom  = 100
	emptiedShare = 10
)

// emptied refuses a repair that would delete nearly all records: a table that was emptied by mistake, or a connection
// that leads to an empty copy, looks the same as a department that gave everything up.
func (c *comparison) emptied() error {
	held, shown := int64(0), c.report.SourceRejected+c.deleted
	for bucket := range c.theirs {
		held += c.theirs[bucket].Count
		shown += c.ours[bucket].Count
	}
	if !c.how.repair || !c.how.deletes || c.how.allow || held < emptiedFrom || shown*100 >= held*emptiedShare {
		return nil
	}
	return Refused(FaultEmptied, nil, "the source shows %d rows where the exchange holds %d records from it, so a repair would delete nearly all of them; nothing was deleted. "+
		"Ask the department; if the rows are really gone, allow it once: onewindow connector proof --repair --allow-emptied %s", shown, held, c.def.Name)
}

// settle waits until what the source held just now is stored, as far as it is read at all.
func (c *comparison) settle(ctx context.Context) error {
	switch {
	case c.how.alone:
	case c.def.SQL != nil && c.def.SQL.Mode == Bulk:
		if !sleep(ctx, c.def.Interval) { // the next comparison of the source itself
			return ctx.Err()
		}
	default:
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
	refused   bool // by the exchange's rules
}

// scan calls yield with every record that the source has now. A key may come
// more than once, from files or where the record's key is not that of the
// table; as with what is published, the newest event time counts, and among
// equal ones the last.
func (c *comparison) scan(ctx context.Context, yield func(record) error) (rejected int64, err error) {
	c.keyless = 0
	began := time.Now()
	err = c.scanner.Scan(ctx, KeyRange{}, func(rows []Row) error {
		c.pacer.note(time.Since(began), len(rows))
		now := c.run.cfg.Now()
		foreignRows(rows)
		drafts := make([]exchange.Draft, len(rows))
		for i := range rows {
			drafts[i] = c.mapper.draft(rows[i], now)
		}
		rejections, err := c.run.cfg.Publisher.Examine(ctx, c.def.Resource, drafts)
		if err != nil {
			if errors.Is(err, exchange.ErrUnknownResource) {
				return c.run.notTaken(err)
			}
			return Away(FaultExchange, err, "the exchange cannot check rows")
		}
		for i := range drafts {
			r := record{draft: drafts[i], sourceKey: rows[i].Key, refused: rejections[i] != nil}
			switch {
			case r.refused:
				rejected++
				if r.draft.Key == "" {
					c.keyless++
				}
			case r.draft.Operation != exchange.Delete:
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
		switch {
		case r.refused && c.how.alone && c.run.firstRefusal(r.draft):
			return c.hand(ctx, r.draft)
		case !r.refused && r.draft.Operation != exchange.Delete:
			c.ours[exchange.HeldBucket(r.draft.Key, proofBuckets)].Add(r.high, r.low)
		case !r.refused:
			c.deleted++
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
	most := int64(proofKeys)
	if c.unique() {
		most = uniqueKeys
	}
	keys := int64(0)
	for bucket, our := range c.ours {
		their := c.theirs[bucket]
		if our.Count == their.Count && our.High == their.High && our.Low == their.Low {
			continue
		}
		count := their.Count
		if !c.unique() {
			count += our.Count
		}
		if keys += count; keys > most || len(groups) == 0 {
			groups, keys = append(groups, nil), count
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], bucket)
	}
	return groups, nil
}

// unique says whether every record has a row of its own: its key is that of
// the table.
func (c *comparison) unique() bool {
	var own []string
	switch {
	case c.def.SQL != nil:
		own = c.def.SQL.Key
	case c.def.Log != nil:
		own = c.def.Log.Key
	}
	columns := slices.Sorted(slices.Values(c.def.Map.KeyColumns()))
	return len(own) > 0 && slices.Equal(columns, slices.Sorted(slices.Values(own))) &&
		!slices.ContainsFunc(c.def.Map.Fields, func(f Field) bool {
			return slices.Contains(c.def.Map.Key, f.To) && (f.HalfWidth || f.Codes != "")
		})
}

// held is what the exchange holds under a key, in the least of memory.
type held struct {
	high, low uint64
	micros    int64 // event time
	deleted   bool
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
	held      held   // zero if the exchange never had the key
}

// details finds the keys that differ in some buckets, and reports those for which the exchange does not move.
func (c *comparison) details(ctx context.Context, buckets []int) error {
	var before map[string]found
	for range proofReadings {
		now := map[string]found{}
		err := c.keys(ctx, buckets, func(f found, r record) error {
			was, again := before[r.draft.Key]
			if c.how.alone || again && was.is == f.is && was.held == f.held {
				return c.differs(ctx, f, r)
			}
			now[r.draft.Key] = f
			return nil
		})
		if err != nil || len(now) == 0 {
			return err
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
		before, buckets = now, nil
		for key := range now {
			buckets = append(buckets, exchange.HeldBucket(key, proofBuckets))
		}
		slices.Sort(buckets)
		buckets = slices.Compact(buckets)
	}
	return Away(FaultBusy, nil, "%d rows change faster than they can be compared; prove it at a quieter hour", len(before))
}

// keys calls yield with every key of some buckets that differs now.
func (c *comparison) keys(ctx context.Context, buckets []int, yield func(found, record) error) error {
	wanted := make([]bool, proofBuckets)
	for _, bucket := range buckets {
		wanted[bucket] = true
		c.ours[bucket], c.theirs[bucket] = exchange.HeldSum{}, exchange.HeldSum{}
	}
	theirs := map[string]held{}
	err := c.run.cfg.Holdings.HeldKeys(ctx, c.def.Resource, c.def.Name, proofBuckets, buckets, func(k exchange.HeldKey) error {
		theirs[k.Key] = held{high: k.High, low: k.Low, micros: k.EventTime.UnixMicro(), deleted: k.Deleted}
		return nil
	})
	if err != nil {
		return Away(FaultExchange, err, "the exchange does not say what it holds")
	}
	newest, kept, unique := map[string]record{}, 0, c.unique()
	_, err = c.scan(ctx, func(r record) error {
		bucket := exchange.HeldBucket(r.draft.Key, proofBuckets)
		if r.draft.Key == "" || !wanted[bucket] {
			return nil
		}
		h, ok := theirs[r.draft.Key]
		same := ok && !r.refused && r.is(h)
		if same && unique {
			c.ours[bucket].Add(r.high, r.low)
			c.theirs[bucket].Add(h.high, h.low)
			delete(theirs, r.draft.Key)
			return nil
		}
		if was, ok := newest[r.draft.Key]; ok && was.draft.EventTime.After(r.draft.EventTime) {
			return nil
		}
		r.draft.Raw = nil // an accepted draft needs it no more
		if same || r.refused || !c.how.repair || kept > proofBytes {
			r.draft.Payload, r.sourceKey = nil, nil
		}
		kept += len(r.draft.Payload)
		newest[r.draft.Key] = r
		return nil
	})
	if err != nil {
		return err
	}
	for key, r := range newest {
		h, ok := theirs[key]
		delete(theirs, key)
		bucket := exchange.HeldBucket(key, proofBuckets)
		if r.refused {
			continue // what the exchange holds stays as it is
		}
		if ok && !h.deleted {
			c.theirs[bucket].Add(h.high, h.low)
		}
		f := found{is: isMissing, high: r.high, low: r.low, held: h}
		switch there := ok && !h.deleted; {
		case r.draft.Operation == exchange.Delete && !there:
			continue
		case r.draft.Operation == exchange.Delete:
			f.is = isExtra
		case there && r.is(h):
			c.ours[bucket].Add(r.high, r.low)
			continue
		case there:
			f.is = isDifferent
			fallthrough
		default:
			c.ours[bucket].Add(r.high, r.low)
		}
		if err := yield(f, r); err != nil {
			return err
		}
	}
	for key, h := range theirs {
		if h.deleted {
			continue
		}
		c.theirs[exchange.HeldBucket(key, proofBuckets)].Add(h.high, h.low)
		gone := record{draft: exchange.Draft{Key: key, Operation: exchange.Delete}}
		if err := yield(found{is: isExtra, held: h}, gone); err != nil {
			return err
		}
	}
	return nil
}

// is says whether the record is the one that the exchange holds.
func (r record) is(h held) bool {
	return r.draft.Operation != exchange.Delete && !h.deleted && r.high == h.high && r.low == h.low
}
