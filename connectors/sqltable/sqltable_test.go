package sqltable

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

func TestSQLiteSuite(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		db, dsnFile := sqliteFile(t)
		return system(t, db, "sqlite", dsnFile, func(t *testing.T) func() {
			exec(t, db, `ALTER TABLE people RENAME TO elsewhere`)
			return func() { exec(t, db, `ALTER TABLE elsewhere RENAME TO people`) }
		})
	})
}

func TestPostgresSuite(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		db, dsn := postgresSchema(t)
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		proxy := newProxy(t, u.Host)
		u.Host = proxy.listener.Addr().String()
		return system(t, db, "postgres", secret(t, u.String()), func(*testing.T) func() { return proxy.cut() })
	})
}

// system has a table people whose cursor is a timestamp.
func system(t *testing.T, db *sql.DB, driver, dsnFile string, cut func(*testing.T) func()) connectortest.System {
	exec(t, db, `CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, updated_at TIMESTAMP NOT NULL)`)
	def := connectortest.Definition(connectors.KindSQL)
	def.SQL = &connectors.SQL{Driver: driver, DSNFile: dsnFile, Table: "people", Cursor: "updated_at", Key: []string{"id"}}
	return connectortest.System{
		Definition: def, Construct: New, Cut: cut,
		Append: func(t *testing.T, rows []connectortest.Row) {
			for _, r := range rows {
				exec(t, db, `INSERT INTO people VALUES ($1, $2, $3)`, r.ID, r.Name, r.UpdatedAt)
			}
		},
	}
}

// TestExactValues reads values that a float or a driver's time would damage.
func TestExactValues(t *testing.T) {
	mapping := []string{"d", "f", "b", "at", "day", "blob", "empty"}
	tests := []struct {
		driver, create, insert string
		want                   []string
	}{
		{
			"postgres",
			`CREATE TABLE "Odd ""Name""" (k bigint, c timestamptz, d numeric(38,4), f double precision, b boolean, at timestamp, day date, blob bytea, empty text)`,
			`INSERT INTO "Odd ""Name""" VALUES (9007199254740993, '2025-11-03 08:00:00.123456+08', 1234567890123456789012345678901234.5600, 0.1, true,
				'2025-11-03 08:00:00.000001', '1582-10-10', '\x00ff', NULL)`,
			[]string{"1234567890123456789012345678901234.5600", "0.1", "true", "2025-11-03 08:00:00.000001", "1582-10-10", `\x00ff`, "NULL"},
		},
		{
			"sqlite",
			`CREATE TABLE "Odd ""Name""" (k INTEGER, c TIMESTAMP, d TEXT, f REAL, b BOOLEAN, at DATETIME, day DATE, blob BLOB, empty TEXT)`,
			`INSERT INTO "Odd ""Name""" VALUES (9007199254740993, '2025-11-03 00:00:00.123456+00', '1234567890123456789012345678901234.5600', 1234567890.1, 1,
				'2025-11-03 08:00:00.000001', '1582-10-10', x'00ff', NULL)`,
			[]string{"1234567890123456789012345678901234.5600", "1234567890.1", "1", "2025-11-03 08:00:00.000001", "1582-10-10", `\x00ff`, "NULL"},
		},
	}
	for _, test := range tests {
		t.Run(test.driver, func(t *testing.T) {
			db, dsnFile := database(t, test.driver)
			exec(t, db, test.create)
			exec(t, db, test.insert)
			def := definition(test.driver, dsnFile, mapping...)
			def.SQL.Table, def.SQL.Cursor, def.SQL.Key = `Odd "Name"`, "c", []string{"k"}
			src := opened(t, def, nil)
			batch, err := src.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range batch.Rows[0].Values[:len(test.want)] {
				if v.Null {
					v.Text = "NULL"
				}
				if v.Text != test.want[i] {
					t.Errorf("%s = %q; want %q", mapping[i], v.Text, test.want[i])
				}
			}
			if got, want := batch.Rows[0].Origin, `Odd "Name":9007199254740993`; got != want {
				t.Errorf("origin %q; want %q", got, want)
			}
			if !strings.Contains(string(batch.Position), "00:00:00.123456") || !strings.Contains(string(batch.Position), "9007199254740993") {
				t.Errorf("position %s lost digits", batch.Position)
			}
			if _, err := opened(t, def, batch.Position).Read(t.Context()); !errors.Is(err, connectors.ErrCaughtUp) {
				t.Errorf("behind the only row: %v", err)
			}
		})
	}
}

