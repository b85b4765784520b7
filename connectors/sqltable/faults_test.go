package sqltable

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange"
)

// expectFault checks the code of a fault and that its message has the parts.
func expectFault(t *testing.T, err error, code connectors.FaultCode, parts ...string) {
	t.Helper()
	var f *connectors.Fault
	if !errors.As(err, &f) || f.Code != code {
		t.Errorf("%v; want %s", err, code)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v; want %q in it", err, part)
		}
	}
}

// user makes a user of the database who may read people, and returns the file with its URL.
func (d department) user(t *testing.T, password string) (name, dsnFile string) {
	t.Helper()
	u, err := url.Parse(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails: crypto/rand aborts instead
	name = "test_" + hex.EncodeToString(random)
	if d.driver == "mariadb" {
		d.run(t, "CREATE USER "+name+" IDENTIFIED BY '"+password+"'")
		d.run(t, "GRANT SELECT ON people TO "+name)
	} else {
		schema := u.Query().Get("search_path")
		d.run(t, "CREATE ROLE "+name+" LOGIN")
		d.run(t, "GRANT USAGE ON SCHEMA "+schema+" TO "+name)
		d.run(t, "GRANT SELECT ON people TO "+name)
	}
	t.Cleanup(func() {
		for _, drop := range map[string][]string{"mariadb": {"DROP USER " + name}, "postgres": {"DROP OWNED BY " + name, "DROP ROLE " + name}}[d.driver] {
			if _, err := d.ExecContext(context.WithoutCancel(t.Context()), drop); err != nil {
				t.Error(err)
			}
		}
	})
	u.User = url.UserPassword(name, password)
	return name, secret(t, u.String())
}

// TestFaultsOfOpening checks that each disagreement is told in words and with what there is instead.
func TestFaultsOfOpening(t *testing.T) {
	tests := []struct {
		name  string
		alter func(*connectors.Definition)
		code  connectors.FaultCode
		want  []string
	}{
		{"table", func(d *connectors.Definition) { d.SQL.Table = "persons" }, connectors.FaultTable, []string{`no table "persons"`, "people"}},
		{"column", func(d *connectors.Definition) { d.Map.Fields[1].From = "full_name" }, connectors.FaultColumn, []string{`no column "full_name"`, `"name"`}},
		{"cursor", func(d *connectors.Definition) { d.SQL.Cursor = "id` \" --" }, connectors.FaultColumn, []string{`no column "id`}},
		{"float cursor", func(d *connectors.Definition) { d.SQL.Cursor = "weight" }, connectors.FaultColumn, []string{"weight", "exactly"}},
		{"dsn file", func(d *connectors.Definition) { d.SQL.DSNFile = "absent.dsn" }, connectors.FaultSecret, []string{"absent.dsn"}},
		{"charset", func(d *connectors.Definition) { d.SQL.Charset = "ebcdic" }, connectors.FaultColumn, []string{"name", "ebcdic"}},
	}
	departments(t, func(t *testing.T, db department) {
		db.people(t, "VARCHAR(20)")
		for _, test := range tests {
			def := db.definition("id", "name")
			test.alter(&def)
			err := made(t, def).Open(t.Context(), nil)
			expectFault(t, err, test.code, test.want...)
			if !errors.Is(err, connectors.ErrRefused) {
				t.Errorf("%s: %v; want ErrRefused", test.name, err)
			}
			expectFault(t, made(t, def).Scan(t.Context(), connectors.KeyRange{}, nil), test.code, test.want...)
		}
		def := db.definition("id", "absent")
		def.SQL.Cursor = "weight"
		err := made(t, def).Scan(t.Context(), connectors.KeyRange{}, nil)
		for _, part := range []string{"absent", "weight", "exactly"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("all faults at once: %v; want %q in it", err, part)
			}
		}
	})
}

