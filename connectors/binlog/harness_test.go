package binlog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

// department is an empty database of a department, which the test may change.
type department struct {
	*sql.DB
	url  *url.URL
	name string
}

// newDepartment makes a database of its own in the MariaDB of the tests.
func newDepartment(t testing.TB) department {
	t.Helper()
	base := os.Getenv("ONEWINDOW_TEST_MARIADB")
	if base == "" {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal("MariaDB is required: set ONEWINDOW_TEST_MARIADB to its URL (make test starts one)")
		}
		t.Skip("MariaDB: ONEWINDOW_TEST_MARIADB is not set (make test starts one)")
	}
	return databaseAt(t, base)
}

func databaseAt(t testing.TB, base string) department {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("the URL of MariaDB: %v", err)
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails: crypto/rand aborts instead
	name := "test_" + hex.EncodeToString(random)
	admin := openURL(t, u)
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name) }) // a test may have ended the server
	u.Path = "/" + name
	return department{DB: openURL(t, u), url: u, name: name}
}

func openURL(t testing.TB, u *url.URL) *sql.DB {
	t.Helper()
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.InterpolateParams = "tcp", u.Host, u.User.Username(), true
	if u.Path != "" && u.Path != "/onewindow" {
		config.DBName = u.Path[1:]
	}
	if err := config.Apply(mysql.Charset("utf8mb4", "")); err != nil { // servers of tests may ignore the handshake
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (d department) run(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
}

// secret writes the URL, or another one, to a file.
func secret(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dep.dsn")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// definition follows a table by its column id; columns are mapped as they are.
func (d department) definition(t testing.TB, table string, columns ...string) connectors.Definition {
	t.Helper()
	def := connectortest.Definition(connectors.KindLog)
	def.Log = &connectors.Log{
		Driver: "mariadb", DSNFile: secret(t, d.url.String()), Table: table, Key: []string{columns[0]},
		ServerID: 1000 + mathrand.Uint32N(1<<31), Heartbeat: 10 * time.Second,
	}
	def.Map = connectors.Mapping{Key: []string{columns[0]}, EventTime: columns[0], Timezone: time.UTC}
	for _, c := range columns {
		def.Map.Fields = append(def.Map.Fields, connectors.Field{From: c, To: c, Type: connectors.String})
	}
	return def
}

func construct(t testing.TB, def connectors.Definition) *source {
	t.Helper()
	src, err := New(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return src.(*source)
}

func opened(t testing.TB, def connectors.Definition, after json.RawMessage) *source {
	t.Helper()
	src := construct(t, def)
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatalf("Open: %v", err)
	}
	return src
}

// readAll reads until the source is caught up.
func readAll(t testing.TB, src connectors.Source) []connectors.Batch {
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

func rowsOf(batches []connectors.Batch) []connectors.Row {
	var rows []connectors.Row
	for _, b := range batches {
		rows = append(rows, b.Rows...)
	}
	return rows
}

// code is that of the fault that err is; it must be one.
func code(t testing.TB, err error) connectors.FaultCode {
	t.Helper()
	var f *connectors.Fault
	if !errors.As(err, &f) {
		t.Fatalf("%v is no fault", err)
	}
	return f.Code
}
