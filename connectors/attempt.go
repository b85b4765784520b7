package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

const (
	closeTimeout = 10 * time.Second
	// saveTimeout bounds the saving of what was published when Run is told to stop.
	saveTimeout = 10 * time.Second
)

// sourceRun reads one source. Its fields belong to the goroutine of loop,
// except src and mapper, which belong to the reader of the attempt under way.
type sourceRun struct {
	cfg    RunnerConfig
	def    Definition
	src    Source
	mapper *mapper
	log    *slog.Logger
	report func(Status)

	state saved
	retry backoff
}

// loop runs attempts until ctx ends.
func (s *sourceRun) loop(ctx context.Context) {
	s.retry = backoff{low: s.cfg.RetryMin, high: s.cfg.RetryMax}
	for ctx.Err() == nil {
		err := s.guarded(ctx, "reading", func() error { return s.attempt(ctx) })
		if ctx.Err() != nil {
			break
		}
		pause := s.retry.step()
		s.fail(ctx, err, pause)
		sleep(ctx, pause)
	}
	s.set(Stopped, "")
}

func (s *sourceRun) set(state State, fault string) {
	s.report(Status{
		Name: s.def.Name, Kind: s.def.Kind, Resource: s.def.Resource,
		State: state, Fault: fault, Counts: s.state.counts.clone(),
	})
}

func (s *sourceRun) fail(ctx context.Context, err error, pause time.Duration) {
	s.log.WarnContext(ctx, "source is failing", slog.Any("error", err), slog.Duration("retry_in", pause))
	s.set(Failing, err.Error())
}

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

	reading, stop := context.WithCancel(ctx)
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if cerr := s.guarded(ctx, "close", func() error { return s.src.Close(closing) }); cerr != nil {
			s.log.WarnContext(ctx, "closing the source failed", slog.Any("error", cerr))
		}
	}()
	// Unbuffered: the reader prepares one batch while another is published and
	// then waits, so a slow exchange slows the reading down.
	steps := make(chan step)
	done := make(chan struct{})
	position := s.state.position
	go func() {
		defer close(done)
		err := s.guarded(ctx, "source", func() error { return s.read(reading, position, steps) })
		select {
		case steps <- step{err: err}:
		case <-reading.Done():
		}
	}()
	// The source is closed only after the reader is out of it.
	defer func() { stop(); <-done }()

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next := <-steps:
			if err := s.take(ctx, next); err != nil {
				return err
			}
		}
	}
}

// step is what the reader hands over: a batch, the news that it is caught up,
// or the error that ended it.
type step struct {
	drafts   []exchange.Draft
	position json.RawMessage
	caughtUp bool
	err      error
}

// read opens the source and hands over mapped batches until an error.
func (s *sourceRun) read(ctx context.Context, after json.RawMessage, steps chan<- step) error {
	if err := s.src.Open(ctx, after); err != nil {
		return err
	}
	for {
		batch, err := s.src.Read(ctx)
		next := step{position: batch.Position}
		switch {
		case errors.Is(err, ErrCaughtUp):
			next.caughtUp = true
		case err != nil:
			return err
		}
		if len(batch.Rows) > 0 {
			readAt := s.cfg.Now()
			next.drafts = make([]exchange.Draft, len(batch.Rows))
			for i, row := range batch.Rows {
				next.drafts[i] = s.mapper.draft(row, readAt)
			}
		}
		select {
		case steps <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		if next.caughtUp && !sleep(ctx, s.def.Interval) {
			return ctx.Err()
		}
	}
}

// take publishes and saves one batch, trying until it succeeds or ctx ends.
func (s *sourceRun) take(ctx context.Context, next step) error {
	switch {
	case next.err != nil:
		return next.err
	case next.caughtUp:
		s.retry.reset()
		s.set(CaughtUp, "")
		return nil
	}
	s.set(Reading, "")
	var delta Counts
	if len(next.drafts) > 0 {
		outcomes, err := s.publish(ctx, next.drafts)
		if err != nil {
			return err
		}
		delta = count(next.drafts, outcomes, s.cfg.Now())
	}
	if err := s.save(ctx, next.position, delta); err != nil {
		return err
	}
	s.retry.reset()
	s.set(Reading, "")
	return nil
}

// publish repeats the same drafts until the exchange has them: reading them
// again from the source would ask more of the source than of us.
func (s *sourceRun) publish(ctx context.Context, drafts []exchange.Draft) ([]exchange.Outcome, error) {
	for {
		outcomes, err := s.cfg.Publisher.Publish(ctx, s.def.Resource, s.def.Name, drafts)
		if err == nil && len(outcomes) != len(drafts) {
			err = fmt.Errorf("%d outcomes for %d drafts", len(outcomes), len(drafts))
		}
		switch {
		case err == nil:
			return outcomes, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		if err := s.pause(ctx, fmt.Errorf("connectors: the exchange did not take the rows, they are kept: %w", err)); err != nil {
			return nil, err
		}
	}
}

// save repeats the transaction until it is on disk: the rows are published,
// and giving up would only publish them again. When ctx has ended it has one
// more short try, so that an orderly stop repeats nothing.
func (s *sourceRun) save(ctx context.Context, position json.RawMessage, delta Counts) error {
	for {
		saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		after, err := save(saving, s.cfg.DB, s.def.Name, s.state, position, delta)
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

// guarded turns a panic into an error, so that one source cannot end the process.
func (s *sourceRun) guarded(ctx context.Context, what string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic", slog.String("in", what), slog.Any("value", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("connectors: internal error in %s (panic: %v); please report it", what, p)
		}
	}()
	return fn()
}
