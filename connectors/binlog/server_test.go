package binlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// newServer starts a MariaDB of its own, for what a shared one must not
// suffer, and returns its URL.
func newServer(t *testing.T, options ...string) string {
	t.Helper()
	daemon, err := exec.LookPath("mariadbd")
	if err != nil {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal("mariadbd is required")
		}
		t.Skip("mariadbd is not installed")
	}
	dir, err := os.MkdirTemp("", "binlog-server") //nolint:usetesting // the test's own folder is closed to the user of the server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // the server refuses to run as root
		owner, err := user.Lookup("mysql")
		if err != nil {
			t.Skip("there is no user mysql")
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	run := func(name string, args ...string) *exec.Cmd {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir, command.SysProcAttr = dir, as
		return command
	}
	data := filepath.Join(dir, "data")
	if out, err := run("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	server := run(daemon, append([]string{
		"--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(dir, "socket"), "--port=" + strconv.Itoa(port),
		"--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--character-set-server=utf8mb4",
	}, options...)...)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	address := fmt.Sprintf("mysql://root@127.0.0.1:%d/", port)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	db := openURL(t, u)
	for start := time.Now(); db.PingContext(t.Context()) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatal("mariadbd does not answer")
		}
	}
	return address
}

// TestOwnServer is about what changes a whole server: lost binlogs, settings, rights.
func TestOwnServer(t *testing.T) {
	address := newServer(t, "--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL", "--server-id=7")
	t.Run("purged", func(t *testing.T) { testPurged(t, address) })
	t.Run("reset", func(t *testing.T) { testReset(t, address) })
	t.Run("rotated", func(t *testing.T) { testRotated(t, address) })
	t.Run("compressed", func(t *testing.T) { testCompressed(t, address) })
	t.Run("names in the log", func(t *testing.T) { testFullMetadata(t, address) })
	t.Run("names of values in the log", func(t *testing.T) { testLoggedNames(t, address) })
	t.Run("times of MariaDB 5.3", func(t *testing.T) { testOldTimes(t, address) })
	t.Run("long rows", func(t *testing.T) { testLongRows(t, address) })
	t.Run("settings", func(t *testing.T) { testSettings(t, address) })
	t.Run("rights", func(t *testing.T) { testRights(t, address) })
	t.Run("number used twice", func(t *testing.T) { testUsedTwice(t, address) })
}

// followed returns a table with one row that a source has read, and the position behind it.
func followed(t *testing.T, address string) (department, *source, json.RawMessage) {
	t.Helper()
	db := databaseAt(t, address)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	db.run(t, "INSERT INTO people VALUES (1,'a')")
	src := opened(t, db.definition(t, "people", "id", "name"), nil)
	batches := readAll(t, src)
	if n := len(rowsOf(batches)); n != 1 {
		t.Fatalf("%d rows", n)
	}
	return db, src, batches[len(batches)-1].Position
}

