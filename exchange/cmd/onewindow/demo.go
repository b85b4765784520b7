package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

// demo is one run of the sample county.
type demo struct {
	cfg     Config
	options county.Options
	out     *os.File
	logger  *slog.Logger
	// reportFile is empty when the demo stays up.
	reportFile string
	// loaded, if set, is called with the systems up and nothing read yet; tests change a planted byte there.
	loaded func(systems county.State) error
	// issued, if set, may change the tokens that are verified.
	issued func(sample []*licensesv1.License)

	started time.Time
}

// demoCommand runs the sample county: it stays up, or with --report plays the
// whole scenario once.
func demoCommand(ctx context.Context, args []string, out *os.File) (err error) {
	flags := newFlags("demo", "start the hub with the sample county and stay up; with --report run once and write the figures")
	data := flags.String("data", "", "folder of the hub and the county (default ./data; with --report a temporary one)")
	report := flags.String("report", "", "run the whole scenario once, write its figures to this file as JSON and exit; 1 if a count does not add up")
	rest := flags.String("rest", "127.0.0.1:8080", "address of the page and the REST API")
	grpcAddress := flags.String("grpc", "127.0.0.1:9090", "address of the gRPC API")
	scale := flags.Int("scale", 1, "divide the size of the county by this, 1 to 100")
	sqlite := flags.Bool("sqlite", false, "keep the county's database in SQLite even where PostgreSQL is installed")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *scale < 1 || *scale > 100 {
		return wrongUsage(nil, "cli.DEMO_SCALE", "scale", strconv.Itoa(*scale))
	}
	cfg := defaultConfig()
	cfg.Listen = Listen{REST: *rest, GRPC: *grpcAddress}
	cfg.BaseURL = "http://" + *rest
	cfg.Sample = true
	cfg.Data = *data
	switch {
	case *data == "" && *report == "":
		cfg.Data = "data"
	case *data == "":
		if cfg.Data, err = temporaryFolder("onewindow-demo-"); err != nil {
			return err
		}
		// A run that failed leaves its folder for whoever looks for the reason.
		defer func() {
			if err == nil {
				err = removeFolder(cfg.Data)
			}
		}()
	}
	if err := cfg.validate(); err != nil {
		return err
	}
	// Before the county is written: it takes a while, and what is wrong with a port would be found only after it.
	if err := preflight(ctx, cfg.Data, []setting{{"--grpc", *grpcAddress}, {"--rest", *rest}}); err != nil {
		return err
	}
	if err := os.Chmod(cfg.Data, 0o755); err != nil { //nolint:gosec // the county's database runs as another user below it
		return err
	}
	log, err := os.OpenFile(filepath.Join(cfg.Data, "onewindow.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // a log
	d := demo{
		cfg: cfg, options: county.Options{Scale: *scale, SQLite: *sqlite}, out: out, logger: newLogger(log), reportFile: *report,
	}
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(out, newSpeaker(cfg.Language).text("cli.LOG_IS", "file", log.Name()))
		return err
	}
	return nil
}

// temporaryFolder makes a folder that other users may pass through: the
// county's PostgreSQL runs as one of them.
func temporaryFolder(prefix string) (string, error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) //nolint:gosec // see above; what is secret in it is closed on its own
}

// removeFolder removes a folder that [temporaryFolder] made and a county served in.
func removeFolder(dir string) error {
	return errors.Join(county.Remove(filepath.Join(dir, "county")), os.RemoveAll(dir))
}

// say prints one line of progress with the time since the start.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

// run starts the county beside the hub, loads it and stays up or reports.
func (d *demo) run(ctx context.Context) error {
	d.started = time.Now()
	outside, err := startCounty(ctx, filepath.Join(d.cfg.Data, "county"), d.options, d.say)
	if err != nil {
		return err
	}
	err = d.runHub(ctx, outside.state)
	if ctx.Err() == nil && err == nil && d.reportFile == "" {
		err = errors.New("the hub ended by itself; the log has the reason")
	}
	return errors.Join(err, outside.stop())
}

