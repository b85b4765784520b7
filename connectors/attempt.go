package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

const (
	closeTimeout = 10 * time.Second
	// saveTimeout bounds the saving of what was published when Run is told to stop.
	saveTimeout = 10 * time.Second
)

var (
	// errClosed ends an attempt because the gate closed.
	errClosed = errors.New("connectors: the source may not be read now")
	// errAgain ends an attempt because the source has to be made anew.
	errAgain = errors.New("connectors: columns were taken up")
)

// attempt opens the source behind what was saved last and reads it until something fails.
func (s *sourceRun) attempt(ctx context.Context) (err error) {
	if s.state, err = load(ctx, s.cfg.DB, s.def.Name); err != nil {
		return err
	}
	identity := s.def.identity()
	if s.state.revision > 0 && s.state.identity != identity {
		return fmt.Errorf("%w: what was saved under %q belongs to %s, but the definition now names %s; "+
			"give the changed source a new name and it is read from the beginning, or restore the definition",
			ErrPosition, s.def.Name, s.state.identity, identity)
	}
	s.state.identity = identity
	control, err := loadControl(ctx, s.cfg.DB, s.def.Name)
	if err != nil {
		return err
	}
	s.forgetTold(control)
	// The same source is opened again and again: it may remember what it has reported.
	if s.live == nil || !slices.Equal(s.live.taken, control.taken) {
		if s.live, err = s.open(control.taken); err != nil {
			return err
		}
	}
	r := s.live
	r.steps = make(chan step)
	r.acked.take()
	if len(control.taken) > 0 { // one of them may be gone, and then the source could not be opened
		if err := r.agree(ctx); err != nil {
			return err
		}
	}
	after := s.state.position
	reading, stop := context.WithCancelCause(ctx)
	go func() {
		s.gate.awaitClosed(reading)
		stop(errClosed)
	}()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if cerr := s.guarded(ctx, "close", func() error { return r.src.Close(closing) }); cerr != nil {
			s.warn(ctx, "closing the source failed", cerr)
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := s.guarded(ctx, "source", func() error { return r.read(reading, after) })
		select {
		case r.steps <- step{err: err}:
		case <-reading.Done():
		}
	}()
	// The source is closed only after the reader is out of it.
	defer func() { stop(nil); <-done }()

	for {
		var next step
		select {
		case <-reading.Done():
			return context.Cause(reading)
		case next = <-r.steps:
		case next = <-s.repairs:
		}
		err := s.take(ctx, reading, next)
		if next.taken != nil {
			next.taken <- err
		}
		if err != nil {
			return err
		}
		if next.position != nil {
			r.acked.Store(&next.position)
		}
	}
}

// sourceReader reads the source, attempt after attempt. Its fields belong to the goroutine of read, but acked and steps.
type sourceReader struct {
	run    *sourceRun
	def    Definition
	taken  []Column
	src    Source
	source *limited
	mapper *mapper
	// steps is unbuffered: the reader prepares one batch while another is published and then waits, so a slow
	// exchange slows the reading down.
	steps chan step
	// acked is the newest position that is saved.
	acked mailbox
}

// step is what is handed over to be published and saved: a batch, a repair,
// the news that the source is caught up, or the error that ended the reading.
type step struct {
	drafts []exchange.Draft
	// position is nil if it stays where it is.
	position json.RawMessage
	columns  []Column
	gap      bool
	rereads  []string
	caughtUp bool
	err      error
	// taken, if not nil, gets the outcome.
	taken chan<- error
}

// open makes the source, with the columns that were taken up since.
func (s *sourceRun) open(taken []Column) (*sourceReader, error) {
	def := s.def
	if def.TakeNewColumns {
		def.Map = def.Map.takeColumns(taken)
	}
	if n := def.Limits.RowsPerSecond; n > 0 {
		def.Batch = min(def.Batch, n)
	}
	src, err := s.runner.construct(def)
	if err != nil {
		return nil, err
	}
	mapper, err := newMapper(def.Map)
	if err != nil {
		return nil, err
	}
	return &sourceReader{run: s, def: def, taken: taken, src: src, source: limit(src, def, s.rows), mapper: mapper}, nil
}

