package pglog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

// cluster is a PostgreSQL of the test's own, whose settings may be changed.
type cluster struct {
	dir, port string
	as        *syscall.SysProcAttr
	process   *exec.Cmd
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
		skip = t.Fatalf
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		skip("PostgreSQL of one's own: initdb is not in PATH")
	}
	dir, err := os.MkdirTemp("", "pglog") //nolint:usetesting // t.TempDir lies in folders that another user may not enter
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: dir}
	t.Cleanup(func() {
		c.stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		c.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	command := exec.Command(initdb, "-D", filepath.Join(dir, "data"), "-U", "onewindow", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	command.Dir, command.SysProcAttr = dir, c.as
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, c.port, _ = net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts the server and returns a department in it.
func (c *cluster) start(t *testing.T, settings ...string) *department {
	t.Helper()
	postgres, err := exec.LookPath("postgres")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-D", filepath.Join(c.dir, "data"), "-p", c.port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB",
	}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	var log bytes.Buffer
	c.process = exec.Command(postgres, args...)
	c.process.Dir, c.process.SysProcAttr, c.process.Stderr = c.dir, c.as, &log
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	dsn := (&url.URL{Scheme: "postgres", User: url.User("onewindow"), Host: "127.0.0.1:" + c.port, Path: "/postgres", RawQuery: "sslmode=disable&search_path=public"}).String()
	for end := time.Now().Add(30 * time.Second); ; {
		db, err := sqldb.Open(t.Context(), dsn)
		if err == nil {
			_ = db.Close()
			return departmentAt(t, dsn)
		}
		if time.Now().After(end) {
			t.Fatalf("PostgreSQL does not start: %v\n%s", err, log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *cluster) stop() {
	if c.process != nil {
		_ = c.process.Process.Signal(syscall.SIGQUIT)
		_ = c.process.Wait()
		c.process = nil
	}
}

// TestOwnServer needs settings that a shared server cannot have.
func TestOwnServer(t *testing.T) {
	c := newCluster(t)
	t.Run("changes are not logged", func(t *testing.T) {
		d := c.start(t, "wal_level=replica")
		d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
		expectFault(t, d.construct(t, d.definition()).Open(t.Context(), nil), connectors.FaultLogSettings, "ALTER SYSTEM SET wal_level", "replica")
		d.exec(t, `DROP TABLE people`)
	})
	c.stop()
	d := c.start(t, "wal_level=logical", "max_slot_wal_keep_size=32MB")
	t.Run("slot invalidated", func(t *testing.T) { invalidated(t, d) })
	t.Run("commit that waits for a standby", func(t *testing.T) { limbo(t, d) })
	t.Run("look-up while a commit waits for a standby", func(t *testing.T) { limboLookUp(t, d) })
	t.Run("commit from before the slot that waits for a standby", func(t *testing.T) { limboBefore(t, d) })
	t.Run("all slots taken", func(t *testing.T) {
		d.exec(t, `SELECT pg_create_logical_replication_slot('taken' || g, 'pgoutput') FROM generate_series(1, 10 - (SELECT count(*)::int FROM pg_replication_slots)) g`)
		d.exec(t, `CREATE TABLE IF NOT EXISTS people (id bigint PRIMARY KEY, name text)`)
		def := d.definition()
		def.Log.Slot = "one_more"
		expectFault(t, d.construct(t, def).Open(t.Context(), nil), connectors.FaultLogSettings, "max_replication_slots")
	})
	d.exec(t, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'taken%'`)
}

// invalidated lets the server give the slot up for the sake of its disk.
func invalidated(t *testing.T, d *department) {
	d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	d.exec(t, `INSERT INTO people SELECT g, 'a' FROM generate_series(1, 10) g`)
	src := d.follow(t, d.definition(), nil)
	batches := drain(t, src)
	position := batches[len(batches)-1].Position
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := d.server(t)
	for round := 0; ; round++ {
		found, err := src.findSlot(t.Context(), db)
		if err != nil || round > 50 {
			t.Fatalf("slot %+v after %d rounds: %v", found, round, err)
		}
		if found.broken {
			break
		}
		d.exec(t, fmt.Sprintf(`CREATE TABLE filler%d AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)`, round))
		d.exec(t, `SELECT pg_switch_wal()`)
		d.exec(t, `CHECKPOINT`)
	}
	d.exec(t, `DELETE FROM people WHERE id = 1`)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultSlotLost, "invalidated")
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	batches = drain(t, src)
	if rows := rowsOf(batches); len(rows) != 9 || !batches[0].Gap {
		t.Errorf("%d rows, gap %t; want 9 and a gap", len(rows), batches[0].Gap)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `DROP TABLE people`)
	d.exec(t, `DROP PUBLICATION `+d.slot)
	d.dropSlot(t)
}

// hold lets commits wait for a standby that does not come, until release. What db does does not wait.
func hold(t *testing.T, d *department) (db *server, release func()) {
	t.Helper()
	db = d.server(t)
	set := func(command, want string) {
		for _, query := range []string{command, `SELECT pg_reload_conf()`} {
			if _, err := db.ask(context.WithoutCancel(t.Context()), query); err != nil {
				t.Fatal(err)
			}
		}
		for setting := "not known"; setting != want; {
			row, err := db.one(context.WithoutCancel(t.Context()), `SELECT current_setting('synchronous_standby_names')`)
			if err != nil {
				t.Fatal(err)
			}
			setting = row[0]
		}
	}
	release = sync.OnceFunc(func() { set(`ALTER SYSTEM RESET synchronous_standby_names`, "") })
	t.Cleanup(release) // what hangs would hang for ever
	set(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`, "nobody")
	// It is another process that lets commits wait, from when it has read the setting.
	held := make(chan struct{})
	var probes sync.WaitGroup
	probes.Go(func() {
		for {
			_, _ = d.ExecContext(t.Context(), `SELECT pg_logical_emit_message(true, 'probe', '')`)
			select {
			case <-held:
				return
			default:
			}
		}
	})
	awaitWaiting(t, db, "1")
	close(held)
	if _, err := db.ask(t.Context(), `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`); err != nil {
		t.Fatal(err)
	}
	probes.Wait()
	return db, release
}

// waiting starts a statement whose commit waits for a standby, and returns when it does.
func waiting(t *testing.T, d *department, db *server, statement string) (committed chan error) {
	t.Helper()
	committed = make(chan error, 1)
	go func() {
		_, err := d.ExecContext(t.Context(), statement)
		committed <- err
	}()
	awaitWaiting(t, db, "1")
	return committed
}

// awaitWaiting waits until so many commits wait for a standby.
func awaitWaiting(t *testing.T, db *server, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		row, err := db.one(context.WithoutCancel(t.Context()), `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
		switch {
		case err != nil:
			t.Fatal(err)
		case row[0] == want:
			return
		case time.Now().After(end):
			t.Fatalf("%s commits wait for a standby; want %s", row[0], want)
		}
	}
}

// limboLookUp changes and makes rows that have a value that is not in the log:
// who looks them up before the commit is visible gets an old row, and none.
func limboLookUp(t *testing.T, d *department) {
	d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text, twice bigint GENERATED ALWAYS AS (id * 2) STORED)`)
	d.exec(t, `INSERT INTO people VALUES (1, 'old')`)
	def := d.definition("id", "name", "twice")
	src := d.follow(t, def, nil)
	batches := drain(t, src)
	position := batches[len(batches)-1].Position
	db, release := hold(t, d)
	committed := waiting(t, d, db, `WITH updated AS (UPDATE people SET name = 'new' WHERE id = 1) INSERT INTO people VALUES (2, 'made')`)
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for {
		batch, err := src.Read(soon)
		if err == nil && len(batch.Rows) > 0 {
			t.Fatalf("rows were handed on that nobody can see: %v", texts(batch.Rows))
		}
		if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
			break
		}
	}
	_, err := src.Read(t.Context()) // what was gathered must not be skipped
	expectFault(t, err, connectors.FaultUnreachable, "not open")
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	rows := texts(rowsOf(drain(t, src)))
	slices.Sort(rows) // one statement made both
	if !slices.Equal(rows, []string{"1,new,2", "2,made,4"}) {
		t.Errorf("rows are %v", rows)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `DROP TABLE people`)
	d.exec(t, `DROP PUBLICATION `+d.slot)
	d.dropSlot(t)
}

// limboBefore commits a change that is logged before the slot begins and
// visible only after: it is not in the stream, so chunks must wait for it.
func limboBefore(t *testing.T, d *department) {
	d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	d.exec(t, `INSERT INTO people VALUES (1, 'old'), (2, 'old')`)
	d.exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, d.slot)
	db, release := hold(t, d)
	committed := waiting(t, d, db, `UPDATE people SET name = 'new' WHERE id = 1`)
	if _, err := db.ask(t.Context(), `SELECT pg_replication_slot_advance($1::text, pg_current_wal_flush_lsn())`, d.slot); err != nil {
		t.Fatal(err)
	}
	src := d.follow(t, d.definition(), nil)
	for src.pause < 16*linger { // it is tried less and less often
		if ready, err := src.reread(t.Context(), &batch{}); err != nil || ready || src.chunk != nil {
			t.Fatalf("a chunk was read that has an old row: %v", err)
		}
	}
	release()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	expectTexts(t, rowsOf(drain(t, src)), "1,new", "2,old")
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `DROP TABLE people`)
	d.exec(t, `DROP PUBLICATION `+d.slot)
	d.dropSlot(t)
}

// limbo commits a change that is streamed long before anybody can see it: a
// chunk that is read meanwhile has the old row, and must not be handed on.
func limbo(t *testing.T, d *department) {
	d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	d.exec(t, `INSERT INTO people VALUES (1, 'old'), (2, 'old')`)
	def := d.definition()
	src := d.follow(t, def, nil)
	drain(t, src)
	db, release := hold(t, d)
	committed := waiting(t, d, db, `UPDATE people SET name = 'new' WHERE id = 1`)
	batch := withRows(t, src) // it is streamed although its client still waits
	expectTexts(t, batch.Rows, "1,new")
	if rows, err := db.ask(t.Context(), `SELECT name FROM people WHERE id = 1`); err != nil || rows[0][0] != "old" {
		t.Fatalf("the commit is visible already: %v, %v", rows, err)
	}
	if err := src.Reread(t.Context(), "again", connectors.KeyRange{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if finished, err := src.readChunk(t.Context()); err != nil || finished || src.chunk != nil {
			t.Fatalf("a chunk was read that has an old row: %v", err)
		}
	}
	saved, err := src.at.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := d.follow(t, def, saved) // who opens anew does not know the transaction, but that there is one
	if finished, err := again.readChunk(t.Context()); err != nil || finished || again.chunk != nil {
		t.Fatalf("a chunk was read that has an old row: %v", err)
	}
	release()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	expectTexts(t, rowsOf(drain(t, again)), "1,new", "2,old")
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `DROP TABLE people`)
	d.exec(t, `DROP PUBLICATION `+d.slot)
	d.dropSlot(t)
}
