package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
)

const (
	benchTable = "ow_bench_permit"
	// benchSource is read in the benchmarks of connectors.
	benchSource = "water/bench"
	// lagChanges are made one by one to see how late they arrive.
	lagChanges = 3000
)

// connectors measures a table of 20 columns read into its topic, in bulk and
// by change capture, beside the same rows as COPY … TO STDOUT.
func (b *bench) connectors(ctx context.Context, address string, rows int) (err error) {
	if address == "" {
		return fmt.Errorf("%w: bench connectors needs --database postgres://… or mysql://…; make bench-connectors starts both", errUsage)
	}
	d, err := openDepartment(ctx, address, benchTable)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(context.WithoutCancel(ctx))) }()
	if err := d.widen(ctx, rows); err != nil {
		return err
	}
	limit := 0.0
	if d.driver == "postgres" {
		if limit, err = copyOut(ctx, address, rows); err != nil {
			return err
		}
		b.print("COPY … TO STDOUT, 20 columns", "%.0f rows/s", limit)
	}
	dir, err := temporaryFolder("onewindow-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m, err := newMeasured(ctx, dir, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.hub.close()) }()
	if err := b.bulk(ctx, m, rows, limit); err != nil {
		return err
	}
	return b.changes(ctx, m, rows, limit)
}

// bulk measures the first reading of the whole table.
func (b *bench) bulk(ctx context.Context, m *measured, rows int, limit float64) error {
	source := m.start(ctx, fmt.Sprintf("kind: sql\n    sql: {driver: %s, dsn_file: water.dsn, table: %s, mode: bulk, key: id}", m.department.driver, benchTable))
	defer source.stop()
	if err := source.await(ctx, int64(rows)); err != nil {
		return err
	}
	rate := float64(rows) / source.took().Seconds()
	text := fmt.Sprintf("%.0f rows/s, %d MB added", rate, source.added()>>20)
	if limit > 0 {
		text += fmt.Sprintf(" (COPY is %.1f times as fast)", limit/rate)
	}
	b.print(m.department.driver+", bulk read to the topic, 20 columns", "%s", text)
	return nil
}

// changes measures change capture: as many changes as the table has rows, made before they are read, and then single
// ones, for the lag.
func (b *bench) changes(ctx context.Context, m *measured, rows int, limit float64) error {
	log := fmt.Sprintf("kind: log\n    log: {driver: %s, dsn_file: water.dsn, table: %s, key: id%s}",
		m.department.driver, benchTable, map[bool]string{true: ", server_id: 918274"}[m.department.driver == "mariadb"])
	source := m.start(ctx, log)
	if err := source.await(ctx, int64(rows)); err != nil { // the snapshot
		source.stop()
		return err
	}
	b.print(m.department.driver+", snapshot beside the log", "%.0f rows/s", float64(rows)/source.took().Seconds())
	source.stop()
	for first := 1; first <= rows; first += 1000 {
		if _, err := m.department.db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET area = area + 1 WHERE id BETWEEN %d AND %d", benchTable, first, first+999)); err != nil {
			return err
		}
	}
	source = m.start(ctx, log)
	defer source.stop()
	if err := source.await(ctx, int64(rows)); err != nil {
		return err
	}
	rate := float64(rows) / source.took().Seconds()
	text := fmt.Sprintf("%.0f changes/s, %d MB added", rate, source.added()>>20)
	if limit > 0 {
		text += fmt.Sprintf(" (COPY is %.1f times as fast)", limit/rate)
	}
	b.print(m.department.driver+", change capture to the topic, 20 columns", "%s", text)

	return b.lag(ctx, source, rows)
}