// read opens the source and hands over mapped batches until an error.
func (r *sourceReader) read(ctx context.Context, after json.RawMessage) error {
	if err := r.src.Open(ctx, after); err != nil {
		return err
	}
	if after != nil {
		r.acked.Store(&after)
	}
	var asked []string
	empty := emptyBatches{pause: backoff{low: emptyPause, high: r.run.cfg.RetryMax}}
	for {
		if err := r.acknowledge(ctx); err != nil {
			return err
		}
		taken, err := r.reread(ctx)
		if err != nil {
			return err
		}
		asked = append(asked, taken...)
		batch, err := r.source.Read(ctx)
		next := step{position: batch.Position, columns: batch.Columns, gap: batch.Gap}
		switch {
		case errors.Is(err, ErrCaughtUp):
			next = step{caughtUp: true}
		case err != nil:
			return err
		default:
			next.rereads, asked = asked, nil
		}
		if len(batch.Rows) > 0 {
			now := r.run.cfg.Now()
			foreignRows(batch.Rows)
			next.drafts = make([]exchange.Draft, len(batch.Rows))
			for i, row := range batch.Rows {
				next.drafts[i] = r.mapper.draft(row, now)
			}
		}
		select {
		case r.steps <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		if next.caughtUp {
			if err := r.rest(ctx); err != nil {
				return err
			}
		}
		if !empty.wait(ctx, len(batch.Rows) == 0 && !next.caughtUp) {
			return ctx.Err()
		}
	}
}

const (
	// usualEmpty is how many batches without rows may follow each other without a pause, e.g. past empty files.
	usualEmpty = 100
	// emptyPause is the first pause after them; it grows.
	emptyPause = 10 * time.Millisecond
)

// emptyBatches slows a source down that goes on giving batches without rows.
type emptyBatches struct {
	run   int
	pause backoff
}

// wait counts a batch and waits if there were too many without rows; false when ctx ends.
func (e *emptyBatches) wait(ctx context.Context, empty bool) bool {
	if !empty {
		e.run = 0
		e.pause.reset()
		return true
	}
	if e.run++; e.run <= usualEmpty {
		return true
	}
	return sleep(ctx, e.pause.step())
}

// rest lets a source that is caught up alone for its interval. One that is
// told of changes waits for them by itself. A table in bulk mode is compared
// with what the exchange holds from then on, so that only differences are
// handed on; that reads every row again, whoever asked for some.
func (r *sourceReader) rest(ctx context.Context) error {
	bulk := r.def.SQL != nil && r.def.SQL.Mode == Bulk && r.run.cfg.Holdings != nil
	for {
		if r.def.Kind != KindLog && !r.run.nap(ctx, r.def.Interval) {
			return ctx.Err()
		}
		if !bulk {
			return nil
		}
		if err := r.agree(ctx); err != nil {
			return err
		}
		for _, q := range r.run.takeRereads() {
			if err := settleReread(ctx, r.run.cfg.DB, q.id, rereadTaken); err != nil {
				return err
			}
		}
		if _, err := r.run.compare(ctx, comparing{repair: true, deletes: true, alone: true}); err != nil {
			return err
		}
		select {
		case r.steps <- step{caughtUp: true}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// agree compares the columns as they are now with those that were agreed, if the source can tell them.
func (r *sourceReader) agree(ctx context.Context) error {
	d, ok := r.src.(Describer)
	if !ok {
		return nil
	}
	columns, err := d.Columns(ctx)
	if err != nil {
		return err
	}
	return r.run.agree(ctx, columns)
}

// acknowledge tells the source what is saved, if it wants to know.
func (r *sourceReader) acknowledge(ctx context.Context) error {
	a, ok := r.src.(Acknowledger)
	if !ok {
		return nil
	}
	position := r.acked.take()
	if position == nil {
		return nil
	}
	return a.Acknowledge(ctx, *position)
}

// reread hands requests for re-reading to the source and returns those it took.
func (r *sourceReader) reread(ctx context.Context) (taken []string, err error) {
	for _, q := range r.run.takeRereads() {
		src, ok := r.src.(Rereader)
		if !ok {
			err = Refused(FaultDefinition, nil, "sources of kind %s cannot be read again by key", r.def.Kind)
		} else {
			err = src.Reread(ctx, q.id, q.keys)
		}
		switch {
		case errors.Is(err, ErrRefused):
			r.run.warn(ctx, "a request for re-reading is refused", err)
			if err := settleReread(ctx, r.run.cfg.DB, q.id, rereadRefused); err != nil {
				return taken, err
			}
		case err != nil:
			return taken, err
		default:
			taken = append(taken, q.id)
		}
	}
	return taken, nil
}

// take publishes and saves one step, trying until it succeeds or ctx ends; what
// is not published yet is given up when reading ends.
func (s *sourceRun) take(ctx, reading context.Context, next step) error {
	switch {
	case next.err != nil:
		return next.err
	case next.caughtUp:
		s.gotOn(false)
		s.caughtUp()
		return nil
	}
	if err := s.agree(ctx, next.columns); err != nil {
		return err
	}
	s.set(Reading, "", "")
	var delta Counts
	if len(next.drafts) > 0 {
		outcomes, err := s.publish(ctx, reading, next.drafts)
		if err != nil {
			return err
		}
		delta = count(next.drafts, outcomes, s.cfg.Now())
	}
	if next.position == nil {
		next.position = s.state.position
	}
	if err := s.save(ctx, next.position, delta, next.gap); err != nil {
		return err
	}
	s.noteGap(s.state.gap)
	for _, id := range next.rereads {
		// A crash before this asks again, which the source knows, or reads the range once more.
		if err := settleReread(ctx, s.cfg.DB, id, rereadTaken); err != nil {
			return err
		}
	}
	s.gotOn(len(next.drafts) > 0 && !next.gap)
	s.set(Reading, "", "")
	return nil
}

// publish repeats the same drafts until the exchange has them: reading them
// again from the source would ask more of the source than of us.
func (s *sourceRun) publish(ctx, reading context.Context, drafts []exchange.Draft) ([]exchange.Outcome, error) {
	for {
		outcomes, err := s.cfg.Publisher.Publish(ctx, s.def.Resource, s.def.Name, drafts)
		if err == nil && len(outcomes) != len(drafts) {
			err = fmt.Errorf("%d outcomes for %d drafts", len(outcomes), len(drafts))
		}
		switch {
		case err == nil:
			return outcomes, nil
		case reading.Err() != nil:
			return nil, context.Cause(reading)
		}
		if err := s.pause(reading, s.notTaken(err)); err != nil {
			return nil, context.Cause(reading)
		}
	}
}

// notTaken is the fault that the exchange did not take rows.
func (s *sourceRun) notTaken(err error) error {
	if errors.Is(err, exchange.ErrUnknownResource) {
		return Refused(FaultResource, nil, "resource %s, which the source feeds, is not in the catalogue; register it with PUT /v1/resources/%s, "+
			"or name another in the definition; the rows are kept and the source goes on by itself", s.def.Resource, s.def.Resource)
	}
	return Away(FaultExchange, err, "the exchange did not take the rows, they are kept")
}

// save repeats the transaction until it is on disk: the rows are published,
// and giving up would only publish them again. When ctx has ended it has one
// more short try, so that an orderly stop repeats nothing.
func (s *sourceRun) save(ctx context.Context, position json.RawMessage, delta Counts, gap bool) error {
	for {
		saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		after, err := save(saving, s.cfg.DB, s.def.Name, s.state, position, delta, gap)
		cancel()
		switch {
		case err == nil:
			s.state = after
			return nil
		case errors.Is(err, ErrConflict):
			return err
		}
		if err := s.pause(ctx, err); err != nil {
			return err
		}
	}
}

func (s *sourceRun) pause(ctx context.Context, cause error) error {
	wait := s.retry.step()
	s.fail(ctx, cause, wait)
	if !sleep(ctx, wait) {
		return ctx.Err()
	}
	return nil
}