// TestFaultsOfConnecting has wrong passwords, databases, hosts and URLs, none of which shows the password.
func TestFaultsOfConnecting(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		const password = "s3cr3t-passw0rd"
		u, err := url.Parse(db.dsn)
		if err != nil {
			t.Fatal(err)
		}
		change := func(alter func(u *url.URL)) string {
			changed := *u
			alter(&changed)
			return changed.String()
		}
		wrongUser := "guarded" // the role of the test server that needs a password
		if db.driver == "mariadb" {
			wrongUser, _ = db.user(t, "right")
		}
		for _, test := range []struct {
			name, dsn string
			code      connectors.FaultCode
			kind      error
		}{
			{"password", change(func(u *url.URL) { u.User = url.UserPassword(wrongUser, password) }), connectors.FaultCredentials, connectors.ErrRefused},
			{"database", change(func(u *url.URL) { u.Path = "/nowhere" }), connectors.FaultTable, connectors.ErrRefused},
			{"host", change(func(u *url.URL) { u.Host, u.User = "127.0.0.1:1", url.UserPassword("x", password) }), connectors.FaultUnreachable, connectors.ErrNotConnected},
			{"URL", "postgres:/" + password + "@:x", connectors.FaultSecret, connectors.ErrRefused},
			{"port", change(func(u *url.URL) { u.User = url.UserPassword("x", password) }) + "%zz", connectors.FaultSecret, connectors.ErrRefused},
		} {
			def := db.definition()
			def.SQL.DSNFile = secret(t, test.dsn)
			err := made(t, def).Open(t.Context(), nil)
			expectFault(t, err, test.code, "dsn")
			if !errors.Is(err, test.kind) || strings.Contains(err.Error(), password) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

// TestRightTakenAway takes the right to read away and gives it back.
func TestRightTakenAway(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL)`)
		name, dsnFile := db.user(t, "right")
		def := db.definition()
		def.SQL.DSNFile = dsnFile
		src := opened(t, def, nil)
		got, position := rest(t, src)
		expectKeys(t, "before", got, "1")
		db.run(t, "REVOKE SELECT ON people FROM "+name)
		db.run(t, `INSERT INTO people VALUES (2, 'x', '2025-11-03 08:00:01', NULL)`)
		_, err := src.Read(t.Context())
		expectFault(t, err, connectors.FaultRight, "people", "grant SELECT")
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		expectFault(t, src.Open(t.Context(), position), connectors.FaultRight, "people")
		db.run(t, "GRANT SELECT ON people TO "+name)
		got, _ = rest(t, opened(t, def, position))
		expectKeys(t, "after it was granted again", got, "2")
	})
}

// TestTableDropped drops a column, and the table, between two reads.
func TestTableDropped(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		src := opened(t, db.definition(), nil)
		db.run(t, `ALTER TABLE people DROP COLUMN name`)
		_, err := src.Read(t.Context())
		expectFault(t, err, connectors.FaultColumn, "people", "name")
		if columns, err := made(t, db.definition()).Columns(t.Context()); err != nil || len(columns) != 3 || columns[0].Name != "id" {
			t.Errorf("without a column that is mapped: %+v, %v", columns, err)
		}
		db.run(t, `ALTER TABLE people ADD COLUMN name VARCHAR(40)`)
		src = opened(t, db.definition(), nil)
		db.run(t, `DROP TABLE people`)
		_, err = src.Read(t.Context())
		expectFault(t, err, connectors.FaultTable, "people")
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL)`)
		got, _ := rest(t, opened(t, db.definition(), nil))
		expectKeys(t, "after it was restored", got, "1")
	})
}

