package connectors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

// foreignText is a name in GBK, which is not valid UTF-8.
const foreignText = "\xd4\xda\xb7\xa2"

// erratic is a source whose Open and Read do what a test says.
type erratic struct {
	open func() error
	read func(n int) (connectors.Batch, error)

	mu    sync.Mutex
	opens int
	reads int
}

func (s *erratic) Open(context.Context, json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens++
	if s.open != nil {
		return s.open()
	}
	return nil
}

func (s *erratic) Read(context.Context) (connectors.Batch, error) {
	s.mu.Lock()
	s.reads++
	n := s.reads
	s.mu.Unlock()
	return s.read(n)
}

func (*erratic) Close(context.Context) error { return nil }

func (s *erratic) counts() (opens, reads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opens, s.reads
}

// TestCase02ForeignBytesBlankNoStatus has a source whose fault is not valid UTF-8 beside one that is well, and asks by the API.
func TestCase02ForeignBytesBlankNoStatus(t *testing.T) {
	for what, fault := range map[string]error{
		"a named fault":  connectors.Refused(connectors.FaultColumn, nil, "column is enum('%s')", foreignText),
		"its cause":      connectors.Away(connectors.FaultUnreachable, errors.New(foreignText), "no answer"),
		"any error":      errors.New(foreignText),
		"a panic":        nil,
		"an endless one": errors.New(strings.Repeat(foreignText, 1<<20)),
	} {
		t.Run(what, func(t *testing.T) {
			bad := &erratic{open: func() error {
				if fault == nil {
					panic(foreignText)
				}
				return fault
			}}
			r, stop := startNumbers(t, &recorder{}, bad, &numbers{end: 12})
			defer stop()
			await(t, r, "both", func(all map[string]connectors.Status) bool {
				return all["market/sa"].State == connectors.Failing && all["market/sb"].State == connectors.CaughtUp
			})
			server, conn := serve(t, r.Service())
			defer server.Stop()
			res, err := connectorsv1.NewConnectorsServiceClient(conn).ListSources(t.Context(), &connectorsv1.ListSourcesRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.GetSources()) != 2 || res.GetSources()[1].GetRead() != 12 {
				t.Fatalf("sources %v", res.GetSources())
			}
			text := res.GetSources()[0].GetFault()
			if !utf8.ValidString(text) || !strings.Contains(text, "�") || len(text) > 8<<10 {
				t.Errorf("fault of %d bytes: %.200q", len(text), text)
			}
		})
	}
}

// TestCase02ForeignBytesOfRows has rows, columns and rejections with foreign texts: what is published and kept is valid.
func TestCase02ForeignBytesOfRows(t *testing.T) {
	p := &recorder{}
	src := &erratic{read: func(n int) (connectors.Batch, error) {
		if n > 1 {
			return connectors.Batch{}, connectors.ErrCaughtUp
		}
		return connectors.Batch{
			Rows:     []connectors.Row{{Raw: []byte(foreignText), Origin: foreignText + strings.Repeat("x", 1<<20), Rejection: &exchange.Rejection{Rule: exchange.RuleEncoding, Field: foreignText, Detail: foreignText}}},
			Position: json.RawMessage(`1`), Columns: []connectors.Column{{Name: foreignText, Type: "enum('" + foreignText + "')", Nullable: true}},
		}, nil
	}}
	r, stop := startNumbers(t, p, src)
	defer stop()
	await(t, r, "the row", func(all map[string]connectors.Status) bool { return all["market/sa"].State == connectors.CaughtUp })
	drafts := p.drafts()
	if len(drafts) != 1 {
		t.Fatalf("%d drafts", len(drafts))
	}
	d := drafts[0]
	if !utf8.ValidString(d.Origin) || len(d.Origin) > 2<<10 || !utf8.ValidString(d.Rejection.Detail) || !utf8.ValidString(d.Rejection.Field) || string(d.Raw) != foreignText {
		t.Errorf("origin of %d bytes, rejection %+q, raw %q", len(d.Origin), *d.Rejection, d.Raw)
	}
}

