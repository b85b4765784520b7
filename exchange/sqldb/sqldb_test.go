package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

var counterSchema = fstest.MapFS{
	"001_counter.sql": {Data: []byte("CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL, body BYTEA);\nINSERT INTO counter VALUES ('a', 0, NULL);\n")},
}

func TestMigrateIsAppliedOnceAndRefusesANewerDatabase(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		ctx := t.Context()
		for range 2 { // a second start applies nothing again
			if err := open().Migrate(ctx, "test", counterSchema); err != nil {
				t.Fatal(err)
			}
		}
		newer := fstest.MapFS{"001_counter.sql": counterSchema["001_counter.sql"], "002_more.sql": {Data: []byte("CREATE TABLE more (x BIGINT);\n")}}
		if err := open().Migrate(ctx, "test", newer); err != nil {
			t.Fatal(err)
		}
		if err := open().Migrate(ctx, "test", counterSchema); !errors.Is(err, sqldb.ErrSchema) {
			t.Fatalf("an older program on a newer database: got %v, want ErrSchema", err)
		}
	})
}

// Processes that start at the same instant on an empty database, each with a
// connection pool of its own: without turns, CREATE TABLE of two of them
// collides.
func TestMigrationsOfManyProcessesTakeTurns(t *testing.T) {
	address := sqldbtest.NewPostgresSchema(t)
	const processes = 6
	dbs := make([]*sqldb.DB, processes)
	for i := range dbs {
		dbs[i] = sqldbtest.Open(t, address)
	}
	start := make(chan struct{})
	failures := make(chan error, processes)
	for _, db := range dbs {
		go func() {
			<-start
			failures <- db.Migrate(t.Context(), "test", counterSchema)
		}()
	}
	close(start)
	for range processes {
		if err := <-failures; err != nil {
			t.Errorf("migrate: %v", err)
		}
	}
	var rows int
	if err := dbs[0].QueryRowContext(t.Context(), `SELECT count(*) FROM counter`).Scan(&rows); err != nil || rows != 1 {
		t.Fatalf("%d rows, error %v; want the one row of the one migration", rows, err)
	}
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		broken := fstest.MapFS{"001_broken.sql": {Data: []byte("CREATE TABLE half (x BIGINT);\nCREATE TABLE half (x BIGINT);\n")}}
		db := open()
		if err := db.Migrate(t.Context(), "test", broken); err == nil {
			t.Fatal("a broken migration was accepted")
		}
		if _, err := db.ExecContext(t.Context(), `SELECT x FROM half`); err == nil {
			t.Fatal("the first statement of a failed migration stayed")
		}
	})
}

func TestInTxLosesNoUpdateUnderContention(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		ctx := t.Context()
		db := open()
		if err := db.Migrate(ctx, "test", counterSchema); err != nil {
			t.Fatal(err)
		}
		const workers, rounds = 4, 5
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range rounds {
					if err := db.InTx(ctx, increment(ctx)); err != nil {
						t.Errorf("increment: %v", err)
					}
				}
			})
		}
		wg.Wait()
		var value int64
		if err := db.QueryRowContext(ctx, `SELECT value FROM counter WHERE name = $1`, "a").Scan(&value); err != nil {
			t.Fatal(err)
		}
		if value != workers*rounds {
			t.Fatalf("counter is %d after %d increments", value, workers*rounds)
		}
	})
}

// increment reads and writes in two statements, so that a lost update would show.
func increment(ctx context.Context) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		var value int64
		if err := tx.QueryRowContext(ctx, `SELECT value FROM counter WHERE name = 'a'`).Scan(&value); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE counter SET value = $1, body = $2 WHERE name = 'a'`, value+1, []byte{0, 255})
		return err
	}
}

func TestInTxRollsBack(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		ctx := t.Context()
		db := open()
		if err := db.Migrate(ctx, "test", counterSchema); err != nil {
			t.Fatal(err)
		}
		sentinel := errors.New("stop")
		err := db.InTx(ctx, func(tx *sql.Tx) error {
			if err := increment(ctx)(tx); err != nil {
				return err
			}
			return sentinel
		})
		if !errors.Is(err, sentinel) {
			t.Fatalf("got %v", err)
		}
		var value int64
		if err := db.QueryRowContext(ctx, `SELECT value FROM counter`).Scan(&value); err != nil || value != 0 {
			t.Fatalf("value %d, error %v after a rollback", value, err)
		}
		_, err = db.ExecContext(ctx, `INSERT INTO counter VALUES ('a', 1, NULL)`)
		if !sqldb.Unique(err) {
			t.Fatalf("a second row with the same key: %v is not recognised as a unique violation", err)
		}
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, address := range []string{"", "mysql://x", "postgres://user:secret@127.0.0.1:1/none", "sqlite:/does/not/exist/state.db"} {
		_, err := sqldb.Open(t.Context(), address)
		if !errors.Is(err, sqldb.ErrUnavailable) {
			t.Errorf("Open(%q): got %v, want ErrUnavailable", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): the message shows the password: %v", address, err)
		}
	}
}
