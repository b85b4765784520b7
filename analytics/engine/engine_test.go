package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// shared is the engine of this test process: libchdb holds one folder per
// process, so TestMain opens it and every test has a database of its own.
var (
	shared    *Engine
	sharedCfg Config
	databases atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if role := os.Getenv("ENGINE_TEST_CHILD"); role != "" {
		return child(role)
	}
	library, err := FindLibrary(os.Getenv("ONEWINDOW_LIBCHDB"), ".")
	if errors.Is(err, ErrLibraryMissing) && os.Getenv("ONEWINDOW_TEST_REQUIRE") != "1" {
		fmt.Fprintln(os.Stderr, "only parsing is tested:", err)
		return m.Run()
	}
	dir, tempErr := os.MkdirTemp("", "engine-test-")
	if err == nil {
		err = tempErr
	}
	if err == nil {
		sharedCfg = Config{Library: library, Dir: dir}
		shared, err = Open(context.Background(), sharedCfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(shared.Close(), os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// options are those a caller of this package uses; url is empty in process.
func options(e *Engine, url, database string) *clickhouse.Options {
	o := &clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{"engine.invalid:8123"},
		Auth: clickhouse.Auth{Database: database},
	}
	if url != "" {
		o.Addr = []string{strings.TrimPrefix(url, "http://")}
	} else {
		o.TransportFunc = func(*http.Transport) (http.RoundTripper, error) { return e.RoundTripper(), nil }
	}
	return o
}

// connect returns a client in a new database of the shared engine.
func connect(t testing.TB, url string) driver.Conn {
	t.Helper()
	if shared == nil {
		t.Skip("libchdb is missing: run `npm ci` in analytics/engine")
	}
	database := fmt.Sprintf("test_%d", databases.Add(1))
	admin := dial(t, options(shared, url, ""))
	execute(t, admin, "CREATE DATABASE "+database)
	t.Cleanup(func() {
		if err := admin.Exec(context.Background(), "DROP DATABASE "+database+" SYNC"); err != nil {
			t.Error(err)
		}
	})
	return dial(t, options(shared, url, database))
}

func dial(t testing.TB, o *clickhouse.Options) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// port serves the shared engine on a free port.
func port(t testing.TB) string {
	t.Helper()
	if shared == nil {
		t.Skip("libchdb is missing: run `npm ci` in analytics/engine")
	}
	server := httptest.NewServer(shared)
	t.Cleanup(server.Close)
	return server.URL
}

func execute(t testing.TB, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// scalar returns the one value of a query as text.
func scalar(t testing.TB, conn driver.Conn, query string, args ...any) string {
	t.Helper()
	var text string
	if err := conn.QueryRow(t.Context(), "SELECT toString(("+query+"))", args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}
