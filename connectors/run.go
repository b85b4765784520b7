package connectors

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/onewindow/onewindow/exchange"
)

// sourceRun reads one source as long as it is defined. Fields without a lock
// belong to the goroutine of loop.
type sourceRun struct {
	runner *Runner
	cfg    RunnerConfig
	def    Definition
	text   string
	log    *slog.Logger
	gate   *gate
	stop   context.CancelFunc
	busy   sync.WaitGroup

	state saved
	live  *sourceReader // nil before the first attempt
	rows  *rate.Limiter // of all readings of the source; nil for no bound
	retry backoff
	fault FaultCode // that was told last
	// failures counts failed attempts since failingSince; failedAt is when the last one failed.
	failures               int64
	failingSince, failedAt time.Time

	repairs chan step       // from proofs to the attempt under way
	proofs  chan askedProof // to the goroutine of prove

	mu      sync.Mutex
	control control
	rereads []reread
	told    map[string]bool // requests for re-reading that this attempt has handed to the source
	// caughtUps counts how often the source was caught up; more is closed at the next time, and made anew.
	caughtUps int64
	more      chan struct{}
	// gap is the newest revision since which changes may have been missed, gapAt when and after how many caughtUps
	// it was seen, closed the newest that was reconciled.
	gap, closed int64
	gapAt       time.Time
	gapCaughtUp int64
	refusals    map[[32]byte]bool // rows of a table in bulk mode that were handed on as rejected
}

// end stops the goroutines of a source and waits for them.
func (s *sourceRun) end() {
	s.stop()
	s.busy.Wait()
}

// loop runs attempts until ctx ends.
func (s *sourceRun) loop(ctx context.Context) {
	for s.gate.await(ctx, func(state State) { s.set(state, "", "") }) {
		err := s.guarded(ctx, "reading", func() error { return s.attempt(ctx) })
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errClosed) {
			continue
		}
		pause := s.retry.step()
		if !errors.Is(err, errAgain) {
			s.fail(ctx, err, pause)
		}
		s.gate.pause(ctx, pause)
	}
	s.set(Stopped, "", "")
}

func (s *sourceRun) set(state State, code FaultCode, fault string) {
	status := Status{
		Name: s.def.Name, Kind: s.def.Kind, Resource: s.def.Resource,
		State: state, Code: code, Fault: fault, Counts: s.state.counts.clone(),
		FailedAttempts: s.failures, FailingSince: s.failingSince,
	}
	if state == CaughtUp {
		status.CaughtUpAt = s.cfg.Now()
	}
	if state == CaughtUp || state == Reading {
		s.fault = ""
	}
	s.runner.report(status)
}

// fail shows why the source is not got on with, and tells it once.
func (s *sourceRun) fail(ctx context.Context, err error, pause time.Duration) {
	code := CodeOf(err)
	state := Failing
	if code == FaultSchema {
		state = Blocked
	}
	s.failedAt = s.cfg.Now()
	if s.failures++; s.failures == 1 {
		s.failingSince = s.failedAt
	}
	text := foreign(err.Error(), maxFaultText)
	s.warn(ctx, "source is failing; trying again in "+pause.Round(time.Millisecond).String(), err)
	s.set(state, code, text)
	if code != s.fault {
		s.fault = code
		if err := s.runner.tell(ctx, s.def.Name, Event{Type: EventFault, Detail: string(code) + ": " + text}); err != nil {
			s.warn(ctx, "the fault could not be told", err)
		}
	}
}

func (s *sourceRun) warn(ctx context.Context, what string, err error) {
	s.log.WarnContext(ctx, what, slog.Any("error", err))
}

// gotOn ends the growing of pauses: at once when rows of the source were taken over, otherwise after the source has been
// well for longer than the last pause. One that fails and recovers by turns is asked more and more seldom.
func (s *sourceRun) gotOn(rows bool) {
	if rows || s.cfg.Now().Sub(s.failedAt) > 2*s.retry.next {
		s.retry.reset()
		s.failures, s.failingSince = 0, time.Time{}
	}
}

// caughtUp notes that everything that the source held is handed on.
func (s *sourceRun) caughtUp() {
	s.set(CaughtUp, "", "")
	s.noteCaughtUp()
}

// noteGap remembers that changes may have been missed.
func (s *sourceRun) noteGap(revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision > s.gap {
		s.gap, s.gapAt, s.gapCaughtUp = revision, s.cfg.Now(), s.caughtUps
	}
}

// gapPatience is how long a reconciliation waits for a busy source to be caught up.
const gapPatience = 10 * time.Minute

// dueGap is the revision since which a reconciliation is due, or 0.
func (s *sourceRun) dueGap() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gap <= s.closed || s.caughtUps == s.gapCaughtUp && s.cfg.Now().Sub(s.gapAt) < gapPatience {
		return 0
	}
	return s.gap
}

// maxRefusals bounds the memory of refusals; what is forgotten is handed on again, under the same id.
const maxRefusals = 100_000