func closed(t *testing.T, src *source) {
	t.Helper()
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func testPurged(t *testing.T, address string) {
	db, src, position := followed(t, address)
	closed(t, src)
	db.run(t, "INSERT INTO people VALUES (2,'b')")
	db.run(t, "FLUSH BINARY LOGS")
	for files := binlogs(t, db); len(files) > 1; files = binlogs(t, db) { // a file is kept while the server still sends it
		db.run(t, "PURGE BINARY LOGS TO '"+files[len(files)-1]+"'")
	}
	if err := src.Open(t.Context(), position); code(t, err) != connectors.FaultLogPurged {
		t.Fatalf("a purged binlog gave %v", err)
	}
	recovered(t, src, position, 2)
}

// binlogs lists the files of the binlog.
func binlogs(t *testing.T, db department) (files []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var file, size string
		if err := rows.Scan(&file, &size); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return files
}

func testReset(t *testing.T, address string) {
	db, src, position := followed(t, address)
	closed(t, src)
	db.run(t, "RESET MASTER")
	// The new file of the same name grows beyond the old place.
	for p := parse(t, position); ; {
		var file, do, ignore string
		var offset uint64
		if err := db.QueryRowContext(t.Context(), "SHOW MASTER STATUS").Scan(&file, &offset, &do, &ignore); err != nil {
			t.Fatal(err)
		}
		if (place{file, offset}).sequence() >= p.sequence() && offset > p.Offset {
			break
		}
		if (place{file, offset}).sequence() < p.sequence() {
			db.run(t, "FLUSH BINARY LOGS")
		}
		db.run(t, "UPDATE people SET name = CONCAT(LEFT(UUID(), 30))")
	}
	if err := src.Open(t.Context(), position); code(t, err) != connectors.FaultLogPurged {
		t.Fatalf("a binlog that began anew gave %v", err)
	}
	recovered(t, src, position, 1)
}

// testRotated goes on through new files, and with a new file while it is closed.
func testRotated(t *testing.T, address string) {
	db, src, _ := followed(t, address)
	for i := range 3 {
		db.run(t, "FLUSH BINARY LOGS")
		db.run(t, "INSERT INTO people VALUES (?, 'x')", 10+i)
		if i == 1 {
			db.run(t, "FLUSH BINARY LOGS")
		}
		batches := readAll(t, src)
		if n := len(rowsOf(batches)); n != 1 {
			t.Fatalf("%d rows after a new file", n)
		}
		closed(t, src)
		if err := src.Open(t.Context(), batches[len(batches)-1].Position); err != nil {
			t.Fatal(err)
		}
	}
}

func testCompressed(t *testing.T, address string) {
	db, src, _ := followed(t, address)
	db.run(t, "SET GLOBAL log_bin_compress = ON, GLOBAL log_bin_compress_min_len = 10")
	defer db.run(t, "SET GLOBAL log_bin_compress = OFF")
	long := strings.Repeat("张", 40)
	other := databaseOf(t, db)
	other.run(t, "INSERT INTO people VALUES (2, ?)", long)
	other.run(t, "UPDATE people SET name = ?", long)
	other.run(t, "DELETE FROM people WHERE id = 1")
	rows := rowsOf(readAll(t, src))
	if len(rows) != 3 || rows[0].Values[1].Text != long || rows[1].Values[1].Text != long || rows[2].Operation == "" {
		t.Errorf("compressed events gave %+v", rows)
	}
}

// databaseOf connects again, for settings of the server that hold for new connections.
func databaseOf(t *testing.T, db department) department {
	t.Helper()
	return department{DB: openURL(t, db.url), url: db.url, name: db.name}
}

// testFullMetadata has several changes of columns while the source is away, which are told by their names.
func testFullMetadata(t *testing.T, address string) {
	db, src, position := followed(t, address)
	closed(t, src)
	db.run(t, "SET GLOBAL binlog_row_metadata = FULL")
	defer db.run(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
	db.run(t, "ALTER TABLE people ADD COLUMN born DATE NULL FIRST")
	db.run(t, "INSERT INTO people VALUES ('2000-01-01',3,'c')")
	db.run(t, "ALTER TABLE people DROP COLUMN born")
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	got := newState()
	got.apply(t, rowsOf(readAll(t, src)))
	if len(got.text) == 0 || got.text["3"] != "c" {
		t.Errorf("rows %v", got.text)
	}
}

// testLongRows has rows that are too long for a record, for an event as it is
// kept, and one of which only a column that nobody wants is long.
func testLongRows(t *testing.T, address string) {
	db, src, _ := followed(t, address)
	db.run(t, "ALTER TABLE people MODIFY name LONGTEXT, ADD COLUMN photo LONGBLOB")
	db.run(t, "SET GLOBAL max_allowed_packet = 67108864")
	other := databaseOf(t, db)
	other.run(t, "INSERT INTO people VALUES (2, REPEAT('张', 700000), NULL)")
	other.run(t, "INSERT INTO people VALUES (3, 'c', REPEAT('x', 5000000))")
	rows := map[string]connectors.Row{}
	for _, r := range rowsOf(readAll(t, src)) {
		rows[r.Key[0]] = r
	}
	if r := rows["2"]; r.Rejection == nil || len(r.Raw) != connectors.RowHead || r.Values != nil {
		t.Errorf("a row of 2 MB = %+v with %d raw bytes", r.Rejection, len(r.Raw))
	}
	if r := rows["3"]; r.Rejection != nil || r.Values[1].Text != "c" {
		t.Errorf("a row with a long column that is not wanted = %+v", r.Rejection)
	}
	other.run(t, "INSERT INTO people VALUES (4, 'd', REPEAT('x', 18000000))")
	batches := readAll(t, src)
	first := rowsOf(batches)[0]
	if first.Rejection == nil || !slices.Equal(first.Key, []string{"4"}) || !slices.ContainsFunc(batches, func(b connectors.Batch) bool { return b.Gap }) {
		t.Errorf("a row beyond %d bytes = %+v %v", maxEvent, first.Rejection, first.Key)
	}
	if !slices.ContainsFunc(rowsOf(batches), func(r connectors.Row) bool {
		return r.Key[0] == "4" && r.Rejection == nil && r.Values[1].Text == "d" && r.ChangedAt.After(first.ChangedAt)
	}) {
		t.Error("the row whose event is too long did not come from the table")
	}
	other.run(t, "INSERT INTO people VALUES (5, 'e', NULL)")
	if rows := rowsOf(readAll(t, src)); len(rows) != 1 || rows[0].Key[0] != "5" {
		t.Errorf("behind it: %d rows", len(rows))
	}
}

func testSettings(t *testing.T, address string) {
	db, src, position := followed(t, address)
	closed(t, src)
	db.run(t, "SET GLOBAL binlog_format = 'STATEMENT', GLOBAL binlog_row_image = 'MINIMAL'")
	err := src.Open(t.Context(), position)
	if code(t, err) != connectors.FaultLogSettings || !strings.Contains(err.Error(), "SET GLOBAL binlog_format = 'ROW'") ||
		!strings.Contains(err.Error(), "SET GLOBAL binlog_row_image = 'FULL'") {
		t.Errorf("wrong settings gave %v", err)
	}
	closed(t, src)
	if err := src.Scan(t.Context(), connectors.KeyRange{}, nil); code(t, err) != connectors.FaultLogSettings {
		t.Errorf("Scan with wrong settings gave %v", err)
	}
	db.run(t, "SET GLOBAL binlog_format = 'ROW', GLOBAL binlog_row_image = 'FULL'")
	if err := src.Open(t.Context(), position); err != nil {
		t.Errorf("after the settings were mended: %v", err)
	}
	if err := settingsFaults(map[string]string{"log_bin": "0"}); code(t, err) != connectors.FaultLogSettings || !strings.Contains(err.Error(), "log_bin") {
		t.Errorf("no binlog gave %v", err)
	}
}

func testRights(t *testing.T, address string) {
	db, src, position := followed(t, address)
	closed(t, src)
	db.run(t, "CREATE USER reader@'%' IDENTIFIED BY 'geheim'")
	defer db.run(t, "DROP USER reader@'%'")
	u := *db.url
	write := func(password string) {
		u.User = url.UserPassword("reader", password)
		if err := os.WriteFile(src.cfg.DSNFile, []byte(u.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		statement, password string
		code                connectors.FaultCode
		says                []string
	}{
		{"GRANT SELECT ON " + db.name + ".* TO reader@'%'", "falsch", connectors.FaultCredentials, []string{"user or the password"}},
		{"SELECT 1", "geheim", connectors.FaultRight, []string{"GRANT BINLOG MONITOR"}},
		{"GRANT BINLOG MONITOR ON *.* TO reader@'%'", "geheim", connectors.FaultRight, []string{"GRANT REPLICATION SLAVE"}},
		{"GRANT REPLICATION SLAVE ON *.* TO reader@'%'", "geheim", "", nil},
		{"REVOKE SELECT ON " + db.name + ".* FROM reader@'%'", "geheim", connectors.FaultTable, []string{"people"}},
		{"GRANT SELECT ON " + db.name + ".* TO reader@'%'", "geheim", "", nil},
		{"REVOKE REPLICATION SLAVE ON *.* FROM reader@'%'", "geheim", connectors.FaultRight, []string{"GRANT REPLICATION SLAVE"}},
	}
	for i, step := range steps {
		db.run(t, step.statement)
		db.run(t, "INSERT INTO people VALUES (?, 'x')", 100+i)
		write(step.password)
		err := src.Open(t.Context(), position)
		scan := src.Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return nil })
		if step.code == "" {
			if err != nil || scan != nil {
				t.Errorf("%s: %v, %v", step.statement, err, scan)
			} else if got := newState(); true {
				batches := readAll(t, src)
				got.apply(t, rowsOf(batches))
				if got.text[strconv.Itoa(100+i)] != "x" {
					t.Errorf("%s: rows %v", step.statement, got.text)
				}
				position = batches[len(batches)-1].Position
			}
		} else {
			for _, err := range []error{err, scan} {
				if code(t, err) != step.code && !strings.Contains(fmt.Sprint(err), "people") {
					t.Errorf("%s: %v; want %s", step.statement, err, step.code)
				}
				for _, part := range append(step.says, "dsn_file") {
					if !strings.Contains(err.Error(), part) && part != "dsn_file" {
						t.Errorf("%s: %v; want %q in it", step.statement, err, part)
					}
				}
				if strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "falsch") {
					t.Errorf("the password is in %v", err)
				}
			}
		}
		closed(t, src)
	}
}

func testUsedTwice(t *testing.T, address string) {
	_, first, position := followed(t, address)
	second := construct(t, first.def)
	if err := second.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	_, err := first.Read(t.Context())
	for err == nil || errors.Is(err, connectors.ErrCaughtUp) {
		_, err = first.Read(t.Context())
	}
	if code(t, err) != connectors.FaultBusy || !strings.Contains(err.Error(), "log.server_id") {
		t.Errorf("two replicas of one number gave %v", err)
	}
}

// TestRefused checks what is told of a definition that does not fit.
func TestRefused(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40), place UUID, packed VARCHAR(100), odd ENUM('x') CHARACTER SET cp932)")
	db.run(t, "CREATE TABLE packed (id INT PRIMARY KEY, name VARCHAR(100) COMPRESSED)")
	db.run(t, "CREATE TABLE hashed (id INT PRIMARY KEY, name TEXT, UNIQUE (name))")
	db.run(t, "CREATE TABLE history (id INT PRIMARY KEY, name VARCHAR(40)) WITH SYSTEM VERSIONING")
	for _, test := range []struct {
		name  string
		alter func(*connectors.Definition)
		code  connectors.FaultCode
		says  string
	}{
		{"table", func(d *connectors.Definition) { d.Log.Table = "persons" }, connectors.FaultTable, `"people"`},
		{"column", func(d *connectors.Definition) { d.Map.Fields[1].From = "full_name" }, connectors.FaultColumn, `"name"`},
		{"charset", func(d *connectors.Definition) { d.Map.Fields[1].From = "odd" }, connectors.FaultColumn, "cp932"},
		{"compressed", func(d *connectors.Definition) { d.Log.Table = "packed" }, connectors.FaultColumn, "compressed"},
		{"hidden hash", func(d *connectors.Definition) { d.Log.Table = "hashed" }, connectors.FaultColumn, "kind: sql"},
		{"history", func(d *connectors.Definition) { d.Log.Table = "history" }, connectors.FaultColumn, "kind: sql"},
		{"dsn file", func(d *connectors.Definition) { d.Log.DSNFile = "absent.dsn" }, connectors.FaultSecret, "absent.dsn"},
	} {
		def := db.definition(t, "people", "id", "name")
		test.alter(&def)
		src := construct(t, def)
		for _, err := range []error{src.Open(t.Context(), nil), src.Scan(t.Context(), connectors.KeyRange{}, nil)} {
			if code(t, err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v; want %s with %q", test.name, err, test.code, test.says)
			}
		}
	}
	def := db.definition(t, "people", "id", "full_name") // Columns are asked for just when one is missing
	if columns, err := construct(t, def).Columns(t.Context()); err != nil || len(columns) != 5 || columns[1].Name != "name" {
		t.Errorf("Columns: %+v, %v", columns, err)
	}
	src := construct(t, def)
	src.position.place = place{"binlog.000001", beyond}
	if err := src.follow(t.Context()); code(t, err) != connectors.FaultBusy || !strings.Contains(err.Error(), "FLUSH BINARY LOGS") {
		t.Errorf("beyond 4 GiB: %v", err)
	}
	def.Limits.Connections = 1
	if _, err := New(def, nil); !errors.Is(err, connectors.ErrDefinition) {
		t.Errorf("one connection: %v", err)
	}
}

