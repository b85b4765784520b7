package sqltable

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// department is an empty database of a department, which the test may change.
type department struct {
	*sql.DB
	driver  string
	dsn     string
	dsnFile string
}

// departments runs a test on every database that there is.
func departments(t *testing.T, test func(t *testing.T, db department)) {
	t.Helper()
	for _, driver := range []string{"sqlite", "postgres", "mariadb"} {
		t.Run(driver, func(t *testing.T) { test(t, newDepartment(t, driver)) })
	}
}

// servers runs a test on the databases that are servers.
func servers(t *testing.T, test func(t *testing.T, db department)) {
	t.Helper()
	for _, driver := range []string{"postgres", "mariadb"} {
		t.Run(driver, func(t *testing.T) { test(t, newDepartment(t, driver)) })
	}
}

func newDepartment(t testing.TB, driver string) department {
	t.Helper()
	switch driver {
	case "sqlite":
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
		d := department{DB: db, driver: driver, dsn: "sqlite:dep.db", dsnFile: filepath.Join(dir, "dep.dsn")}
		if err := os.WriteFile(d.dsnFile, []byte(d.dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.run(t, "CREATE TABLE beside (a int)")
		return d
	case "mariadb":
		db, dsn := mariaDatabase(t)
		return department{DB: db, driver: driver, dsn: dsn, dsnFile: secret(t, dsn)}
	}
	dsn := sqldbtest.NewPostgresSchema(t)
	return department{DB: sqldbtest.Open(t, dsn).DB, driver: driver, dsn: dsn, dsnFile: secret(t, dsn)}
}

// mariaDatabase makes a database of its own in the MariaDB of the tests.
func mariaDatabase(t testing.TB) (db *sql.DB, dsn string) {
	t.Helper()
	base := os.Getenv("ONEWINDOW_TEST_MARIADB")
	if base == "" {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal("MariaDB is required: set ONEWINDOW_TEST_MARIADB to its URL (make test starts one)")
		}
		t.Skip("MariaDB: ONEWINDOW_TEST_MARIADB is not set (make test starts one)")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("ONEWINDOW_TEST_MARIADB: %v", err)
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails: crypto/rand aborts instead
	name := "test_" + hex.EncodeToString(random)
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User = "tcp", u.Host, u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.InterpolateParams = true
	admin := openMaria(t, config)
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	config.DBName = name
	u.Path = "/" + name
	return openMaria(t, config), u.String()
}

func openMaria(t testing.TB, config *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// run executes statements, in which $1 is written for parameters.
func (d department) run(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.ExecContext(t.Context(), d.adapt(query), args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// adapt writes ? for $1, $2 … where the database wants it.
func (d department) adapt(query string) string {
	if d.driver == "mariadb" {
		for _, n := range []string{"$1", "$2", "$3", "$4", "$5"} {
			query = strings.ReplaceAll(query, n, "?")
		}
	}
	return query
}

func secret(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dep.dsn")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (d department) table(t testing.TB, cfg TableConfig) *Table {
	t.Helper()
	cfg.Driver, cfg.DSNFile = d.driver, d.dsnFile
	if cfg.Mapped == 0 {
		cfg.Mapped = len(cfg.Columns)
	}
	table, err := OpenTable(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

// all reads a table chunk by chunk.
func all(t testing.TB, table *Table, r connectors.KeyRange, limit int) []connectors.Row {
	t.Helper()
	var rows []connectors.Row
	var after []string
	for {
		chunk, err := table.Chunk(t.Context(), r, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk) == 0 {
			return rows
		}
		rows, after = append(rows, chunk...), chunk[len(chunk)-1].Key
		if len(rows) > 1_000_000 {
			t.Fatal("the table does not end")
		}
	}
}
