package binlog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// TestNamesOfValuesAreThoseStored reads ENUM and SET values whose names the server's catalogue cannot show: characters
// of four bytes, and bytes of GBK that its conversion does not know.
func TestNamesOfValuesAreThoseStored(t *testing.T) {
	db := newDepartment(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, statement := range []string{
		"SET NAMES gbk",
		"CREATE TABLE people (id INT PRIMARY KEY, a ENUM('\xaa\xa1','?','\xc4\xd0','\xa1\xaa','\xe9F') CHARACTER SET gbk, b SET('\xaa\xa1','\xa1\xa4','\\\\') CHARACTER SET gbk, c ENUM('x')) CHARACTER SET utf8mb4",
		"SET NAMES utf8mb4",
		"ALTER TABLE people MODIFY c ENUM('𠮷','?','😀','it''s','') COLLATE utf8mb4_bin",
		"INSERT INTO people VALUES (1,1,1,1), (2,2,2,2), (3,3,3,3), (4,4,4,4), (5,5,7,5)",
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%q: %v", statement, err)
		}
	}
	compareWays(t, db, "people", []string{"id", "a", "b", "c"}, func(c int) string { return []string{"id", "a", "b", "c"}[c] })
	src := opened(t, db.definition(t, "people", "id", "a", "c"), nil)
	var got []string
	for _, r := range rowsOf(readAll(t, src))[:5] {
		got = append(got, r.Values[1].Text+r.Values[2].Text)
	}
	if want := []string{"\ue000𠮷", "??", "男😀", "—it's", "镕"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

// TestNamesOfValuesWithoutTypeOf has a server that cannot say how names are stored, as MySQL: they are converted back,
// and a question mark in one of them is a fault, unless the log has the names itself.
func TestNamesOfValuesWithoutTypeOf(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, a ENUM('男','it''s','') CHARACTER SET gbk, b SET('é') CHARACTER SET latin1, c ENUM('是','?'))")
	src := opened(t, db.definition(t, "people", "id", "a", "b"), nil)
	readAll(t, src)
	src.control.mariadb, src.control.major = false, 5
	for i, want := range []string{"", "C4D0,69742773,,", "E9,", ""} {
		if i == 0 {
			continue
		}
		got, err := src.control.members(t.Context(), src.limit(), src.target, src.position.Columns[i])
		if err != nil || got != want {
			t.Errorf("column %d: %q, %v; want %q", i, got, err, want)
		}
	}
	src.selected = append(src.selected, "c")
	err := src.describeMembers(t.Context(), slices.Clone(src.position.Columns))
	if code(t, err) != connectors.FaultColumn || !strings.Contains(err.Error(), `"c"`) || !strings.Contains(err.Error(), "binlog_row_metadata") {
		t.Errorf("a name with a question mark gave %v", err)
	}
}

// testLoggedNames takes the names of values from a log that has them.
func testLoggedNames(t *testing.T, address string) {
	db := databaseAt(t, address)
	db.run(t, "SET GLOBAL binlog_row_metadata = FULL")
	defer db.run(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, x INT, a ENUM('𠮷','?'), y VARCHAR(10), b SET('男','女') CHARACTER SET gbk, c ENUM('x')) CHARACTER SET utf8mb4")
	src := opened(t, db.definition(t, "people", "id", "a", "b", "c"), nil)
	readAll(t, src)
	src.control.mariadb, src.control.major = false, 5
	columns := slices.Clone(src.position.Columns)
	if err := src.describeMembers(t.Context(), columns); err != nil || columns[2].Members != "" {
		t.Fatalf("%q, %v", columns[2].Members, err)
	}
	src.position.Columns = columns
	db.run(t, "INSERT INTO people VALUES (1, 1, '𠮷', 'y', '男,女', 'x')")
	rows := rowsOf(readAll(t, src))
	if len(rows) != 1 || rows[0].Values[1].Text != "𠮷" || rows[0].Values[2].Text != "男,女" || rows[0].Values[3].Text != "x" {
		t.Errorf("%+v", rows)
	}
	// Rows that came before the log had the names cannot be read.
	db.run(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
	src.plan = nil
	databaseOf(t, db).run(t, "INSERT INTO people VALUES (2, 1, '𠮷', 'y', '男,女', 'x')")
	_, err := src.Read(t.Context())
	for err == nil || errors.Is(err, connectors.ErrCaughtUp) {
		_, err = src.Read(t.Context())
	}
	if code(t, err) != connectors.FaultSchema || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("names that are not known gave %v", err)
	}
}

// TestPositionsOfOlderVersions opens positions that were saved before names of values were part of them, and by a
// connection that did not say its character set.
func TestPositionsOfOlderVersions(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, state ENUM('在发','停发'), `姓名` VARCHAR(20))")
	db.run(t, "INSERT INTO people VALUES (1, '在发', '张三')")
	src := opened(t, db.definition(t, "people", "id", "state", "姓名"), nil)
	readAll(t, src)
	before := src.position
	closed(t, src)
	db.run(t, "INSERT INTO people VALUES (2, '停发', '李四')")

	before.Columns = slices.Clone(before.Columns)
	before.Columns[1].Members = ""
	position, err := before.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(readAll(t, src)); len(rows) != 1 || rows[0].Values[1].Text != "停发" {
		t.Errorf("%+v", rows)
	}
	closed(t, src)

	before.Columns[1].Type, before.Columns[2].Name = "enum('在发','停发')", "??"
	if position, err = before.encode(); err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), position); code(t, err) != connectors.FaultSchema {
		t.Fatalf("a column that had another name gave %v", err)
	}
	recovered(t, src, position, 2)
}
