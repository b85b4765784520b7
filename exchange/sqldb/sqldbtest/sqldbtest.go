// Package sqldbtest runs a test against every kind of state database: SQLite
// always, PostgreSQL when ONEWINDOW_TEST_POSTGRES has its URL. Without it the
// PostgreSQL half is skipped by name, or fails when ONEWINDOW_TEST_REQUIRE=1.
package sqldbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// Each runs test once per kind of database, as a sub-test. open returns a
// handle on the same, at first empty, database each time it is called; it is
// closed when the test ends.
func Each(t *testing.T, test func(t *testing.T, open func() *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state.db")
		test(t, func() *sqldb.DB { return Open(t, "sqlite:"+file) })
	})
	t.Run("postgres", func(t *testing.T) {
		address := NewPostgresSchema(t)
		test(t, func() *sqldb.DB { return Open(t, address) })
	})
}

// NewPostgresSchema makes an empty schema in the PostgreSQL of the tests and
// returns the URL that selects it; the schema is dropped when the test ends.
func NewPostgresSchema(t testing.TB) string {
	t.Helper()
	base := os.Getenv("ONEWINDOW_TEST_POSTGRES")
	if base == "" {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal("PostgreSQL is required: set ONEWINDOW_TEST_POSTGRES to its URL (make test starts one)")
		}
		t.Skip("PostgreSQL: ONEWINDOW_TEST_POSTGRES is not set (make test starts one)")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("ONEWINDOW_TEST_POSTGRES: %v", err)
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails: crypto/rand aborts instead
	schema := "test_" + hex.EncodeToString(random)
	admin := Open(t, base)
	if _, err := admin.ExecContext(t.Context(), `CREATE SCHEMA `+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := admin.ExecContext(ctx, fmt.Sprintf(`DROP SCHEMA %s CASCADE`, schema)); err != nil {
			t.Errorf("drop schema: %v", err)
		}
	})
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// Open opens a database and closes it when the test ends.
func Open(t testing.TB, address string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}
