package connectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
// run at the same time. Examine says what Publish would reject, nil for what
// it would accept, and brings accepted drafts into the form that Publish
// publishes; nothing is published.
type Publisher interface {
	Publish(ctx context.Context, resource, source string, drafts []exchange.Draft) ([]exchange.Outcome, error)
	Examine(ctx context.Context, resource string, drafts []exchange.Draft) ([]*exchange.Rejection, error)
}

// RunnerConfig is what a [Runner] needs.
type RunnerConfig struct {
	// DB is the state database; NewRunner brings its own tables up to date.
	DB        *sqldb.DB
	Publisher Publisher
	// Holdings is what the exchange has stored. Without it there are no proofs.
	Holdings Holdings
	// Outbox takes events; nil for none.
	Outbox Outbox
	// Kinds has the constructor of each kind of source that definitions may use.
	Kinds map[string]Constructor
	// Dir is the folder against which file references of definitions that come by the API are resolved.
	Dir    string
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
	// Blocked means that the columns of the source changed and somebody has to accept them.
	Blocked State = "blocked"
	// Paused and Stopped are what somebody desired; at the end of Run every source is Stopped.
	Paused  State = "paused"
	Stopped State = "stopped"
	// Waiting means that the source may not be read at this hour.
	Waiting State = "waiting"
)

// Status is the state of one source.
type Status struct {
	Name, Kind, Resource string
	State                State
	// Code and Fault say what is wrong, where and what to do, if State is [Failing] or [Blocked].
	Code  FaultCode
	Fault string
	// CaughtUpAt is when everything that the source held had last been read; zero if never.
	CaughtUpAt time.Time
	// FailedAttempts is how often the source failed since FailingSince without getting on in between; 0 if it gets on.
	FailedAttempts int64
	FailingSince   time.Time
	Counts
}

// Runner reads sources until it is told to stop. Its methods may be called concurrently.
type Runner struct {
	cfg  RunnerConfig
	wake chan struct{}

	ended sync.WaitGroup // sources that were stopped and end

	mu       sync.Mutex
	fixed    map[string]Definition // from the configuration
	statuses map[string]Status
	runs     map[string]*sourceRun
	ending   map[string]bool    // sources that were stopped, until they have ended
	stored   map[string]defined // definitions that came by the API, as they were read last
	unread   map[string]bool    // stored definitions that cannot be read
}

// NewRunner applies the migrations and returns a runner that has nothing to do yet.
func NewRunner(ctx context.Context, cfg RunnerConfig) (*Runner, error) {
	if cfg.DB == nil || cfg.Publisher == nil || cfg.Logger == nil || len(cfg.Kinds) == 0 {
		return nil, errors.New("connectors: RunnerConfig needs DB, Publisher, Kinds and Logger")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.RetryMin = cmp.Or(cfg.RetryMin, time.Second)
	cfg.RetryMax = max(cmp.Or(cfg.RetryMax, time.Minute), cfg.RetryMin)
	if err := migrate(ctx, cfg.DB); err != nil {
		return nil, err
	}
	return &Runner{cfg: cfg, wake: make(chan struct{}, 1), fixed: map[string]Definition{}, statuses: map[string]Status{}, runs: map[string]*sourceRun{}, ending: map[string]bool{}}, nil
}

// controlInterval is how often the state database is asked what other processes decided.
const controlInterval = time.Second

// SetDefinitions replaces the definitions of the configuration. If Run is under
// way, sources that are new or defined in another way begin, and those that are
// no longer among defs end. The error is about defs; nothing changed then.
func (r *Runner) SetDefinitions(defs []Definition) error {
	fixed := map[string]Definition{}
	for _, def := range defs {
		if r.cfg.Kinds[def.Kind] == nil {
			return fmt.Errorf("%w: source %s: this program has no sources of kind %q", ErrDefinition, def.Name, def.Kind)
		}
		if _, err := r.construct(def); err != nil {
			return fmt.Errorf("connectors: source %s: %w", def.Name, err)
		}
		fixed[def.Name] = def
	}
	r.mu.Lock()
	r.fixed = fixed
	r.mu.Unlock()
	r.poke()
	return nil
}

// Run reads the sources of defs, or of [Runner.SetDefinitions] if defs is
// empty, and those that were defined by the API, each on its own, until ctx
// ends; then it stops them, which takes no longer than one publish under way,
// and returns nil. A batch that is published but whose position is not saved
// yet is saved before Run returns. The error is about defs or the state
// database; no source was started then. Run must not be called twice at a time.
func (r *Runner) Run(ctx context.Context, defs []Definition) error {
	if len(defs) > 0 {
		if err := r.SetDefinitions(defs); err != nil {
			return err
		}
	}
	if err := r.follow(ctx); err != nil {
		r.endAll()
		return err
	}
	tick := time.NewTicker(controlInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-r.wake:
		}
		if err := r.follow(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Logger.WarnContext(ctx, "what was decided about sources cannot be read; they go on as they are", slog.Any("error", err))
		}
	}
	r.endAll()
	return nil
}

