package connectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

// Publisher takes drafts over for good. Publish returns one Outcome per draft,
// in order, after all of them, accepted or rejected, are on disk. After an
// error nothing is known, and the same drafts are published again until it
// succeeds; their ids make that harmless. Drafts of one source come one call
// after the other, in the order of the source; calls for different sources
// run at the same time.
type Publisher interface {
	Publish(ctx context.Context, resource, source string, drafts []exchange.Draft) ([]exchange.Outcome, error)
}

// RunnerConfig is what a [Runner] needs.
type RunnerConfig struct {
	// DB is the state database; Run brings its own tables up to date.
	DB        *sqldb.DB
	Publisher Publisher
	// Kinds has the constructor of each kind of source that definitions may use.
	Kinds  map[string]Constructor
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// RetryMin and RetryMax bound the pause before something that failed is
	// tried again; it doubles with every failure and is shortened at random by
	// up to half. Zero means one second and one minute.
	RetryMin, RetryMax time.Duration
}

// State is what a source is doing.
type State string

// The states.
const (
	Starting State = "starting"
	Reading  State = "reading"
	// CaughtUp means that everything the source holds has been read; it is asked again at its interval.
	CaughtUp State = "caught up"
	// Failing means that the source or its rows cannot be got on with; it is tried again.
	Failing State = "failing"
	Stopped State = "stopped"
)

// Status is the state of one source.
type Status struct {
	Name, Kind, Resource string
	State                State
	// Fault says what is wrong, where and what to do, if State is [Failing].
	Fault string
	Counts
}

// Runner reads sources until it is told to stop.
type Runner struct {
	cfg RunnerConfig

	mu       sync.Mutex
	statuses map[string]Status
}

// NewRunner returns a runner that has nothing to do yet.
func NewRunner(cfg RunnerConfig) (*Runner, error) {
	if cfg.DB == nil || cfg.Publisher == nil || cfg.Logger == nil || len(cfg.Kinds) == 0 {
		return nil, errors.New("connectors: RunnerConfig needs DB, Publisher, Kinds and Logger")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.RetryMin = cmp.Or(cfg.RetryMin, time.Second)
	cfg.RetryMax = max(cmp.Or(cfg.RetryMax, time.Minute), cfg.RetryMin)
	return &Runner{cfg: cfg, statuses: map[string]Status{}}, nil
}

// Run reads the sources of defs, each on its own, until ctx ends; then it
// stops them, which takes no longer than one publish under way, and returns
// nil. A batch that is published but whose position is not saved yet is saved
// before Run returns. The error is about defs or the state database; no source
// was started then. Run must not be called twice at a time.
func (r *Runner) Run(ctx context.Context, defs []Definition) error {
	if err := migrate(ctx, r.cfg.DB); err != nil {
		return err
	}
	runs := make([]*sourceRun, 0, len(defs))
	for _, def := range defs {
		construct := r.cfg.Kinds[def.Kind]
		if construct == nil {
			return fmt.Errorf("%w: source %s: this program has no sources of kind %q", ErrDefinition, def.Name, def.Kind)
		}
		logger := r.cfg.Logger.With(slog.String("source", def.Name))
		src, err := construct(def, logger)
		if err != nil {
			return fmt.Errorf("connectors: source %s: %w", def.Name, err)
		}
		mapper, err := newMapper(def.Map)
		if err != nil {
			return fmt.Errorf("connectors: source %s: %w", def.Name, err)
		}
		state, err := load(ctx, r.cfg.DB, def.Name)
		if err != nil {
			return err
		}
		runs = append(runs, &sourceRun{
			cfg: r.cfg, def: def, src: src, mapper: mapper, log: logger, report: r.report,
		})
		r.report(Status{Name: def.Name, Kind: def.Kind, Resource: def.Resource, State: Starting, Counts: state.counts})
	}
	var wg sync.WaitGroup
	for _, run := range runs {
		wg.Go(func() { run.loop(ctx) })
	}
	wg.Wait()
	return nil
}

// Status returns the state of every source that Run was given, by name.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, 0, len(r.statuses))
	for _, s := range r.statuses {
		s.Counts = s.clone()
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (r *Runner) report(s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses[s.Name] = s
}

// backoff is the pause before the next attempt; it grows until it is reset.
type backoff struct {
	low, high time.Duration
	next      time.Duration
}

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) step() time.Duration {
	b.next = min(max(2*b.next, b.low), b.high)
	return b.next - rand.N(b.next/2+1) //nolint:gosec // spreads retries; nothing secret about it
}

// sleep waits for d or until ctx ends, and says whether it waited in full.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
