package connectors

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Desired is what somebody wants a source to do.
type Desired string

// What can be desired.
const (
	// Run is the default.
	Run Desired = "run"
	// Pause closes the source for a while; its proofs go on.
	Pause Desired = "pause"
	// Stop closes the source until somebody says run; nothing asks the department's system any more.
	Stop Desired = "stop"
)

// gate says whether a source may be read now: nobody paused it, and the time
// of day is one of its hours.
type gate struct {
	hours []TimeSpan
	zone  *time.Location
	now   func() time.Time

	mu      sync.Mutex
	desired Desired
	changed chan struct{} // closed at every change
	roused  chan struct{} // closed when whoever rests is to look at the source again
}

func newGate(def Definition, desired Desired, now func() time.Time) *gate {
	return &gate{hours: def.Limits.Hours, zone: def.Map.Timezone, now: now, desired: desired, changed: make(chan struct{}), roused: make(chan struct{})}
}

// set changes what is desired and wakes who waits for a change.
func (g *gate) set(desired Desired) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.desired != desired {
		g.desired = desired
		g.wakeLocked()
	}
}

// wake lets those who wait look again: something they wait for may have come true.
func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wakeLocked()
}

func (g *gate) wakeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// rouse ends the rest of a source that is caught up; one that fails goes on waiting.
func (g *gate) rouse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.roused)
	g.roused = make(chan struct{})
}

// look says what holds now, until when at most, and which channel tells of a change.
func (g *gate) look() (state State, open bool, until time.Time, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.desired {
	case Pause:
		return Paused, false, time.Time{}, g.changed
	case Stop:
		return Stopped, false, time.Time{}, g.changed
	case Run:
	}
	now := g.now().In(g.zone)
	inside, until := within(g.hours, now)
	if !inside {
		return Waiting, false, until, g.changed
	}
	return Reading, true, until, g.changed
}

// await returns once the gate is open, or false when ctx ends. It reports the
// state in which it waits.
func (g *gate) await(ctx context.Context, report func(State)) bool {
	for {
		state, open, until, changed := g.look()
		if open {
			return ctx.Err() == nil
		}
		report(state)
		if !g.wait(ctx, until, changed) {
			return false
		}
	}
}

// awaitClosed returns once the gate is closed, or ctx ends.
func (g *gate) awaitClosed(ctx context.Context) {
	for {
		_, open, until, changed := g.look()
		if !open || !g.wait(ctx, until, changed) {
			return
		}
	}
}

// awaitShut is awaitClosed for proofs, which go on while the source is paused.
func (g *gate) awaitShut(ctx context.Context) {
	for {
		state, open, until, changed := g.look()
		if !open && state != Paused || !g.wait(ctx, until, changed) {
			return
		}
	}
}

// wait waits for a change, or until a time if it is not zero; false when ctx ends.
func (g *gate) wait(ctx context.Context, until time.Time, changed <-chan struct{}) bool {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(until.Sub(g.now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-due:
	}
	return true
}

// pause waits for d, less if the gate changes; false when ctx ends.
func (g *gate) pause(ctx context.Context, d time.Duration) bool {
	_, _, _, changed := g.look()
	return g.wait(ctx, g.now().Add(d), changed)
}

// rest is a pause that ends also when somebody rouses the source.
func (g *gate) rest(ctx context.Context, d time.Duration) bool {
	g.mu.Lock()
	roused := g.roused
	g.mu.Unlock()
	return g.wait(ctx, g.now().Add(d), roused)
}

// within says whether now lies in one of the spans, and when that changes. No
// spans means always.
func within(spans []TimeSpan, now time.Time) (inside bool, until time.Time) {
	if len(spans) == 0 {
		return true, time.Time{}
	}
	// Every beginning and end of yesterday's, today's and tomorrow's spans; a day is taken by the calendar,
	// so that a change of the clocks moves nothing.
	var next []time.Time
	at := func(day int, t TimeOfDay) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+day, 0, int(time.Duration(t)/time.Minute), 0, 0, now.Location())
	}
	for _, span := range spans {
		for day := -1; day <= 1; day++ {
			from, end := at(day, span.From), at(day, span.Until)
			if span.Until <= span.From {
				end = at(day+1, span.Until)
			}
			if !now.Before(from) && now.Before(end) {
				inside = true
			}
			next = append(next, from, end)
		}
	}
	next = slices.DeleteFunc(next, func(t time.Time) bool { return !t.After(now) })
	return inside, slices.MinFunc(next, time.Time.Compare)
}
