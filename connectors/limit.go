package connectors

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxSlowing is the most by which a slow source is left alone longer than it worked.
	maxSlowing = 64
	// usualQueries is over how many queries the usual time of a row is taken.
	usualQueries = 32
	// slowQuery is the time below which an answer is never called slow.
	slowQuery = 200 * time.Millisecond
)

// limited keeps the load on a source within its limits. It waits before a
// Read, never during one, so that what is read is handed on at once:
//   - at most RowsPerSecond rows, counted from the first;
//   - a pause after each query, so that the source works BusyShare of the time;
//   - a source that answers slowly (more than four times its usual time for a
//     row, or a quarter of the time it may take) is left alone for as long as
//     it took, then twice, four times … as long, and half as long again with
//     every answer at the usual speed.
type limited struct {
	Source
	pacer
}

// limit wraps a source with the limits of its definition.
func limit(src Source, def Definition, rows *rate.Limiter) *limited {
	return &limited{Source: src, pacer: newPacer(def, rows)}
}

// Read waits until the limits allow a query, then reads.
func (l *limited) Read(ctx context.Context) (Batch, error) {
	if !l.wait(ctx) {
		return Batch{}, ctx.Err()
	}
	began := time.Now()
	batch, err := l.Source.Read(ctx)
	l.note(time.Since(began), len(batch.Rows))
	return batch, err
}

// pacer says when the next query may begin.
type pacer struct {
	limits Limits
	rows   *rate.Limiter // nil for no bound
	// waits says that a query waits for changes by itself, so that its time says nothing about the source.
	waits bool

	next    time.Time     // no query before this
	perRow  time.Duration // usual time of a row
	queries int
	slowing int
}

func newPacer(def Definition, rows *rate.Limiter) pacer {
	return pacer{limits: def.Limits, rows: rows, waits: def.Kind == KindLog || def.Kind == KindTopic}
}

// newRows makes the bound of rows that all readings of a source share; nil for none.
func newRows(limits Limits) *rate.Limiter {
	n := limits.RowsPerSecond
	if n == 0 {
		return nil
	}
	rows := rate.NewLimiter(rate.Limit(n), n)
	rows.AllowN(time.Now(), n) // otherwise the first second had twice as many
	return rows
}

// wait waits until a query may begin, or returns false when ctx ends.
func (p *pacer) wait(ctx context.Context) bool {
	if wait := time.Until(p.next); wait > 0 {
		return sleep(ctx, wait)
	}
	return ctx.Err() == nil
}

// note takes a query that has just ended into account.
func (p *pacer) note(took time.Duration, rows int) {
	now := time.Now()
	p.next = now.Add(p.pause(took, rows))
	if p.rows == nil || rows == 0 {
		return
	}
	// A source may give more rows at once than a batch has; then they count as several.
	for ; rows > 0; rows -= p.rows.Burst() {
		if due := now.Add(p.rows.ReserveN(now, min(rows, p.rows.Burst())).DelayFrom(now)); due.After(p.next) {
			p.next = due
		}
	}
}

// pause is how long the source is left alone after a query.
func (p *pacer) pause(took time.Duration, rows int) time.Duration {
	if p.waits {
		return 0
	}
	rest := took * time.Duration(100-p.limits.BusyShare) / time.Duration(max(p.limits.BusyShare, 1))
	perRow := took / time.Duration(max(rows, 1))
	slow := took > slowQuery && (took > p.limits.QueryTime/4 || p.queries >= usualQueries/4 && perRow > 4*p.perRow)
	if slow {
		p.slowing = min(max(2*p.slowing, 1), maxSlowing)
	} else {
		p.slowing /= 2
	}
	if !slow && rows > 0 {
		p.queries = min(p.queries+1, usualQueries)
		p.perRow += (perRow - p.perRow) / time.Duration(p.queries)
	}
	return max(rest, took*time.Duration(p.slowing))
}