// TestBrokenStateOfOneSourceLeavesTheOthers spoils what is stored of one source: it shows why, the other one goes on.
func TestBrokenStateOfOneSourceLeavesTheOthers(t *testing.T) {
	dir := t.TempDir()
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
	sources := map[string]connectors.Source{"market/sa": &numbers{end: 5}, "market/sb": &numbers{end: 12}}
	construct := func(def connectors.Definition, _ *slog.Logger) (connectors.Source, error) {
		return sources[def.Name], nil
	}
	r := newRunner(t, db, &recorder{}, map[string]connectors.Constructor{connectors.KindSQL: construct})
	for _, statement := range []string{
		`INSERT INTO connector_controls (source, desired, columns_agreed, columns_offered, columns_taken) VALUES ('market/sa', 'run', '[', 'null', 'null')`,
		`INSERT INTO connector_proofs (id, source, asked_at, asked_by, repair, verdict, body) VALUES ('1', 'market/sb', 1, 'me', 0, 'equal', '{')`,
		`INSERT INTO connector_rereads (id, source, range_json, asked_at, asked_by, state) VALUES ('1', 'market/sb', '{', 1, 'me', 'asked')`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	defer start(t, r, parse(t, dir, strings.Replace(tableSource, "market/table", "market/sa", 1), strings.Replace(tableSource, "market/table", "market/sb", 1)))()
	await(t, r, "both", func(all map[string]connectors.Status) bool {
		return all["market/sa"].State == connectors.Failing && all["market/sb"].State == connectors.CaughtUp && all["market/sb"].Read == 12
	})
	server, conn := serve(t, r.Service())
	defer server.Stop()
	res, err := connectorsv1.NewConnectorsServiceClient(conn).ListSources(t.Context(), &connectorsv1.ListSourcesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if fault := res.GetSources()[1].GetFault(); !strings.Contains(fault, "newest proof cannot be read") {
		t.Errorf("fault %q", fault)
	}
}

// TestAttemptsArePacedWhateverASourceReturns bounds the attempts of sources that never get on, in every way there is,
// within an hour: the pause grows from a second to a minute.
func TestAttemptsArePacedWhateverASourceReturns(t *testing.T) {
	away := fmt.Errorf("%w: cable is out", connectors.ErrNotConnected)
	gap := connectors.Batch{Position: json.RawMessage(`1`), Gap: true}
	column := func(n int) []connectors.Column {
		columns := []connectors.Column{{Name: "id", Type: "text"}}
		return append(columns, connectors.Column{Name: fmt.Sprintf("c%d", n), Type: "text", Nullable: true})
	}
	for what, src := range map[string]*erratic{
		"that cannot be opened": {open: func() error { return away }},
		"that cannot be read":   {read: func(int) (connectors.Batch, error) { return connectors.Batch{}, away }},
		"that panics":           {read: func(int) (connectors.Batch, error) { panic("nil map") }},
		"that is caught up and fails by turns": {read: func(n int) (connectors.Batch, error) {
			if n%2 == 0 {
				return connectors.Batch{}, away
			}
			return connectors.Batch{}, connectors.ErrCaughtUp
		}},
		"that has a gap and fails by turns": {read: func(n int) (connectors.Batch, error) {
			if n%2 == 0 {
				return connectors.Batch{}, away
			}
			return gap, nil
		}},
		"that has two descriptions of its table": {read: func(n int) (connectors.Batch, error) {
			return connectors.Batch{Position: json.RawMessage(`1`), Columns: column(n % 2)}, nil
		}},
	} {
		t.Run("a source "+what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, stop := startNumbers(t, &recorder{}, src)
				defer stop()
				time.Sleep(time.Hour)
				synctest.Wait()
				opens, _ := src.counts()
				if opens < 50 || opens > 180 {
					t.Errorf("%d attempts within an hour; want about one in 45 s", opens)
				}
				got := r.Status()[0]
				if got.FailedAttempts < 40 || got.FailingSince.IsZero() || time.Since(got.FailingSince) < 50*time.Minute {
					t.Errorf("%d failed attempts since %s", got.FailedAttempts, got.FailingSince)
				}
			})
		})
	}
}