// firstRefusal says whether a rejected row was not handed on before.
func (s *sourceRun) firstRefusal(d exchange.Draft) bool {
	sum := sha256.Sum256(append([]byte(d.Origin+"\x00"), d.Raw...))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals[sum] {
		return false
	}
	if s.refusals == nil || len(s.refusals) >= maxRefusals {
		s.refusals = map[[32]byte]bool{}
	}
	s.refusals[sum] = true
	return true
}

// noteCaughtUp counts how often the source was caught up.
func (s *sourceRun) noteCaughtUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caughtUps++
	close(s.more)
	s.more = make(chan struct{})
}

// awaitCaughtUp returns once everything that the source held when it was
// called is handed on, as far as the source is read at all; at the latest
// after a time.
func (s *sourceRun) awaitCaughtUp(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	s.mu.Lock()
	wanted := s.caughtUps + 2 // the next one may be the end of a read that is under way
	s.mu.Unlock()
	for {
		s.gate.rouse() // nobody rests meanwhile
		s.mu.Lock()
		done, more := s.caughtUps >= wanted, s.more
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		case <-time.After(time.Second):
		}
	}
}

// nap waits for the interval, less if somebody asks for something meanwhile.
func (s *sourceRun) nap(ctx context.Context, d time.Duration) bool {
	return s.gate.rest(ctx, d) && ctx.Err() == nil
}

// follow takes over what was decided elsewhere.
func (s *sourceRun) follow(c control, rereads []reread, asked []askedProof) {
	s.mu.Lock()
	accepted := s.control.offered != nil && c.offered == nil
	s.control = c
	more := false
	for _, q := range rereads {
		if !slices.ContainsFunc(s.rereads, func(known reread) bool { return known.id == q.id }) && !s.told[q.id] {
			s.rereads, more = append(s.rereads, q), true
		}
	}
	s.mu.Unlock()
	if accepted {
		s.gate.wake()
	}
	if more {
		s.gate.rouse()
	}
	for _, proof := range asked {
		select {
		case s.proofs <- proof:
		default: // one is under way; it stays asked
		}
	}
}

// takeRereads returns the requests that the source has not been told of.
func (s *sourceRun) takeRereads() []reread {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []reread
	for _, q := range s.rereads {
		if !s.told[q.id] {
			fresh = append(fresh, q)
			s.told[q.id] = true
		}
	}
	s.rereads = nil
	return fresh
}

// forgetTold begins an attempt: a source that is opened anew knows of nothing but its position.
func (s *sourceRun) forgetTold(c control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control, s.told, s.rereads = c, map[string]bool{}, nil
}

func (s *sourceRun) setControl(c control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control = c
}

// agree compares the columns of a batch with those that were agreed. Added
// columns that may be null are agreed to; after anything else no row is
// published until somebody accepts the new columns.
func (s *sourceRun) agree(ctx context.Context, columns []Column) error {
	columns = foreignColumns(columns)
	s.mu.Lock()
	c := s.control
	s.mu.Unlock()
	if columns == nil || slices.Equal(c.agreed, columns) && c.offered == nil {
		return nil
	}
	var added []Column
	var change, names string
	err := s.runner.changeControl(ctx, s.def.Name, func(now *control) (Event, error) {
		// Held against what is agreed now: somebody may have accepted the columns a moment ago.
		added, change, names = nil, "", ""
		if now.agreed != nil {
			added, change = compareColumns(now.agreed, columns)
		}
		for _, column := range added {
			names += " " + column.Name + " " + column.Type + ";"
		}
		event := Event{}
		switch {
		case change == "":
			now.agreed, now.offered = columns, nil
			if len(added) > 0 {
				event = Event{Type: EventColumnsAdded, Detail: "added, and may be null:" + names}
				if s.def.TakeNewColumns {
					now.taken = append(now.taken, added...)
					now.again = s.def.asksByCursor()
				}
			}
		case !slices.Equal(now.offered, columns):
			now.offered = columns
			event = Event{Type: EventColumnsChanged, Detail: change}
		}
		c = *now
		return event, nil
	})
	if err != nil {
		return err
	}
	s.setControl(c)
	switch {
	case change != "":
		return Refused(FaultSchema, nil, "the table is not as it was agreed: %s; no row was taken since. "+
			"Undo the change, or change the definition if it is concerned and accept the columns: onewindow connector accept %s", change, s.def.Name)
	case len(added) > 0 && s.def.TakeNewColumns:
		s.log.InfoContext(ctx, "new columns are taken up", slog.String("columns", names))
		return errAgain
	case len(added) > 0:
		s.log.InfoContext(ctx, "new columns are left out, as agreed", slog.String("columns", names))
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

// mailbox holds the newest of what was put in, until it is taken out.
type mailbox struct {
	atomic.Pointer[json.RawMessage]
}

// take returns what was put in last, or nil if it was taken already.
func (m *mailbox) take() *json.RawMessage { return m.Swap(nil) }