// TestDroppedTable is a table that vanishes while it is followed, and comes back.
func TestDroppedTable(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	src := opened(t, db.definition(t, "people", "id", "name"), nil)
	batches := readAll(t, src)
	position := batches[len(batches)-1].Position
	db.run(t, "DROP TABLE people")
	_, err := src.Read(t.Context())
	for err == nil || errors.Is(err, connectors.ErrCaughtUp) {
		_, err = src.Read(t.Context())
	}
	if code(t, err) != connectors.FaultTable {
		t.Errorf("a dropped table gave %v", err)
	}
	closed(t, src)
	if err := src.Open(t.Context(), position); code(t, err) != connectors.FaultTable {
		t.Errorf("Open without the table: %v", err)
	}
	closed(t, src)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	db.run(t, "INSERT INTO people VALUES (1,'a')")
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	batches = readAll(t, src)
	if rows := rowsOf(batches); len(rows) != 1 || !slices.ContainsFunc(batches, func(b connectors.Batch) bool { return b.Gap }) {
		t.Errorf("%d rows, gap missing or not: %+v", len(rows), batches)
	}
}

// TestServerOfAnotherKindIsNamed writes the addresses of an SSH and of an HTTP server into the dsn_file.
func TestServerOfAnotherKindIsNamed(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for want, address := range map[string]string{
		connectors.AnswersHTTP: web.Listener.Addr().String(),
		connectors.AnswersSSH:  os.Getenv("ONEWINDOW_TEST_SFTP"),
	} {
		t.Run(want, func(t *testing.T) {
			if address == "" {
				t.Skip("ONEWINDOW_TEST_SFTP is not set (make test starts one)")
			}
			def := department{url: &url.URL{Scheme: "mysql", User: url.UserPassword("u", "p"), Host: address, Path: "/hall"}}.definition(t, "rows", "id")
			err := construct(t, def).Open(t.Context(), nil)
			if connectors.CodeOf(err) != connectors.FaultNotThis || !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %s", err, want)
			}
		})
	}
}