// lag makes single changes and notes when each is acknowledged.
func (b *bench) lag(ctx context.Context, source *measuredSource, rows int) error {
	m := source.m
	m.publisher.watch()
	committed := make([]time.Time, lagChanges)
	for i := range committed {
		if _, err := m.department.db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET area = area + 1 WHERE id = %d", benchTable, 1+i%rows)); err != nil {
			return err
		}
		committed[i] = time.Now()
	}
	if err := source.await(ctx, int64(rows+lagChanges)); err != nil {
		return err
	}
	lags := m.publisher.arrivals()
	lags = lags[:min(len(lags), lagChanges)]
	for i := range lags {
		lags[i] -= time.Duration(committed[i].UnixNano())
	}
	slices.Sort(lags)
	b.print(m.department.driver+", lag from commit to acknowledged", "p50 %d ms, p99 %d ms (%d single changes)",
		lags[len(lags)/2].Milliseconds(), lags[len(lags)*99/100].Milliseconds(), len(lags))
	return nil
}

// widen gives the table 20 columns and fills it.
func (d *departmentDB) widen(ctx context.Context, rows int) error {
	columns, values := []string{}, []string{}
	for i := range 15 {
		columns = append(columns, fmt.Sprintf("c%02d VARCHAR(40)", i))
		values = append(values, fmt.Sprintf("concat('值', id %% 1000, '-%d')", i))
	}
	text := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", d.table, strings.Join(columns, ", ADD COLUMN "))
	if _, err := d.db.ExecContext(ctx, text); err != nil {
		return err
	}
	if err := d.fill(ctx, rows); err != nil {
		return err
	}
	assign := make([]string, len(values))
	for i, value := range values {
		assign[i] = fmt.Sprintf("c%02d = %s", i, value)
	}
	analyse := "VACUUM FULL ANALYZE " + d.table
	if d.driver == "mariadb" {
		analyse = "ANALYZE TABLE " + d.table
	}
	if _, err := d.db.ExecContext(ctx, "UPDATE "+d.table+" SET "+strings.Join(assign, ", ")); err != nil {
		return err
	}
	_, err := d.db.ExecContext(ctx, analyse)
	return err
}

// copyOut is the physical limit: the same rows, as text, thrown away.
func copyOut(ctx context.Context, address string, rows int) (float64, error) {
	conn, err := pgconn.Connect(ctx, address)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = conn.CopyTo(ctx, io.Discard, "COPY (SELECT * FROM "+benchTable+" ORDER BY id) TO STDOUT")
	return float64(rows) / time.Since(began).Seconds(), errors.Join(err, conn.Close(ctx))
}

// measured is a hub in this process whose publishing is timed.
type measured struct {
	hub        *hub
	dir        string
	department *departmentDB
	publisher  *timedPublisher
}

func newMeasured(ctx context.Context, dir string, d *departmentDB) (*measured, error) {
	cfg := defaultConfig()
	cfg.Data, cfg.Roles = filepath.Join(dir, "hub"), []string{roleConnectors}
	h, err := openHub(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	// The topics alone: nobody stores what is published.
	m := &measured{hub: h, dir: dir, department: d, publisher: &timedPublisher{Exchange: h.exchange}}
	admin := access.WithIdentity(ctx, access.Identity{Name: "bench", Role: access.Administrator})
	err = h.exchange.PutDepartment(admin, exchange.Department{Code: "water", USCC: "11420396MB9T88885D", Title: "水利局", Region: "420396"})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "water.dsn"), []byte(d.dsn+"\n"), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return m, nil
}

// measuredSource is one source at work.
type measuredSource struct {
	m        *measured
	name     string
	stop     func()
	began    time.Time
	baseline int64
	peak     atomic.Int64
	done     time.Duration
	fault    atomic.Pointer[error]
}