// TestEndlessBatchesWithoutRowsArePaced has a source that never has a row and never is caught up.
func TestEndlessBatchesWithoutRowsArePaced(t *testing.T) {
	for _, gap := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := &erratic{read: func(int) (connectors.Batch, error) {
				return connectors.Batch{Position: json.RawMessage(`1`), Gap: gap}, nil
			}}
			_, stop := startNumbers(t, &recorder{}, src)
			defer stop()
			time.Sleep(time.Hour)
			synctest.Wait()
			if _, reads := src.counts(); reads > 400 {
				t.Errorf("%d reads within an hour", reads)
			}
		})
	}
}

// stuck is a source that is slow to close.
type stuck struct {
	*numbers
	release chan struct{}
}

func (s stuck) Close(context.Context) error {
	<-s.release
	return nil
}

// TestSlowEndHoldsNoOtherSource takes a source away that is slow to close, beside one that comes at the same time.
func TestSlowEndHoldsNoOtherSource(t *testing.T) {
	dir := t.TempDir()
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
	release := make(chan struct{})
	sources := map[string]connectors.Source{"market/sa": stuck{&numbers{end: 5}, release}, "market/sb": &numbers{end: 12}}
	construct := func(def connectors.Definition, _ *slog.Logger) (connectors.Source, error) {
		return sources[def.Name], nil
	}
	r := newRunner(t, db, &recorder{}, map[string]connectors.Constructor{connectors.KindSQL: construct})
	definition := func(name string) []connectors.Definition {
		return parse(t, dir, strings.Replace(tableSource, "market/table", name, 1))
	}
	stop := start(t, r, definition("market/sa"))
	await(t, r, "the first", func(all map[string]connectors.Status) bool { return all["market/sa"].State == connectors.CaughtUp })
	if err := r.SetDefinitions(definition("market/sb")); err != nil {
		t.Fatal(err)
	}
	await(t, r, "the second, beside the first that does not end", func(all map[string]connectors.Status) bool {
		_, still := all["market/sa"]
		return still && all["market/sb"].State == connectors.CaughtUp
	})
	close(release)
	await(t, r, "the end of the first", func(all map[string]connectors.Status) bool { _, still := all["market/sa"]; return !still })
	stop()
}

