package connectors_test

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/files"
	"github.com/onewindow/onewindow/connectors/sqltable"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

const schema = `{"type":"object","required":["id","name"],"additionalProperties":false,"properties":{
	"id":{"type":"string"},"name":{"type":"string"},"n":{"type":"number"},"phone":{"type":"string","pattern":"^[0-9]+$"}}}`

// parse reads the definitions of these tests.
func parse(t testing.TB, dir string, sources ...string) []connectors.Definition {
	t.Helper()
	const mapping = `
    map:
      key: [id]
      event_time: updated_at
      fields: [{from: id, to: id}, {from: name, to: name}, {from: n, to: n, type: decimal}, {from: phone, to: phone, half_width: true}]
`
	text := "sources:\n"
	for _, source := range sources {
		text += source + mapping
	}
	defs, err := connectors.ParseDefinitions([]byte(text), dir)
	if err != nil {
		t.Fatal(err)
	}
	return defs
}

const (
	tableSource = `
  - name: market/table
    resource: market.people
    kind: sql
    interval: 100ms
    batch: 40
    sql: {driver: sqlite, dsn_file: dep.dsn, table: people, cursor: updated_at, key: id}`
	filesSource = `
  - name: market/files
    resource: market.people
    kind: files
    interval: 100ms
    batch: 40
    files: {dir: folder, pattern: "people-*.csv", charset: gbk}`
)

func kinds() map[string]connectors.Constructor {
	return map[string]connectors.Constructor{connectors.KindSQL: sqltable.New, connectors.KindFiles: files.New}
}

// department has a SQLite table and a folder.
type department struct {
	dir string
	db  *sqldb.DB
}