// endAll stops every source.
func (r *Runner) endAll() {
	r.mu.Lock()
	runs := slices.Collect(maps.Values(r.runs))
	r.runs = map[string]*sourceRun{}
	r.mu.Unlock()
	for _, run := range runs {
		run.stop()
	}
	for _, run := range runs {
		run.end()
	}
	r.ended.Wait()
}

// retire ends a source without waiting for it: others must not wait for one that is slow to stop. It does not begin
// again before it has ended.
func (r *Runner) retire(run *sourceRun) {
	r.ended.Go(func() {
		run.end()
		r.mu.Lock()
		delete(r.ending, run.def.Name)
		delete(r.statuses, run.def.Name) // a source that goes on in another form is shown again at once
		r.mu.Unlock()
		r.poke()
	})
}

// follow brings the running sources in line with the definitions and with what was decided about them.
func (r *Runner) follow(ctx context.Context) error {
	defs, err := r.definitions(ctx)
	if err != nil {
		return err
	}
	controls, err := loadControls(ctx, r.cfg.DB, "")
	if err != nil {
		return err
	}
	rereads, err := loadRereads(ctx, r.cfg.DB)
	if err != nil {
		return err
	}
	proofs, err := loadAskedProofs(ctx, r.cfg.DB)
	if err != nil {
		return err
	}
	r.mu.Lock()
	for name, run := range r.runs {
		if def, ok := defs[name]; !ok || !def.same(run) {
			delete(r.runs, name)
			r.ending[name] = true
			r.retire(run)
		}
	}
	for name := range r.statuses {
		if _, ok := defs[name]; !ok && !r.ending[name] && !r.unread[name] {
			delete(r.statuses, name)
		}
	}
	r.mu.Unlock()
	for name, def := range defs {
		c, ok := controls[name]
		if !ok {
			c.desired = Run
		}
		r.mu.Lock()
		run, ending := r.runs[name], r.ending[name]
		r.mu.Unlock()
		if ending {
			continue
		}
		if err := c.broken; err != nil {
			r.unusable(def.Definition, err)
			continue
		}
		if run == nil {
			if run, err = r.begin(ctx, def, c); err != nil {
				r.unusable(def.Definition, err) // the others go on
				continue
			}
		}
		run.gate.set(c.desired)
		run.follow(c, rereads[name], proofs[name])
	}
	return nil
}

// begin starts to read a source.
func (r *Runner) begin(ctx context.Context, def defined, c control) (*sourceRun, error) {
	state, err := load(ctx, r.cfg.DB, def.Name)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	run := &sourceRun{
		runner: r, cfg: r.cfg, def: def.Definition, text: def.text, log: r.cfg.Logger.With(slog.String("source", def.Name)),
		gate: newGate(def.Definition, c.desired, r.cfg.Now), control: c, stop: stop,
		retry: backoff{low: r.cfg.RetryMin, high: r.cfg.RetryMax}, told: map[string]bool{}, more: make(chan struct{}),
		proofs: make(chan askedProof, 1), repairs: make(chan step), state: state, rows: newRows(def.Limits),
	}
	run.noteGap(state.gap)
	r.report(Status{Name: def.Name, Kind: def.Kind, Resource: def.Resource, State: Starting, Counts: state.counts.clone()})
	r.mu.Lock()
	r.runs[def.Name] = run
	r.mu.Unlock()
	run.busy.Go(func() { run.loop(running) })
	run.busy.Go(func() { run.prove(running) })
	return run, nil
}

// unusable shows a source of which the state database has something that cannot be used.
func (r *Runner) unusable(def Definition, err error) {
	r.report(Status{Name: def.Name, Kind: def.Kind, Resource: def.Resource, State: Failing, Code: CodeOf(err), Fault: foreign(err.Error(), maxFaultText)})
}

// construct makes the source of a definition.
func (r *Runner) construct(def Definition) (Source, error) {
	construct := r.cfg.Kinds[def.Kind]
	if construct == nil {
		return nil, fmt.Errorf("%w: source %s: this program has no sources of kind %q", ErrDefinition, def.Name, def.Kind)
	}
	return construct(def, r.cfg.Logger.With(slog.String("source", def.Name)))
}

// poke makes Run look at what was decided without waiting for its next turn.
func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
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
	if s.CaughtUpAt.IsZero() {
		s.CaughtUpAt = r.statuses[s.Name].CaughtUpAt
	}
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
