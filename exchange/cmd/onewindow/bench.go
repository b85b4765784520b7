package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
	analyticsv1 "github.com/onewindow/onewindow/proto/analytics/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// What the push benchmark sends.
const (
	benchResource = "market.bench"
	benchBatch    = 1000
	benchCallers  = 4
	benchPayload  = 500 // bytes
)

// benchCommand prints the figures of the README, each beside what the machine
// can do at most where there is such a figure. It asserts nothing.
func benchCommand(ctx context.Context, args []string, out *os.File) (err error) {
	flags := newFlags("bench", "measure everything, or: bench ready | push | load | signing | connectors")
	database := flags.String("database", "", "connectors: the department's database, postgres://… or mysql://…; a table of its own is made there and dropped")
	rows := flags.Int("rows", 200_000, "connectors: rows of the table")
	records := flags.Int("records", 400_000, "records to push")
	rest, err := parseAnywhere(flags, args)
	if err != nil {
		return err
	}
	only := strings.Join(rest, " ")
	if len(rest) > 1 {
		return fmt.Errorf("%w: name one measurement, or none for all", errUsage)
	}
	dir, err := temporaryFolder("onewindow-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := bench{dir: dir, out: out}
	known := false
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"ready", func() error { return b.ready(ctx) }},
		{"push", func() error { return b.push(ctx, *records) }},
		{"load", func() error { return b.load(ctx) }},
		{"signing", func() error { return b.signing(ctx) }},
		{"connectors", func() error { return b.connectors(ctx, *database, *rows) }},
	} {
		if only != "" && only != part.name || only == "" && part.name == "connectors" && *database == "" {
			continue
		}
		known = true
		if err := part.run(); err != nil {
			return err
		}
	}
	if !known {
		return fmt.Errorf("%w: there is no measurement %q", errUsage, only)
	}
	return nil
}

type bench struct {
	dir string
	out io.Writer
}

func (b *bench) print(what, format string, args ...any) {
	fmt.Fprintf(b.out, "%-44s %s\n", what, fmt.Sprintf(format, args...))
}

// ready measures from the start of the process to the first "ready", on an
// empty folder and again on what that left.
func (b *bench) ready(ctx context.Context) error {
	child, err := newChildHub(ctx, filepath.Join(b.dir), "")
	if err != nil {
		return err
	}
	defer child.log.Close() //nolint:errcheck // a log
	for _, what := range []string{"first start to ready", "later start to ready"} {
		started := time.Now()
		if err := child.start(); err != nil {
			return err
		}
		if err := child.awaitReady(ctx); err != nil {
			return err
		}
		b.print(what, "%.2f s", time.Since(started).Seconds())
		if _, err := child.stop(); err != nil {
			return err
		}
	}
	return nil
}

// push measures records of 500 bytes from the call to stored in ClickHouse,
// beside the same bytes written to the same disk with one fsync per batch.
func (b *bench) push(ctx context.Context, records int) error {
	child, err := newChildHub(ctx, b.dir, "")
	if err != nil {
		return err
	}
	defer child.log.Close() //nolint:errcheck // a log
	if err := child.start(); err != nil {
		return err
	}
	if err := child.awaitReady(ctx); err != nil {
		return err
	}
	s, err := newScenario(county.New(county.Options{Scale: 100}), &hub{cfg: child.cfg}, func(string, ...any) {})
	if err != nil {
		return err
	}
	if err := b.benchResource(ctx, s); err != nil {
		return err
	}
	started := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	for caller := range benchCallers {
		group.Go(func() error {
			for batch := caller; batch < records/benchBatch; batch += benchCallers {
				if _, err := s.admin.sharing.PushRecords(groupCtx, pushBatch(batch, started)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	acked := time.Since(started)
	for {
		storage, err := s.admin.analytics.GetStorage(ctx, &analyticsv1.GetStorageRequest{})
		if err != nil {
			return err
		}
		if storage.GetLag() == 0 && storage.GetStoredRows() >= int64(records) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	stored := time.Since(started)
	raw, err := b.rawWrites(records)
	if err != nil {
		return err
	}
	rate := func(d time.Duration) float64 { return float64(records) / d.Seconds() }
	b.print("push to acknowledged (500 B, 4 callers x 1,000)", "%.0f records/s", rate(acked))
	b.print("push to stored", "%.0f records/s", rate(stored))
	b.print("the same bytes written and synced by batch", "%.0f records/s (push to stored is 1/%.1f of it)", rate(raw), rate(raw)/rate(stored))
	rss, stopErr := child.stop()
	b.print("resident at most during the push", "%d MB", rss>>20)
	return errors.Join(s.close(), stopErr)
}

// benchResource registers the resource that the push goes to.
func (b *bench) benchResource(ctx context.Context, s *scenario) error {
	for _, d := range s.county.Departments() {
		if d.GetCode() != "market" {
			continue
		}
		if _, err := s.admin.catalog.PutDepartment(ctx, &exchangev1.PutDepartmentRequest{Department: d}); err != nil {
			return err
		}
	}
	_, err := s.admin.catalog.PutResource(ctx, &exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{
		Name: benchResource, Title: "测速", Kind: exchangev1.RecordKind_RECORD_KIND_REGISTER,
		ShareType: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL,
		Schema: []byte(`{"type":"object","required":["uscc","name"],"properties":{"uscc":{"type":"string","format":"uscc"},
			"name":{"type":"string","minLength":1},"capital":{"type":"number"},"remark":{"type":"string"}}}`),
	}})
	return err
}

func pushBatch(batch int, at time.Time) *exchangev1.PushRecordsRequest {
	req := &exchangev1.PushRecordsRequest{Resource: benchResource, Records: make([]*exchangev1.Record, benchBatch)}
	for i := range req.GetRecords() {
		payload := fmt.Appendf(nil, `{"uscc":"11100000000013338W","name":"企业 %d-%d","capital":%d.50,"remark":"`, batch, i, i)
		for len(payload) < benchPayload-2 {
			payload = append(payload, byte('a'+(len(payload)*7+i)%26))
		}
		req.Records[i] = &exchangev1.Record{
			Key: fmt.Sprintf("%d-%d", batch, i), EventTime: timestamppb.New(at), Payload: append(payload, `"}`...),
		}
	}
	return req
}

// rawWrites writes as many bytes to the same disk, with an fsync per batch.
func (b *bench) rawWrites(records int) (took time.Duration, err error) {
	f, err := os.Create(filepath.Join(b.dir, "raw"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block := make([]byte, benchBatch*benchPayload)
	started := time.Now()
	for range records / benchBatch {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return time.Since(started), nil
}

// load measures the whole sample county, in a process of its own so that its
// memory is its own.
func (b *bench) load(ctx context.Context) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	rest, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	grpcAddress, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "report.json")
	cmd := exec.CommandContext(ctx, executable, "demo", "--report", file, "--rest", rest, "--grpc", grpcAddress)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("demo: %w\n%s", err, output)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var report Report
	if err := json.Unmarshal(text, &report); err != nil {
		return err
	}
	b.print("sample county, end to end", "%.1f s (%d records stored, %d licences issued; %s)",
		float64(report.ElapsedMs)/1000, report.StoredRows, report.LicensesIssued, report.County)
	b.print("resident at most during the sample county", "%d MB", report.PeakRSSBytes>>20)
	return nil
}
