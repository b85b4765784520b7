package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// hall is a hub in a process of its own beside a department's database.
type hall struct {
	t      *testing.T
	dir    string
	db     *sql.DB
	child  *childHub
	client *client
	table  string
}

const (
	permitSchema = `{"type":"object","required":["id","holder"],"properties":{"id":{"type":"integer"},"holder":{"type":"string","minLength":2}}}`
	permitFields = "fields: [{from: id, to: id, type: integer}, {from: holder, to: holder}, {from: area, to: area, type: decimal}]"
)

// newHall starts a hub with two sources of one PostgreSQL table: water/cursor and water/log.
func newHall(t *testing.T, rows int) *hall {
	t.Helper()
	needEngine(t)
	address := departmentAddress(t, "ONEWINDOW_TEST_POSTGRES")
	h := &hall{t: t, dir: t.TempDir(), table: fmt.Sprintf("ow_hall_%d", time.Now().UnixNano())}
	d, err := openDepartment(t.Context(), address, h.table)
	if err != nil {
		t.Fatal(err)
	}
	h.db = d.db
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := d.close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := d.fill(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	drill := &connectorDrill{dir: h.dir, department: d, out: os.Stderr, started: time.Now()}
	if err := drill.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "water.dsn"), []byte(address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.dir, "connectors.yaml")
	if err := os.WriteFile(file, []byte(h.definitions()), 0o600); err != nil {
		t.Fatal(err)
	}
	if h.child, err = newChildHub(t.Context(), h.dir, file); err != nil {
		t.Fatal(err)
	}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *hall) definitions() string {
	return fmt.Sprintf(`sources:
  - name: water/cursor
    resource: water.cursor
    kind: sql
    interval: 200ms
    sql: {driver: postgres, dsn_file: water.dsn, table: %[1]s, cursor: updated_at, key: id, delay: 200ms, overlap: 0s}
    map: {key: [id], event_time: updated_at, timezone: UTC, %[2]s}
  - name: water/log
    resource: water.log
    kind: log
    interval: 200ms
    take_new_columns: true
    log: {driver: postgres, dsn_file: water.dsn, table: %[1]s, key: id, slot: %[1]s, publication: %[1]s}
    map: {key: [id], %[2]s}
`, h.table, permitFields)
}

func (h *hall) start() {
	h.t.Helper()
	err := h.child.start()
	if err == nil {
		err = h.child.awaitReady(h.t.Context())
	}
	if err == nil {
		h.client, err = dial(h.child.cfg.Listen.GRPC, (&hub{cfg: h.child.cfg}).tokenDir(), "administrator")
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// stop ends the hub and gives the slot back.
func (h *hall) stop() {
	ctx := context.WithoutCancel(h.t.Context())
	if _, err := h.child.stop(); err != nil {
		h.t.Error(err)
	}
	_ = h.child.log.Close() // a log
	if h.t.Failed() {
		text, _ := os.ReadFile(h.child.log.Name()) // what there is of it
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "level=") && !strings.Contains(line, "level=INFO") {
				h.t.Log(line)
			}
		}
	}
	for _, statement := range []string{
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '" + h.table + "'",
		"DROP PUBLICATION IF EXISTS " + h.table,
	} {
		if _, err := h.db.ExecContext(ctx, statement); err != nil {
			h.t.Error(err)
		}
	}
}

func (h *hall) exec(statement string, args ...any) {
	h.t.Helper()
	if _, err := h.db.ExecContext(h.t.Context(), strings.ReplaceAll(statement, "permits", h.table), args...); err != nil {
		h.t.Fatal(err)
	}
}

// dropSlot takes the slot away as soon as the server has noticed that nobody reads it.
func (h *hall) dropSlot() {
	h.t.Helper()
	for {
		var active bool
		if err := h.db.QueryRowContext(h.t.Context(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1", h.table).Scan(&active); err != nil {
			h.t.Fatal(err)
		}
		if !active {
			h.exec("SELECT pg_drop_replication_slot('permits')")
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// source returns one source once what is asked of it holds.
func (h *hall) source(name, what string, holds func(*connectorsv1.Source) bool) *connectorsv1.Source {
	h.t.Helper()
	var last *connectorsv1.Source
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) {
		list, err := h.client.connectors.ListSources(h.t.Context(), &connectorsv1.ListSourcesRequest{})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, s := range list.GetSources() {
			if s.GetName() == name {
				if last = s; holds(s) {
					return s
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.t.Fatalf("%s: not %s: %v", name, what, last)
	return nil
}

func (h *hall) in(name string, state connectorsv1.SourceState) *connectorsv1.Source {
	h.t.Helper()
	return h.source(name, state.String(), func(s *connectorsv1.Source) bool { return s.GetState() == state })
}

// proof proves a source and wants a verdict.
func (h *hall) proof(name string, repair bool, want connectorsv1.ProofVerdict) *connectorsv1.Proof {
	h.t.Helper()
	p, err := proveOne(h.t.Context(), h.client.connectors, name, repairing{repair: repair})
	if err != nil {
		h.t.Fatal(err)
	}
	if p.GetVerdict() != want {
		h.t.Fatalf("proof of %s: %v; want %s", name, p, want)
	}
	return p
}

// payload is what the exchange holds under a key, empty if nothing.
func (h *hall) payload(resource, key string) string {
	h.t.Helper()
	resp, err := h.client.sharing.LookupRecords(h.t.Context(), &exchangev1.LookupRecordsRequest{
		Resource: resource, Keys: []string{key}, Purpose: &exchangev1.Purpose{Matter: "W-1", CaseNumber: "2026-1"},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(resp.GetRecords()) == 0 {
		return ""
	}
	return string(resp.GetRecords()[0].GetPayload())
}

// await waits until the exchange holds a text under a key.
func (h *hall) await(resource, key, text string) {
	h.t.Helper()
	var held string
	for range 900 {
		if held = h.payload(resource, key); text == "" && held == "" || text != "" && strings.Contains(held, text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.t.Fatalf("%s/%s holds %q; want %q", resource, key, held, text)
}

// runConnectorCLI runs onewindow connector against the hall's hub.
func runConnectorCLI(h *hall, args ...string) error {
	out, err := os.Create(filepath.Join(h.t.TempDir(), "out"))
	if err != nil {
		return err
	}
	flags := []string{args[0], "--address", h.child.cfg.Listen.GRPC, "--token-file", filepath.Join((&hub{cfg: h.child.cfg}).tokenDir(), "administrator.token")}
	return errors.Join(connectorCommand(h.t.Context(), append(flags, args[1:]...), out), out.Close())
}