// start begins to read the table into a resource of its own; the same kind of source goes on where it was.
func (m *measured) start(ctx context.Context, kind string) *measuredSource {
	runtime.GC()
	m.publisher.reset()
	s := &measuredSource{m: m, began: time.Now(), baseline: heap()}
	ctx, cancel := context.WithCancel(ctx)
	var busy sync.WaitGroup
	s.stop = sync.OnceFunc(func() { cancel(); busy.Wait() })
	s.name = benchSource + "-" + strings.Fields(kind)[1]
	busy.Go(func() { s.run(ctx, kind) })
	busy.Go(func() {
		for ctx.Err() == nil {
			s.peak.Store(max(s.peak.Load(), heap()))
			time.Sleep(20 * time.Millisecond)
		}
	})
	return s
}

// heap is the memory in use by Go.
func heap() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse) //nolint:gosec // far below the limit
}

// benchSchema is what the hub checks of every row.
const benchSchema = `{"type":"object","required":["id","holder"],"properties":{"id":{"type":"integer"},"holder":{"type":"string","minLength":1},"area":{"type":"number"},"remark":{"type":"string"}}}`

// run reads the table until ctx ends.
func (s *measuredSource) run(ctx context.Context, kind string) {
	err := func() error {
		fields := "{from: id, to: id, type: integer}, {from: holder, to: holder}, {from: area, to: area, type: decimal}, {from: remark, to: remark}, {from: updated_at, to: updated_at, type: time}"
		for i := range 15 {
			fields += fmt.Sprintf(", {from: c%02d, to: c%02d}", i, i)
		}
		resource := strings.ReplaceAll(s.name, "/", ".")
		text := fmt.Sprintf("sources:\n  - name: %s\n    resource: %s\n    interval: 100ms\n    %s\n    map: {key: [id], timezone: UTC, fields: [%s]}\n", s.name, resource, kind, fields)
		defs, err := connectors.ParseDefinitions([]byte(text), s.m.dir)
		if err != nil {
			return err
		}
		admin := access.WithIdentity(ctx, access.Identity{Name: "bench", Role: access.Administrator})
		if err := s.m.hub.exchange.PutResource(admin, exchange.Resource{
			Name: resource, Title: "测速", Kind: exchange.Register, ShareType: exchange.Unconditional, Schema: []byte(benchSchema),
		}); err != nil {
			return err
		}
		runner, err := connectors.NewRunner(ctx, connectors.RunnerConfig{
			DB: s.m.hub.db, Publisher: s.m.publisher, Kinds: sourceKinds(), Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			return err
		}
		return runner.Run(ctx, defs)
	}()
	if err != nil {
		s.fault.Store(&err)
	}
}

// await returns once so many rows are acknowledged.
func (s *measuredSource) await(ctx context.Context, rows int64) error {
	for {
		if fault := s.fault.Load(); fault != nil {
			return *fault
		}
		if at, n := s.m.publisher.count(); n >= rows {
			s.done = at.Sub(s.began)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// took is the time from the start to the row that was waited for.
func (s *measuredSource) took() time.Duration { return s.done }

// added is the most memory in use beyond what there was before.
func (s *measuredSource) added() int64 { return s.peak.Load() - s.baseline }

// timedPublisher is the exchange, and notes when rows were acknowledged.
type timedPublisher struct {
	*exchange.Exchange

	mu       sync.Mutex
	rows     int64
	last     time.Time
	watching bool
	times    []time.Duration // since 1970
}

// Publish publishes, and notes when it was done.
func (p *timedPublisher) Publish(ctx context.Context, resource, source string, drafts []exchange.Draft) ([]exchange.Outcome, error) {
	outcomes, err := p.Exchange.Publish(ctx, resource, source, drafts)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	p.rows += int64(len(drafts))
	for range drafts {
		if p.watching {
			p.times = append(p.times, time.Duration(p.last.UnixNano()))
		}
	}
	return outcomes, nil
}

func (p *timedPublisher) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows = 0
}

func (p *timedPublisher) count() (time.Time, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.rows
}

// watch begins to note the time of every row, arrivals ends it.
func (p *timedPublisher) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching, p.times = true, nil
}

func (p *timedPublisher) arrivals() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching = false
	return p.times
}