func newDepartment(t testing.TB, dir string) department {
	t.Helper()
	for name, text := range map[string]string{"dep.dsn": "dep.db", "folder/": ""} {
		var err error
		if name == "folder/" {
			err = os.Mkdir(filepath.Join(dir, name), 0o750)
		} else {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(dir, "dep.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := department{dir: dir, db: db}
	d.exec(t, `CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, n TEXT, phone TEXT, updated_at TEXT NOT NULL)`)
	return d
}

func (d department) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// fill adds rows to the table; every tenth has no name.
func (d department) fill(t testing.TB, first, n int) {
	t.Helper()
	d.exec(t, `WITH RECURSIVE c(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < $1 + $2)
		INSERT INTO people SELECT printf('id-%07d', i), CASE WHEN i % 10 = 9 THEN '' ELSE '张' || i END, '1.50', '０５', printf('2025-11-03 08:00:00.%06d', i / 3) FROM c`, first, n)
}

// put writes a file in GBK.
func (d department) put(t testing.TB, name, text string) {
	t.Helper()
	encoded, err := simplifiedchinese.GBK.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "folder", name), []byte(strings.ReplaceAll(encoded, "?", "\xff")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newExchange is an exchange on an embedded broker with the resource market.people.
func newExchange(t testing.TB, db *sqldb.DB, dir string) (*exchange.Exchange, *bus.Bus) {
	t.Helper()
	topics, err := bus.Open(t.Context(), bus.Config{URL: "embedded:" + dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = topics.Close() })
	e, err := exchange.New(t.Context(), exchange.Config{DB: db, Topics: topics, Logger: slog.New(slog.DiscardHandler), Partitions: 1, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.PutDepartment(t.Context(), exchange.Department{Code: "market", USCC: "11100000000013338W", Title: "市场监督管理局", Region: "610924"}); err != nil {
		t.Fatal(err)
	}
	if err := e.PutResource(t.Context(), exchange.Resource{
		Name: "market.people", Title: "人员", Kind: exchange.Register, ShareType: exchange.Unconditional, Schema: []byte(schema),
	}); err != nil {
		t.Fatal(err)
	}
	return e, topics
}

func newRunner(t testing.TB, db *sqldb.DB, p connectors.Publisher, kinds map[string]connectors.Constructor) *connectors.Runner {
	t.Helper()
	r, err := connectors.NewRunner(t.Context(), connectors.RunnerConfig{DB: db, Publisher: p, Kinds: kinds, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs r until stop is called, which returns its last status.
func start(t testing.TB, r *connectors.Runner, defs []connectors.Definition) (stop func() map[string]connectors.Status) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, defs) }()
	var once sync.Once
	stop = func() map[string]connectors.Status {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		return byName(r)
	}
	t.Cleanup(func() { stop() })
	return stop
}

func byName(r *connectors.Runner) map[string]connectors.Status {
	all := map[string]connectors.Status{}
	for _, s := range r.Status() {
		all[s.Name] = s
	}
	return all
}

// await waits until ready is true of the sources' status.
func await(t testing.TB, r *connectors.Runner, what string, ready func(map[string]connectors.Status) bool) {
	t.Helper()
	for range 6000 {
		if ready(byName(r)) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited a minute for %s: %+v", what, r.Status())
}

func readAll(want map[string]int64) func(map[string]connectors.Status) bool {
	return func(got map[string]connectors.Status) bool {
		for name, n := range want {
			if got[name].State != connectors.CaughtUp || got[name].Read < n {
				return false
			}
		}
		return true
	}
}

// TestCounts reads two sources into a real exchange, stops, and goes on where it was.
func TestCounts(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		dir := t.TempDir()
		d := newDepartment(t, dir)
		d.fill(t, 0, 100)
		// "?" stands for a byte that is not GBK.
		d.put(t, "people-1.csv", "id,name,n,phone,updated_at\n1,张三,1.50,０５,2025-11-03 08:00:00\n2,?,1,1,2025-11-03\n3,\"x,1,1,2025-11-03\n4,李四,many,1,2025-11-03\n5,王,1,1,soon\n6,王,1,x,2025-11-04\n")
		d.put(t, "people-2.csv", "id,full_name\n7,x\n")
		defs := parse(t, dir, tableSource, filesSource)
		db := open()
		e, topics := newExchange(t, db, t.TempDir())

		r := newRunner(t, db, e, kinds())
		stop := start(t, r, defs)
		await(t, r, "107 rows", readAll(map[string]int64{"market/table": 100, "market/files": 7}))
		got := stop()
		check := func(name string, read, accepted, rejected int64, byRule, findings map[string]int64) {
			t.Helper()
			s := got[name]
			if s.State != connectors.Stopped || s.Read != read || s.Accepted != accepted || s.Rejected != rejected ||
				!maps.Equal(s.RejectedByRule, byRule) || !maps.Equal(s.Findings, findings) {
				t.Errorf("%+v", s)
			}
		}
		fileRules := map[string]int64{
			exchange.RuleEncoding: 1, exchange.RuleMalformed: 1, exchange.RuleSchema: 2, exchange.RuleEventTime: 1, exchange.RuleColumn: 1,
		}
		check("market/table", 100, 90, 10, map[string]int64{exchange.RuleMissingField: 10}, map[string]int64{exchange.FindingFullWidth: 90})
		check("market/files", 7, 1, 6, fileRules, map[string]int64{exchange.FindingFullWidth: 1})
		if want := time.Date(2025, 11, 4, 0, 0, 0, 0, time.FixedZone("", 8*3600)); !got["market/files"].NewestEvent.Equal(want) || got["market/files"].LastRead.IsZero() {
			t.Errorf("newest event %s, last read %s", got["market/files"].NewestEvent, got["market/files"].LastRead)
		}

		d.fill(t, 100, 30)
		r = newRunner(t, open(), e, kinds())
		stop = start(t, r, defs)
		await(t, r, "30 more rows", readAll(map[string]int64{"market/table": 130, "market/files": 7}))
		got = stop()
		check("market/table", 130, 117, 13, map[string]int64{exchange.RuleMissingField: 13}, map[string]int64{exchange.FindingFullWidth: 117})
		check("market/files", 7, 1, 6, fileRules, map[string]int64{exchange.FindingFullWidth: 1})
		for topic, want := range map[string]int64{exchange.TopicOf("market.people"): 118, exchange.RejectedTopic: 19} {
			if _, end, err := topics.Bounds(t.Context(), topic, 0); err != nil || end != want {
				t.Errorf("%s has %d records, %v; want %d", topic, end, err, want)
			}
		}
		expectAPI(t, r)
	})
}

// expectAPI compares what the service answers with what the runner says.
func expectAPI(t *testing.T, r *connectors.Runner) {
	t.Helper()
	server, conn := serve(t, r.Service())
	defer server.Stop()
	res, err := connectorsv1.NewConnectorsServiceClient(conn).ListSources(t.Context(), &connectorsv1.ListSourcesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.GetSources()) != 2 || res.GetSources()[0].GetName() != "market/files" {
		t.Fatalf("sources %v", res.GetSources())
	}
	s := res.GetSources()[0]
	if s.GetKind() != "files" || s.GetResource() != "market.people" || s.GetState() != connectorsv1.SourceState_SOURCE_STATE_STOPPED || s.GetRead() != 7 ||
		s.GetAccepted() != 1 || s.GetRejected() != 6 || s.GetRejectedByRule()["SCHEMA"] != 2 || s.GetFindings()["FULL_WIDTH"] != 1 ||
		!s.GetNewestEventTime().AsTime().Equal(byName(r)["market/files"].NewestEvent) || !s.GetLastReadTime().IsValid() {
		t.Errorf("source %v", s)
	}
}

// TestChangedDefinition checks that a position is not used for another table.
func TestChangedDefinition(t *testing.T) {
	dir := t.TempDir()
	d := newDepartment(t, dir)
	d.fill(t, 0, 50)
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "state.db"))
	p := &recorder{}
	r := newRunner(t, db, p, kinds())
	stop := start(t, r, parse(t, dir, tableSource))
	await(t, r, "50 rows", readAll(map[string]int64{"market/table": 50}))
	stop()

	d.exec(t, `ALTER TABLE people RENAME TO persons`)
	r = newRunner(t, db, p, kinds())
	stop = start(t, r, parse(t, dir, strings.Replace(tableSource, "table: people", "table: persons", 1)))
	await(t, r, "a fault", func(all map[string]connectors.Status) bool { return all["market/table"].State == connectors.Failing })
	fault := byName(r)["market/table"].Fault
	stop()
	for _, want := range []string{"people", "persons", "new name"} {
		if !strings.Contains(fault, want) {
			t.Errorf("fault %q; want %q in it", fault, want)
		}
	}
	if got := byName(r)["market/table"]; got.Read != 50 || len(p.drafts()) != 50 {
		t.Errorf("%d rows counted, %d published; want 50", got.Read, len(p.drafts()))
	}
}

// serve runs a service in memory.
func serve(t *testing.T, s server.Service) (*grpc.Server, *grpc.ClientConn) {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	srv := grpc.NewServer()
	s.Register(srv)
	go func() { _ = srv.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return srv, conn
}
