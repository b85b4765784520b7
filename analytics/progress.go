package analytics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// pollEvery is how often WaitStored asks the state database when the sink runs in another process.
const pollEvery = 50 * time.Millisecond

// progress tells waiters how far the sink of this process is, and the sink what is waited for.
type progress struct {
	mu       sync.Mutex
	feed     Feed // that of the running sink, else nil
	next     map[partitionID]int64
	want     map[partitionID]int64         // the highest offset that was ever waited for
	hurries  map[partitionID]chan struct{} // closed when want rises
	advanced chan struct{}                 // closed when next changes
}

func (g *progress) open() {
	g.next, g.want, g.hurries = map[partitionID]int64{}, map[partitionID]int64{}, map[partitionID]chan struct{}{}
	g.advanced = make(chan struct{})
}

func (g *progress) begin(feed Feed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.feed = feed
}

func (g *progress) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.feed = nil
	clear(g.next)
}

// running returns the feed of the sink in this process, nil if there is none.
func (g *progress) running() Feed {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.feed
}

// advance notes that everything before next is stored.
func (g *progress) advance(id partitionID, next int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next[id] = next
	close(g.advanced)
	g.advanced = make(chan struct{})
}

// wanted says whether somebody waits for an offset up to last that is not stored.
func (g *progress) wanted(id partitionID, last int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	want, ok := g.want[id]
	return ok && want <= last && want >= g.next[id]
}

// hurry returns a channel that is closed when somebody begins to wait for this partition.
func (g *progress) hurry(id partitionID) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hurries[id] == nil {
		g.hurries[id] = make(chan struct{})
	}
	return g.hurries[id]
}

// ask notes what is waited for and says whether the running sink has stored it. The channel is closed at its next step.
func (g *progress) ask(topic string, positions []bus.Position) (stored bool, advanced <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	stored = g.feed != nil
	for _, at := range positions {
		id := partitionID{topic, at.Partition}
		if g.next[id] > at.Offset {
			continue
		}
		stored = false
		if want, ok := g.want[id]; ok && want >= at.Offset {
			continue
		}
		g.want[id] = at.Offset
		if g.hurries[id] != nil {
			close(g.hurries[id])
			delete(g.hurries, id)
		}
	}
	return stored, g.advanced
}

// WaitStored returns when the sink has stored what was published at positions of a resource's topic, so that a lookup finds
// it. ctx bounds the wait. Positions with a negative offset are not waited for.
func (s *Store) WaitStored(ctx context.Context, resource string, positions []bus.Position) error {
	topic := exchange.TopicOf(resource)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		stored, advanced := s.progress.ask(topic, positions)
		if !stored && s.progress.running() == nil {
			var err error
			if stored, err = s.storedElsewhere(ctx, topic, positions); err != nil {
				return err
			}
		}
		if stored {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("analytics: wait until %s is stored: %w", resource, ctx.Err())
		case <-advanced:
		case <-poll.C:
		}
	}
}

// storedElsewhere asks the state database, which the sink of another process writes.
func (s *Store) storedElsewhere(ctx context.Context, topic string, positions []bus.Position) (bool, error) {
	tallies, err := s.ledger.tallies(ctx)
	if err != nil {
		return false, err
	}
	next := map[int]int64{}
	for _, t := range tallies {
		if t.topic == topic {
			next[t.partition] = t.next
		}
	}
	for _, at := range positions {
		if next[at.Partition] <= at.Offset {
			return false, nil
		}
	}
	return true, nil
}
