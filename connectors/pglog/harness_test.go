package pglog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

func TestSuite(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		d := newDepartment(t, `CREATE TABLE people (id text PRIMARY KEY, name text, updated_at timestamp NOT NULL)`)
		u, err := url.Parse(d.dsn)
		if err != nil {
			t.Fatal(err)
		}
		proxy := connectortest.NewProxy(t, u.Host)
		u.Host = proxy.Address()
		def := connectortest.Definition(connectors.KindLog)
		def.Log = d.definition().Log
		def.Log.DSNFile = secret(t, u.String())
		return connectortest.System{
			Definition: def, Construct: New, Log: true, Cut: func(*testing.T) func() { return proxy.Cut() },
			Append: func(t *testing.T, rows []connectortest.Row) {
				for _, r := range rows {
					d.exec(t, `INSERT INTO people VALUES ($1, $2, $3)`, r.ID, r.Name, r.UpdatedAt)
				}
			},
		}
	})
}

// department is a schema of its own in the PostgreSQL of the tests, with a table people.
type department struct {
	*sql.DB
	dsn    string
	schema string
	slot   string
}

func newDepartment(t testing.TB, create ...string) *department {
	t.Helper()
	return departmentAt(t, sqldbtest.NewPostgresSchema(t), create...)
}

func departmentAt(t testing.TB, dsn string, create ...string) *department {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	d := &department{DB: sqldbtest.Open(t, dsn).DB, dsn: dsn, schema: u.Query().Get("search_path")}
	d.slot = "slot_" + d.schema
	t.Cleanup(func() {
		d.dropSlot(t)
		if _, err := d.ExecContext(context.WithoutCancel(t.Context()), `DROP PUBLICATION IF EXISTS `+d.slot); err != nil {
			t.Errorf("drop publication: %v", err)
		}
	})
	for _, statement := range create {
		d.exec(t, statement)
	}
	return d
}

// dropSlot waits until the server has noticed that the slot's client is gone.
func (d *department) dropSlot(t testing.TB) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err = d.ExecContext(context.WithoutCancel(t.Context()), `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, d.slot); err == nil {
			return
		}
	}
	t.Errorf("drop slot: %v", err)
}

func (d *department) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// definition reads columns of the table people, of which the first is the key.
func (d *department) definition(columns ...string) connectors.Definition {
	if len(columns) == 0 {
		columns = []string{"id", "name"}
	}
	def := connectors.Definition{
		Name: "test/log", Resource: "test.people", Kind: connectors.KindLog, Interval: 10 * time.Millisecond, Batch: 100,
		Log: &connectors.Log{
			Driver: "postgres", DSNFile: filepath.Join(os.TempDir(), "absent"), Table: "people", Key: columns[:1],
			Slot: d.slot, Publication: d.slot, Heartbeat: 10 * time.Second, MaxRetained: 10 << 30,
		},
		Map: connectors.Mapping{Key: columns[:1], Timezone: time.UTC},
	}
	for _, c := range columns {
		def.Map.Fields = append(def.Map.Fields, connectors.Field{From: c, To: c, Type: connectors.String})
	}
	return def
}

// construct makes a source of a definition; its DSN file leads to the department.
func (d *department) construct(t testing.TB, def connectors.Definition) *source {
	t.Helper()
	if _, err := os.Stat(def.Log.DSNFile); err != nil {
		def.Log.DSNFile = secret(t, d.dsn)
	}
	src, err := New(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return src.(*source)
}

// follow makes and opens a source.
func (d *department) follow(t testing.TB, def connectors.Definition, after json.RawMessage) *source {
	t.Helper()
	src := d.construct(t, def)
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	return src
}

// drain reads until the source is caught up.
func drain(t testing.TB, src *source) []connectors.Batch {
	t.Helper()
	var batches []connectors.Batch
	for {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			return batches
		}
		if err != nil {
			t.Fatalf("Read after %d batches: %v", len(batches), err)
		}
		batches = append(batches, batch)
	}
}

// withRows reads until there are rows; a source with a short heartbeat is never caught up for long.
func withRows(t testing.TB, src *source) connectors.Batch {
	t.Helper()
	for {
		batch, err := src.Read(t.Context())
		if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
			t.Fatal(err)
		}
		if len(batch.Rows) > 0 {
			return batch
		}
	}
}

func rowsOf(batches []connectors.Batch) []connectors.Row {
	var rows []connectors.Row
	for _, b := range batches {
		rows = append(rows, b.Rows...)
	}
	return rows
}

// texts shows rows as "operation a,b"; a null is "-".
func texts(rows []connectors.Row) []string {
	var all []string
	for _, row := range rows {
		var values []string
		for _, v := range row.Values {
			if v.Null {
				v.Text = "-"
			}
			values = append(values, v.Text)
		}
		line := strings.Join(values, ",")
		if row.Operation != "" {
			line = string(row.Operation) + " " + line
		}
		if row.Rejection != nil {
			line = "rejected: " + row.Rejection.Rule
		}
		all = append(all, line)
	}
	return all
}

// state is what remains of rows by key, the newest ChangedAt winning.
type state map[string]connectors.Row

// merge takes rows in, as the exchange does, and complains about instants that do not order what was handed on.
func (s state) merge(t testing.TB, rows []connectors.Row) {
	t.Helper()
	for _, row := range rows {
		if row.Rejection != nil {
			t.Fatalf("rejected: %+v", *row.Rejection)
		}
		if before, there := s[join(row.Key)]; !there || !row.ChangedAt.Before(before.ChangedAt) {
			s[join(row.Key)] = row
		}
	}
}

// compare compares the state with the table, by the texts of all columns.
func (s state) compare(t testing.TB, d *department, columns ...string) {
	t.Helper()
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = fmt.Sprintf("coalesce(%s::text, '-')", c)
	}
	rows, err := d.QueryContext(t.Context(), `SELECT `+columns[0]+`::text, concat_ws(',', `+strings.Join(list, ", ")+`) FROM people`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n, faults := 0, 0
	complain := func(format string, args ...any) {
		if faults++; faults < 10 {
			t.Errorf(format, args...)
		}
	}
	for rows.Next() {
		var key, want string
		if err := rows.Scan(&key, &want); err != nil {
			t.Fatal(err)
		}
		n++
		row, there := s[key]
		switch {
		case !there || row.Operation != "":
			complain("%s is missing (%s)", key, row.Operation)
		case texts([]connectors.Row{row})[0] != want:
			complain("%s is %.100q; want %.100q", key, texts([]connectors.Row{row})[0], want)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	live := 0
	for _, row := range s {
		if row.Operation == "" {
			live++
		}
	}
	if live != n {
		complain("%d rows; want %d", live, n)
	}
	if faults > 0 {
		t.Fatalf("%d differences", faults)
	}
}

func expectTexts(t testing.TB, rows []connectors.Row, want ...string) {
	t.Helper()
	if got := texts(rows); fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(want) {
		t.Fatalf("rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// expectFault checks the code of an error, and words that must be in it.
func expectFault(t testing.TB, err error, code connectors.FaultCode, words ...string) {
	t.Helper()
	var fault *connectors.Fault
	if !errors.As(err, &fault) || fault.Code != code {
		t.Fatalf("error %v; want code %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q has no %q", err, word)
		}
	}
}

func secret(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dep.dsn")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