func (d *demo) runHub(ctx context.Context, systems county.State) error {
	if d.loaded != nil {
		if err := d.loaded(systems); err != nil {
			return err
		}
	}
	hubStarted := time.Now()
	h, err := openHub(ctx, d.cfg, d.logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan struct{})
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer cancel()
		return h.run(groupCtx, nil, func() { close(ready) })
	})
	group.Go(func() error {
		select {
		case <-ready:
			d.say("hub: ready %.1f s after its start", time.Since(hubStarted).Seconds())
		case <-groupCtx.Done():
			return nil
		}
		err := d.play(groupCtx, h, systems, hubStarted)
		if d.reportFile != "" || err != nil {
			cancel()
		}
		return err
	})
	return errors.Join(withoutCancel(group.Wait()), h.close())
}

// play loads the county through the API and, for a report, goes on with the
// whole scenario.
func (d *demo) play(ctx context.Context, h *hub, systems county.State, hubStarted time.Time) (err error) {
	s, err := newScenario(county.New(d.options), h, d.say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.loadCatalogue(ctx); err != nil {
		return err
	}
	defs, err := definitions(systems.Definitions)
	if err != nil {
		return err
	}
	if err := h.runner.SetDefinitions(defs); err != nil {
		return err
	}
	if d.reportFile == "" {
		return d.load(ctx, h, s)
	}
	return d.measure(ctx, h, s, systems, hubStarted)
}

// load waits for the sources and issues the licences that do not exist yet.
func (d *demo) load(ctx context.Context, h *hub, s *scenario) error {
	announce(d.out, h)
	if err := s.awaitSources(ctx); err != nil {
		return err
	}
	page, err := s.admin.licenses.ListLicenses(ctx, &licensesv1.ListLicensesRequest{PageSize: 1})
	if err != nil {
		return err
	}
	wanted := int64(0)
	for range s.county.Licenses() {
		wanted++
	}
	if page.GetValid()+page.GetSuspended()+page.GetRevoked() < wanted {
		if _, err := s.issueLicenses(ctx); err != nil {
			return err
		}
	}
	if err := s.askIndex(ctx); err != nil {
		return err
	}
	for _, fault := range s.report.Faults {
		d.say("does not add up: %s", fault)
	}
	d.say("loaded: open the page as administrator: http://%s/#token=%s", h.cfg.Listen.REST, s.admin.token)
	d.say("Ctrl-C stops; what is stored stays in %s", h.cfg.Data)
	return nil
}

// measure plays the whole scenario and writes the report.
func (d *demo) measure(ctx context.Context, h *hub, s *scenario, systems county.State, hubStarted time.Time) error {
	s.report.County = systems.Systems.Market
	if err := s.awaitSources(ctx); err != nil {
		return err
	}
	sample, err := s.issueLicenses(ctx)
	if err != nil {
		return err
	}
	if d.issued != nil {
		d.issued(sample)
	}
	for _, step := range []func(context.Context) error{
		s.countRecords,
		s.resolveMaterials,
		func(ctx context.Context) error { return s.verifyLicenses(ctx, sample) },
		func(ctx context.Context) error { return s.sealPages(ctx, sample) },
		func(ctx context.Context) error { return s.endLicenses(ctx, sample) },
		s.askIndex,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.report.ElapsedMs = time.Since(hubStarted).Milliseconds()
	differences, err := h.store.Recount(ctx)
	if err != nil {
		return err
	}
	s.report.require(len(differences) == 0, "index: %d cells differ from a recount of the stored records", len(differences))
	if s.report.PeakRSSBytes, err = peakRSS(); err != nil {
		return err
	}
	if err := s.report.write(d.reportFile); err != nil {
		return err
	}
	d.say("end to end in %.1f s, at most %d MB resident; report in %s", float64(s.report.ElapsedMs)/1000, s.report.PeakRSSBytes>>20, d.reportFile)
	if len(s.report.Faults) > 0 {
		for _, fault := range s.report.Faults {
			d.say("does not add up: %s", fault)
		}
		return fmt.Errorf("%d counts do not add up; see faults in %s", len(s.report.Faults), d.reportFile)
	}
	d.say("every count adds up")
	return nil
}
