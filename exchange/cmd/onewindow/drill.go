package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

// pushResource takes what the drill pushes beside the county's own data.
const pushResource = "market.drill"

// drillCommand kills the hub at random points of the load, then lets it
// finish and compares every count.
func drillCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("drill", "kill -9 the hub at random points of the load and compare the counts")
	rounds := flags.Int("rounds", 20, "how often to kill")
	scale := flags.Int("scale", 1, "divide the size of the county by this, 1 to 100")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the random points")
	if err := parse(flags, args); err != nil {
		return err
	}
	dir, err := temporaryFolder("onewindow-drill-")
	if err != nil {
		return err
	}
	d := &drill{dir: dir, rounds: *rounds, options: county.Options{Scale: *scale}, out: out, started: time.Now(), random: rand.New(rand.NewPCG(*seed, 0))} //nolint:gosec // points of time, not secrets
	d.say("seed %d, folder %s", *seed, dir)
	if err := d.run(ctx); err != nil {
		return fmt.Errorf("%w (kept: %s)", err, dir)
	}
	return removeFolder(dir)
}

type drill struct {
	dir     string
	rounds  int
	options county.Options
	out     *os.File
	started time.Time
	random  *rand.Rand

	mu     sync.Mutex
	pushed int             // batches sent
	acked  map[string]bool // record ids that a push acknowledged
	issued map[string]bool // licence numbers that an issue acknowledged
}

func (d *drill) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

func (d *drill) run(ctx context.Context) error {
	d.acked, d.issued = map[string]bool{}, map[string]bool{}
	outside, err := startCounty(ctx, filepath.Join(d.dir, "county"), d.options, d.say)
	if err != nil {
		return err
	}
	return errors.Join(d.kills(ctx, outside.state), outside.stop())
}

