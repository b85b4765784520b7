package connectors_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// TestLeadASource pauses, blocks, accepts, re-reads, defines and deletes
// sources, with the state in SQLite and in PostgreSQL, and reads the events.
func TestLeadASource(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		ctx, dir := t.Context(), t.TempDir()
		d, db := newDepartment(t, dir), open()
		e, topics := newExchange(t, db, filepath.Join(dir, "bus"))
		if err := topics.EnsureTopic(ctx, connectors.EventsTopic, bus.TopicOptions{Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		outbox, err := exchange.OpenOutbox(ctx, db, topics, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = outbox.Run(ctx) }() // ends with ctx
		r, err := connectors.NewRunner(ctx, connectors.RunnerConfig{
			DB: db, Publisher: e, Outbox: outbox, Kinds: kinds(), Dir: dir, Logger: slog.New(slog.DiscardHandler), RetryMin: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		const name = "market/table"
		d.exec(t, `INSERT INTO people VALUES ('a', '张三', '1', '5', '2025-11-03 08:00:00')`)
		stop := start(t, r, parse(t, dir, strings.Replace(tableSource, "key: id}", "key: id, delay: 0s}", 1)))
		defer stop()
		state := func(want connectors.State, code connectors.FaultCode) func(map[string]connectors.Status) bool {
			return func(all map[string]connectors.Status) bool { return all[name].State == want && all[name].Code == code }
		}
		await(t, r, "caught up", state(connectors.CaughtUp, ""))

		for desired, want := range map[connectors.Desired]connectors.State{connectors.Pause: connectors.Paused, connectors.Stop: connectors.Stopped} {
			if err := r.SetDesired(ctx, name, desired); err != nil {
				t.Fatal(err)
			}
			await(t, r, string(desired), state(want, ""))
		}
		if err := r.SetDesired(ctx, name, connectors.Run); err != nil {
			t.Fatal(err)
		}
		await(t, r, "resumed", state(connectors.CaughtUp, ""))

		if err := r.AcceptColumns(ctx, name); !errors.Is(err, connectors.ErrNothingOffered) {
			t.Errorf("accepting what nobody offered: %v", err)
		}
		d.exec(t, `BEGIN; ALTER TABLE people ADD COLUMN town TEXT; ALTER TABLE people ADD COLUMN village TEXT NOT NULL DEFAULT ''; COMMIT`)
		d.exec(t, `INSERT INTO people VALUES ('b', '李四', '1', '5', '2025-11-03 08:00:01', '', '')`)
		await(t, r, "blocked", state(connectors.Blocked, connectors.FaultSchema))
		if got := r.Status()[0]; got.Read != 1 || !strings.Contains(got.Fault, `column "village" is new and may not be null`) {
			t.Errorf("%+v", got)
		}
		if err := r.AcceptColumns(ctx, name); err != nil {
			t.Fatal(err)
		}
		await(t, r, "the row under new columns", func(all map[string]connectors.Status) bool { return all[name].Read == 2 })

		if _, err := r.Reread(ctx, name, connectors.KeyRange{From: []string{"a"}, To: []string{"a"}}, "me"); err != nil {
			t.Fatal(err)
		}
		await(t, r, "one row again", func(all map[string]connectors.Status) bool { return all[name].Read == 3 })

		expectErrors(t, r, name)
		expectStored(t, r, dir)
		expectEvents(t, topics)
	})
}

// expectErrors asks for what there is not.
func expectErrors(t *testing.T, r *connectors.Runner, fixed string) {
	t.Helper()
	ctx := t.Context()
	definition := "sources:" + tableSource + "\n    map: {key: [id], event_time: updated_at, fields: [{from: id, to: id}]}\n"
	if _, err := r.PutDefinition(ctx, definition, "me"); !errors.Is(err, connectors.ErrFixed) {
		t.Errorf("changing what the configuration defines: %v", err)
	}
	if _, err := r.PutDefinition(ctx, "sources: 7", "me"); !errors.Is(err, connectors.ErrDefinition) {
		t.Errorf("a bad definition: %v", err)
	}
	if err := r.DeleteDefinition(ctx, fixed); !errors.Is(err, connectors.ErrFixed) {
		t.Errorf("deleting what the configuration defines: %v", err)
	}
	for what, err := range map[string]error{
		"pause": r.SetDesired(ctx, "market/nobody", connectors.Pause), "delete": r.DeleteDefinition(ctx, "market/nobody"), "accept": r.AcceptColumns(ctx, "market/nobody"),
	} {
		if !errors.Is(err, connectors.ErrUnknownSource) {
			t.Errorf("%s of an unknown source: %v", what, err)
		}
	}
}

// expectStored defines a source by the API, changes and deletes it.
func expectStored(t *testing.T, r *connectors.Runner, dir string) {
	t.Helper()
	ctx := t.Context()
	definition := func(batch int) string {
		return fmt.Sprintf(`sources:
  - name: market/stored
    resource: market.people
    kind: sql
    interval: 100ms
    batch: %d
    sql: {driver: sqlite, dsn_file: %s, table: people, cursor: updated_at, key: id, delay: 0s}
    map: {key: [id], event_time: updated_at, fields: [{from: id, to: id}, {from: name, to: name}]}
`, batch, filepath.Join(dir, "dep.dsn"))
	}
	for _, batch := range []int{10, 20} {
		if _, err := r.PutDefinition(ctx, definition(batch), "me"); err != nil {
			t.Fatal(err)
		}
		await(t, r, "the stored source", func(all map[string]connectors.Status) bool {
			return all["market/stored"].Read == 2 && all["market/stored"].State == connectors.CaughtUp
		})
		if body, err := r.Definition(ctx, "market/stored"); err != nil || body != definition(batch) {
			t.Errorf("%q, %v", body, err)
		}
	}
	if err := r.DeleteDefinition(ctx, "market/stored"); err != nil {
		t.Fatal(err)
	}
	await(t, r, "the end of the stored source", func(all map[string]connectors.Status) bool { _, there := all["market/stored"]; return !there })
}

// expectEvents reads what was told.
func expectEvents(t *testing.T, topics *bus.Bus) {
	t.Helper()
	want := []connectors.EventType{
		connectors.EventDesired, connectors.EventDesired, connectors.EventDesired, connectors.EventColumnsChanged, connectors.EventFault, connectors.EventColumnsAccepted,
	}
	reader, err := topics.Read(t.Context(), connectors.EventsTopic, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []connectors.EventType
	for len(got) < len(want) {
		msgs, err := reader.Next(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			for _, h := range m.Headers {
				if h.Key == "ce_type" {
					got = append(got, connectors.EventType(h.Value))
				}
			}
			if string(m.Key) != "market/table" {
				t.Errorf("key %q", m.Key)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events %v; want %v", got, want)
	}
}
