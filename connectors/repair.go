package connectors

import (
	"cmp"
	"context"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

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
	switch {
	case !c.how.repair:
		return nil
	case f.is == isExtra && (!c.how.deletes || c.keyless > 0):
		return nil // it may only be out of sight, or be a row that is refused and whose key cannot be read
	case c.def.Kind == KindLog && f.is != isExtra:
		// The log orders the versions of a row; only the source itself can fit this one in.
		c.report.Repaired++
		if len(c.again) <= rereadAll {
			c.again = append(c.again, r.sourceKey)
		}
		return nil
	case f.is != isExtra && r.draft.Payload == nil:
		c.report.Left++
		return nil
	}
	if f.is == isExtra {
		r.draft.Operation, r.draft.Payload = exchange.Delete, nil
	}
	// It takes the place of what is held, a delete too, and of nothing newer.
	if after := time.UnixMicro(f.held.micros + 1).UTC(); f.held != (held{}) && (f.is == isExtra || r.draft.EventTime.Before(after)) {
		r.draft.EventTime = after
	}
	c.report.Repaired++
	return c.hand(ctx, r.draft)
}

// hand gathers drafts and, batch by batch, hands them over.
func (c *comparison) hand(ctx context.Context, d exchange.Draft) error {
	if c.batch = append(c.batch, d); len(c.batch) < c.def.Batch {
		return nil
	}
	return c.flush(ctx)
}

// flush hands drafts over to be published and counted with the batches of the source.
func (c *comparison) flush(ctx context.Context) error {
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
	c.batch = nil
	select {
	case err := <-taken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rereadAll is from how many rows on the whole table is read again rather than row by row.
const rereadAll = 1000

func (c *comparison) finish(ctx context.Context) error {
	if err := c.flush(ctx); err != nil || len(c.again) == 0 {
		return err
	}
	ranges := []KeyRange{{}}
	if len(c.again) <= rereadAll {
		ranges = nil
		for _, key := range c.again {
			ranges = append(ranges, KeyRange{From: key, To: key})
		}
	}
	for _, keys := range ranges {
		if _, err := c.run.runner.Reread(ctx, c.def.Name, keys, "proof"); err != nil {
			return err
		}
	}
	return nil
}