// kills is the drill with the county up.
func (d *drill) kills(ctx context.Context, state county.State) error {
	c := county.New(d.options)
	child, err := newChildHub(ctx, d.dir, "")
	if err != nil {
		return err
	}
	defer child.log.Close() //nolint:errcheck // a log
	// The catalogue comes first, without sources; then the load begins.
	if err := d.prepare(ctx, child, c); err != nil {
		return err
	}
	child, err = newChildHub(ctx, d.dir, state.Definitions)
	if err != nil {
		return err
	}
	defer child.log.Close() //nolint:errcheck // a log
	for round := range d.rounds {
		if err := d.round(ctx, child, c, round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return d.finish(ctx, child, c)
}

// begin starts the hub and connects to it once it is ready.
func (d *drill) begin(ctx context.Context, child *childHub, c *county.County) (*scenario, error) {
	if err := child.start(); err != nil {
		return nil, err
	}
	if err := child.awaitReady(ctx); err != nil {
		return nil, err
	}
	return newScenario(c, &hub{cfg: child.cfg}, d.say)
}

// prepare starts the hub once and registers the county's catalogue and the
// drill's own resource.
func (d *drill) prepare(ctx context.Context, child *childHub, c *county.County) error {
	s, err := d.begin(ctx, child, c)
	if err != nil {
		return err
	}
	if err := s.loadCatalogue(ctx); err != nil {
		return err
	}
	_, err = s.admin.catalog.PutResource(ctx, &exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{
		Name: pushResource, Title: "演练", Kind: exchangev1.RecordKind_RECORD_KIND_REGISTER,
		ShareType: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL, Schema: []byte(`{"required":["n"]}`),
	}})
	if err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	_, err = child.stop()
	return err
}

// round starts the hub, lets it load while records are pushed and licences
// issued, and kills it at a random point, perhaps before it is ready.
func (d *drill) round(ctx context.Context, child *childHub, c *county.County, round int) error {
	life := time.Duration(d.random.IntN(2500)) * time.Millisecond
	if err := child.start(); err != nil {
		return err
	}
	work, stop := context.WithTimeout(ctx, life)
	var busy sync.WaitGroup
	busy.Go(func() { d.use(work, child, c) })
	<-work.Done()
	if err := child.kill(); err != nil {
		stop()
		return err
	}
	stop()
	busy.Wait()
	d.say("round %2d: killed after %4d ms; %d pushed records and %d licences acknowledged so far", round+1, life.Milliseconds(), len(d.acked), len(d.issued))
	return ctx.Err()
}

// use pushes records and issues licences until the hub is gone, and notes what
// was acknowledged.
func (d *drill) use(ctx context.Context, child *childHub, c *county.County) {
	if child.awaitReady(ctx) != nil {
		return
	}
	s, err := newScenario(c, &hub{cfg: child.cfg}, d.say)
	if err != nil {
		return
	}
	var busy sync.WaitGroup
	busy.Go(func() {
		for d.push(ctx, s) == nil {
		}
	})
	busy.Go(func() {
		for batch := range slices.Chunk(slices.Collect(c.Licenses()), licenseBatch) {
			if d.issue(ctx, s, batch) != nil {
				return
			}
		}
	})
	busy.Wait()
	_ = s.close() // the hub is gone
}

func (d *drill) push(ctx context.Context, s *scenario) error {
	d.mu.Lock()
	d.pushed++
	batch := d.pushed
	d.mu.Unlock()
	req := &exchangev1.PushRecordsRequest{Resource: pushResource}
	for i := range 200 {
		req.Records = append(req.Records, &exchangev1.Record{
			Key: fmt.Sprintf("%d-%d", batch, i), EventTime: timestamppb.New(d.started), Payload: fmt.Appendf(nil, `{"n":%d}`, i),
		})
	}
	resp, err := s.admin.sharing.PushRecords(ctx, req)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range resp.GetResults() {
		d.acked[r.GetId()] = true
	}
	return nil
}

func (d *drill) issue(ctx context.Context, s *scenario, batch []*licensesv1.IssueLicenseRequest) error {
	resp, err := s.admin.licenses.BatchIssueLicenses(ctx, &licensesv1.BatchIssueLicensesRequest{Requests: batch})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range resp.GetLicenses() {
		d.issued[l.GetNumber()] = true
	}
	return nil
}

// finish lets the hub finish the load, stops it in good order and counts.
func (d *drill) finish(ctx context.Context, child *childHub, c *county.County) error {
	s, err := d.begin(ctx, child, c)
	if err != nil {
		return err
	}
	if err := s.awaitSources(ctx); err != nil {
		return err
	}
	for batch := range slices.Chunk(slices.Collect(c.Licenses()), licenseBatch) {
		if err := d.issue(ctx, s, batch); err != nil {
			return err
		}
	}
	lost, doubled, err := d.count(ctx, s)
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	if _, err := child.stop(); err != nil {
		return err
	}
	differences, err := d.recount(ctx, child)
	if err != nil {
		return err
	}
	if differences > 0 {
		d.say("%d cells of the index differ from a recount of the stored records", differences)
	}
	doubled += int64(differences)
	fmt.Fprintf(d.out, "rounds %d, lost %d, doubled %d, elapsed %.0f s\n", d.rounds, lost, doubled, time.Since(d.started).Seconds())
	if lost != 0 || doubled != 0 {
		return errors.New("the counts after the kills are not those of an undisturbed load")
	}
	return nil
}

// count compares what is there with what was planted and acknowledged.
func (d *drill) count(ctx context.Context, s *scenario) (lost, doubled int64, err error) {
	sources, storage, err := s.state(ctx)
	if err != nil {
		return 0, 0, err
	}
	differ := func(what string, got, want int64) {
		lost += max(0, want-got)
		doubled += max(0, got-want)
		if got != want {
			d.say("%s: %d, must be %d", what, got, want)
		}
	}
	planted := s.county.Planted()
	for _, source := range sources {
		want := planted.Sources[source.GetName()]
		differ(source.GetName()+" read", source.GetRead(), want.Read)
		differ(source.GetName()+" accepted", source.GetAccepted(), want.Accepted)
	}
	var pushed int64
	for _, r := range storage.GetResources() {
		if r.GetResource() == pushResource {
			pushed = r.GetDistinct()
		}
	}
	// A push that was not acknowledged may be stored or not; an acknowledged one must be.
	lost += max(0, int64(len(d.acked))-pushed)
	doubled += max(0, pushed-200*int64(d.pushed))
	differ("stored rows beside distinct ids", storage.GetStoredRows(), storage.GetStoredDistinct())
	differ("stored records", storage.GetStoredDistinct()-pushed, planted.Distinct)
	page, err := s.admin.licenses.ListLicenses(ctx, &licensesv1.ListLicensesRequest{PageSize: 1})
	if err != nil {
		return 0, 0, err
	}
	differ("licences", page.GetValid(), int64(len(d.issued)))
	d.say("%d records stored, %d pushed ones acknowledged, %d licences", storage.GetStoredRows(), len(d.acked), page.GetValid())
	return lost, doubled, nil
}

// recount opens the stopped hub's stores and compares the aggregates with the
// landing rows.
func (d *drill) recount(ctx context.Context, child *childHub) (int, error) {
	h, err := openHub(ctx, child.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	differences, err := h.store.Recount(ctx)
	return len(differences), errors.Join(err, h.close())
}