// TestRefused checks that each disagreement is told in words and with what there is instead.
func TestRefused(t *testing.T) {
	tests := []struct {
		name  string
		alter func(*connectors.Definition)
		want  []string
	}{
		{"table", func(d *connectors.Definition) { d.SQL.Table = "persons" }, []string{`no table "persons"`, "people"}},
		{"column", func(d *connectors.Definition) { d.Map.Fields[1].From = "full_name" }, []string{`no column "full_name"`, `"name"`}},
		{"cursor", func(d *connectors.Definition) { d.SQL.Cursor = `id" --` }, []string{`no column "id\" --"`}},
		{"float cursor", func(d *connectors.Definition) { d.SQL.Cursor = "weight" }, []string{"weight", "exactly"}},
		{"dsn file", func(d *connectors.Definition) { d.SQL.DSNFile = "absent.dsn" }, []string{"absent.dsn"}},
	}
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			db, dsnFile := database(t, driver)
			exec(t, db, `CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, updated_at TIMESTAMP, weight DOUBLE PRECISION)`)
			for _, test := range tests {
				def := definition(driver, dsnFile, "id", "name")
				test.alter(&def)
				src, err := New(def, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				err = src.Open(t.Context(), nil)
				if !errors.Is(err, connectors.ErrRefused) {
					t.Errorf("%s: %v; want ErrRefused", test.name, err)
				}
				for _, part := range test.want {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("%s: %v; want %q in it", test.name, err, part)
					}
				}
				if err := src.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestOrderIsThatOfTheColumns reads rows that share a cursor across batches:
// ordered as text, 10 comes before 9, and rows would be skipped.
func TestOrderIsThatOfTheColumns(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			db, dsnFile := database(t, driver)
			exec(t, db, `CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT, updated_at TIMESTAMP)`)
			const total = 120
			for id := range total {
				exec(t, db, `INSERT INTO people VALUES ($1, 'x', '2025-11-03 08:00:00')`, id)
			}
			def := definition(driver, dsnFile, "id", "name")
			def.Map.Fields = append(def.Map.Fields, connectors.Field{From: "updated_at", To: "updated_at", Type: connectors.String})
			def.Batch = 7
			src := opened(t, def, nil)
			next := 0
			for next < total {
				batch, err := src.Read(t.Context())
				if err != nil {
					t.Fatalf("after %d rows: %v", next, err)
				}
				for _, row := range batch.Rows {
					if row.Values[0].Text != strconv.Itoa(next) {
						t.Fatalf("row %d has the id %s", next, row.Values[0].Text)
					}
					next++
				}
			}
			if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrCaughtUp) {
				t.Errorf("after the last row: %v", err)
			}
		})
	}
}

// TestRowsWithoutCursor checks that unreachable rows are reported after the others were read.
func TestRowsWithoutCursor(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			db, dsnFile := database(t, driver)
			exec(t, db, `CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, updated_at TIMESTAMP)`)
			exec(t, db, `INSERT INTO people VALUES ('a', 'x', '2025-11-03 08:00:00'), ('b', 'y', NULL)`)
			def := definition(driver, dsnFile, "id", "name")
			src := opened(t, def, nil)
			batch, err := src.Read(t.Context())
			if err != nil || len(batch.Rows) != 1 {
				t.Fatalf("%d rows, %v", len(batch.Rows), err)
			}
			if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrRefused) {
				t.Errorf("a row without cursor gave %v", err)
			}
			exec(t, db, `UPDATE people SET updated_at = '2025-11-03 08:00:01' WHERE id = 'b'`)
			if batch, err = opened(t, def, batch.Position).Read(t.Context()); err != nil || len(batch.Rows) != 1 {
				t.Errorf("after it was filled: %d rows, %v", len(batch.Rows), err)
			}
		})
	}
}

// TestReadOnly checks that the source cannot change the department's data.
func TestReadOnly(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			db, dsnFile := database(t, driver)
			exec(t, db, `CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, updated_at TIMESTAMP)`)
			src := opened(t, definition(driver, dsnFile, "id", "name"), nil).(*source)
			tx, err := src.db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO people VALUES ('a', 'b', NULL)`); err == nil {
				t.Error("a row was written")
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{`{"cursor":"2025-11-03 08:00:00.000001","key":"a"}`, `{"cursor":1,"key":-2}`, `{}`, `{"cursor":1e3,"key":null}`, `x`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s source
		err := s.setPosition(json.RawMessage(text))
		switch {
		case err != nil && !errors.Is(err, connectors.ErrPosition):
			t.Fatalf("%q: %v", text, err)
		case err == nil && s.position != nil:
			encoded, err := json.Marshal(s.position)
			if err != nil || s.setPosition(encoded) != nil {
				t.Fatalf("%q became %q: %v", text, encoded, err)
			}
		}
	})
}

func definition(driver, dsnFile string, columns ...string) connectors.Definition {
	def := connectortest.Definition(connectors.KindSQL)
	def.SQL = &connectors.SQL{Driver: driver, DSNFile: dsnFile, Table: "people", Cursor: "updated_at", Key: []string{"id"}}
	def.Map.Fields = nil
	for _, c := range columns {
		def.Map.Fields = append(def.Map.Fields, connectors.Field{From: c, To: c, Type: connectors.String})
	}
	def.Map.EventTime = columns[0]
	return def
}

func opened(t *testing.T, def connectors.Definition, after json.RawMessage) connectors.Source {
	t.Helper()
	src, err := New(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return src
}

func database(t *testing.T, driver string) (db *sql.DB, dsnFile string) {
	t.Helper()
	if driver == "sqlite" {
		return sqliteFile(t)
	}
	db, dsn := postgresSchema(t)
	return db, secret(t, dsn)
}

func sqliteFile(t *testing.T) (db *sql.DB, dsnFile string) {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "dep.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	dsnFile = filepath.Join(dir, "dep.dsn")
	if err := os.WriteFile(dsnFile, []byte("sqlite:dep.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return db, dsnFile
}

// postgresSchema makes a schema of its own and returns a URL that leads into it.
func postgresSchema(t *testing.T) (db *sql.DB, dsn string) {
	t.Helper()
	dsn = sqldbtest.NewPostgresSchema(t)
	return sqldbtest.Open(t, dsn).DB, dsn
}

func secret(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dep.dsn")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// proxy stands between the source and the database and can cut their connections.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target}
	var wg sync.WaitGroup
	wg.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		wg.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).Dial("tcp", p.target)
		p.mu.Lock()
		if err != nil || p.down {
			_ = client.Close()
			if server != nil {
				_ = server.Close()
			}
		} else {
			p.conns = append(p.conns, client, server)
			go func() { _, _ = io.Copy(server, client) }()
			go func() { _, _ = io.Copy(client, server) }()
		}
		p.mu.Unlock()
	}
}

func (p *proxy) cut() (mend func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.down = false
	}
}