// TestTooSlow reads a view that takes longer than the limit, which the server itself keeps.
func TestTooSlow(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL)`)
		sleep := map[string]string{"postgres": "pg_sleep(20)::text", "mariadb": "SLEEP(20)"}[db.driver]
		db.run(t, `CREATE VIEW slow AS SELECT id, name, updated_at, `+sleep+` AS s FROM people`)
		def := db.definition("id", "s")
		def.SQL.Table = "slow"
		def.Limits.QueryTime = 300 * time.Millisecond
		src := opened(t, def, nil)
		_, err := src.Read(t.Context())
		expectFault(t, err, connectors.FaultSlow, "slow", "updated_at, id", "query_time")
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("we gave up before the server did: %v", err)
		}
		// A query with a limit of its own, which does not stay.
		table := db.table(t, TableConfig{Table: "people", Key: []string{"id"}, Columns: []string{"id"}})
		for _, test := range []struct {
			sleep string
			limit time.Duration
			slow  bool
		}{{"0", 300 * time.Millisecond, false}, {"0.5", 0, false}, {"20", 300 * time.Millisecond, true}, {"0.5", 0, false}} {
			function := map[string]string{"postgres": "pg_sleep", "mariadb": "SLEEP"}[db.driver]
			err := table.run(t.Context(), "reading", statement{text: "SELECT " + function + "(" + test.sleep + ")", limit: test.limit}, func([][]byte) error { return nil })
			if test.slow {
				expectFault(t, err, connectors.FaultSlow)
			}
			if (err != nil) != test.slow || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v: %v", test, err)
			}
		}
	})
}

// TestServerAway cuts the connection and finds the table again on the same Table once the server is back.
func TestServerAway(t *testing.T) {
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		db.run(t, `INSERT INTO people VALUES (1, 'x', '2025-11-03 08:00:00', NULL)`)
		u, err := url.Parse(db.dsn)
		if err != nil {
			t.Fatal(err)
		}
		proxy := connectortest.NewProxy(t, u.Host)
		u.Host = proxy.Address()
		db.dsnFile = secret(t, u.String())
		table := db.table(t, TableConfig{Table: "people", Key: []string{"id"}, Columns: []string{"name"}})
		mend := proxy.Cut()
		for range 2 {
			_, err = table.Chunk(t.Context(), connectors.KeyRange{}, nil, 10)
			expectFault(t, err, connectors.FaultUnreachable, "people")
		}
		mend()
		if rows := all(t, table, connectors.KeyRange{}, 10); len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

// TestLongRows rejects rows beyond the limit of a row, and names what is beyond the limit of memory.
func TestLongRows(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		text := map[string]string{"postgres": "TEXT", "mariadb": "LONGTEXT", "sqlite": "TEXT"}[db.driver]
		db.run(t, `CREATE TABLE people (id INTEGER PRIMARY KEY, name `+text+`)`)
		for id, size := range []int{10, connectors.MaxRowBytes + 1, 10} {
			db.run(t, `INSERT INTO people VALUES ($1, $2)`, id, strings.Repeat("x", size))
		}
		rows := all(t, db.table(t, TableConfig{Table: "people", Key: []string{"id"}, Columns: []string{"id", "name"}}), connectors.KeyRange{}, 10)
		if len(rows) != 3 || rows[0].Rejection != nil || rows[2].Rejection != nil || rows[1].Rejection == nil ||
			rows[1].Rejection.Rule != exchange.RuleMalformed || len(rows[1].Raw) != connectors.RowHead || rows[1].Key[0] != "1" {
			t.Errorf("%d rows, the long one %+v", len(rows), rows[1].Rejection)
		}
		if db.driver != "postgres" {
			return
		}
		db.run(t, `INSERT INTO people VALUES (3, repeat('x', $1))`, maxMessage+1)
		table := db.table(t, TableConfig{Table: "people", Key: []string{"id"}, Columns: []string{"id", "name"}})
		_, err := table.Chunk(t.Context(), connectors.KeyRange{}, []string{"2"}, 10)
		expectFault(t, err, connectors.FaultTooLarge, "48 MiB")
	})
}

// TestFaultsOfSQLiteFiles has a file that is not there, and one that is no database.
func TestFaultsOfSQLiteFiles(t *testing.T) {
	db := newDepartment(t, "sqlite")
	def := db.definition()
	def.SQL.DSNFile = secret(t, "sqlite:"+filepath.Join(t.TempDir(), "absent.db"))
	expectFault(t, made(t, def).Open(t.Context(), nil), connectors.FaultUnreachable, "dsn")
	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(other, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	def.SQL.DSNFile = secret(t, other)
	expectFault(t, made(t, def).Open(t.Context(), nil), connectors.FaultBroken, "no SQLite database")
}

// TestOtherServersAreNamed has ports at which another program answers: the fault names it, whatever its bytes look like to the driver.
func TestOtherServersAreNamed(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	servers(t, func(t *testing.T, db department) {
		db.people(t, "INTEGER")
		u, err := url.Parse(db.dsn)
		if err != nil {
			t.Fatal(err)
		}
		beside, _, _ := strings.Cut(os.Getenv("ONEWINDOW_TEST_SFTP"), " ")
		if db.driver == "postgres" {
			other, err := url.Parse(os.Getenv("ONEWINDOW_TEST_MARIADB"))
			if err != nil {
				t.Fatal(err)
			}
			beside = other.Host
		}
		for host, word := range map[string]string{
			web.Listener.Addr().String(): "an HTTP server",
			beside:                       map[string]string{"postgres": "a MySQL or MariaDB database", "mariadb": "an SSH server"}[db.driver],
		} {
			if host == "" {
				continue // that server does not run
			}
			changed := *u
			changed.Host = host
			def := db.definition()
			def.SQL.DSNFile = secret(t, changed.String())
			expectFault(t, made(t, def).Open(t.Context(), nil), connectors.FaultNotThis, word, db.driver)
		}
	})
}