// TestUnknownResourceIsRefusedAndNamed puts a definition whose resource is not there, checks it, and reads one.
func TestUnknownResourceIsRefusedAndNamed(t *testing.T) {
	dir := t.TempDir()
	d := newDepartment(t, dir)
	d.fill(t, 0, 5)
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
	e, _ := newExchange(t, db, filepath.Join(dir, "bus"))
	r, err := connectors.NewRunner(t.Context(), connectors.RunnerConfig{DB: db, Publisher: e, Kinds: kinds(), Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	source := strings.Replace(tableSource, "market.people", "market.persons", 1)
	text := "sources:" + source + "\n    map: {key: [id], event_time: updated_at, fields: [{from: id, to: id}, {from: name, to: name}]}\n"
	if _, err := r.PutDefinition(t.Context(), text, "me"); !errors.Is(err, exchange.ErrUnknownResource) || !strings.Contains(err.Error(), "market.persons") {
		t.Errorf("put: %v", err)
	}
	server, conn := serve(t, r.Service())
	defer server.Stop()
	res, err := connectorsv1.NewConnectorsServiceClient(conn).CheckSources(t.Context(), &connectorsv1.CheckSourcesRequest{Definitions: text})
	if err != nil || len(res.GetSources()[0].GetFaults()) != 1 || res.GetSources()[0].GetFaults()[0].GetCode() != string(connectors.FaultResource) {
		t.Errorf("check: %v, %v", res, err)
	}
	stop := start(t, r, parse(t, dir, source))
	defer stop()
	await(t, r, "the fault", func(all map[string]connectors.Status) bool {
		return all["market/table"].Code == connectors.FaultResource
	})
	if err := e.PutResource(t.Context(), exchange.Resource{
		Name: "market.persons", Title: "人员", Kind: exchange.Register, ShareType: exchange.Unconditional, Schema: []byte(schema),
	}); err != nil {
		t.Fatal(err)
	}
	await(t, r, "the rows", func(all map[string]connectors.Status) bool { return all["market/table"].Accepted == 5 })
}

// kept is what an exchange holds: what was published last under each key.
type kept struct {
	connectors.Holdings
	p *recorder
}

func (k kept) records() map[string]exchange.Draft {
	all := map[string]exchange.Draft{}
	for _, d := range k.p.drafts() {
		if all[d.Key] = d; d.Operation == exchange.Delete {
			delete(all, d.Key)
		}
	}
	return all
}

func (kept) StoredThrough(context.Context, string) error { return nil }

func (k kept) HeldSums(_ context.Context, _, _ string, buckets int) ([]exchange.HeldSum, error) {
	var sums []exchange.HeldSum
	for key, d := range k.records() {
		high, low := exchange.HeldHash(key, d.Payload)
		sum := exchange.HeldSum{Bucket: exchange.HeldBucket(key, buckets)}
		sum.Add(high, low)
		sums = append(sums, sum)
	}
	return sums, nil
}

func (k kept) HeldKeys(_ context.Context, _, _ string, buckets int, wanted []int, yield func(exchange.HeldKey) error) error {
	for key, d := range k.records() {
		high, low := exchange.HeldHash(key, d.Payload)
		if err := yield(exchange.HeldKey{Key: key, High: high, Low: low, EventTime: d.EventTime}); err != nil {
			return err
		}
	}
	return nil
}

// examiner accepts every draft.
type examiner struct{ *recorder }

func (examiner) Examine(_ context.Context, _ string, drafts []exchange.Draft) ([]*exchange.Rejection, error) {
	return make([]*exchange.Rejection, len(drafts)), nil
}

// TestEmptiedSourceDeletesNothing empties tables of which 200 rows are held: no repair and no comparison in bulk mode
// deletes them, until somebody allows it.
func TestEmptiedSourceDeletesNothing(t *testing.T) {
	bulk := strings.Replace(tableSource, "cursor: updated_at, key: id}", "mode: bulk, key: id}", 1)
	for mode, source := range map[string]string{"cursor": strings.Replace(tableSource, "key: id}", "key: id, delay: 0s}", 1), "bulk": bulk} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			d := newDepartment(t, dir)
			d.exec(t, `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 200)
				INSERT INTO people SELECT printf('%05d', i), 'n', '1', '1', '2025-11-03 08:00:00' FROM c`)
			p := &recorder{}
			db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
			r, err := connectors.NewRunner(t.Context(), connectors.RunnerConfig{
				DB: db, Publisher: examiner{p}, Holdings: kept{p: p}, Kinds: kinds(), Dir: dir, Logger: slog.New(slog.DiscardHandler), RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer start(t, r, parse(t, dir, source))()
			await(t, r, "200 rows", func(all map[string]connectors.Status) bool {
				return all["market/table"].Read == 200 && all["market/table"].State == connectors.CaughtUp
			})
			d.exec(t, `DELETE FROM people`)
			prove := func(allow bool) connectors.Report {
				id, err := r.Prove(t.Context(), "market/table", true, allow, "me")
				if err != nil {
					t.Fatal(err)
				}
				for {
					reports, err := r.Reports(t.Context(), "market/table", 10)
					if err != nil {
						t.Fatal(err)
					}
					for _, report := range reports {
						if report.ID == id && report.Verdict != connectors.Asked {
							return report
						}
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			if mode == "bulk" {
				await(t, r, "the fault", func(all map[string]connectors.Status) bool {
					return all["market/table"].Code == connectors.FaultEmptied
				})
			}
			report := prove(false)
			if report.Verdict != connectors.Failed || report.Code != connectors.FaultEmptied || !strings.Contains(report.Fault, "--allow-emptied market/table") || len(report.BlindSpots) == 0 {
				t.Errorf("%+v", report)
			}
			if n := len(kept{p: p}.records()); n != 200 {
				t.Fatalf("%d records are left of 200", n)
			}
			if report := prove(true); report.Verdict != connectors.Different || report.Repaired != 200 {
				t.Errorf("allowed: %+v", report)
			}
			if n := len(kept{p: p}.records()); n != 0 {
				t.Errorf("%d records are left", n)
			}
		})
	}
}
