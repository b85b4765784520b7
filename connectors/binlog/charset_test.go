package binlog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/onewindow/onewindow/connectors"
)

// TestCases01And02And10ServerDefaultCharset follows tables on servers whose own character set is not UTF-8, and on one that ignores
// what clients say of theirs.
func TestCases01And02And10ServerDefaultCharset(t *testing.T) {
	for name, options := range map[string][]string{
		"latin1": {"--character-set-server=latin1"}, "gbk": {"--character-set-server=gbk"},
		"handshake ignored": {"--character-set-server=gbk", "--skip-character-set-client-handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			address := newServer(t, append(options, "--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL", "--server-id=7")...)
			t.Run("case 01: names", func(t *testing.T) { testChineseNames(t, address) })
			if name == "latin1" { // it has pauses
				t.Run("case 01: descriptions that differ", func(t *testing.T) { testMismatch(t, address) })
			}
			t.Run("case 02: faults are UTF-8", func(t *testing.T) { testFaultText(t, address) })
			t.Run("case 10: statements", func(t *testing.T) { testStatementCharsets(t, address) })
		})
	}
}

// connectionsOf counts the connections that a server has had.
func connectionsOf(t *testing.T, db department) int {
	t.Helper()
	var name, count string
	if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Connections'").Scan(&name, &count); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// testChineseNames reads rows from the table and from the log whose ENUM, column, table and database have Chinese names.
func testChineseNames(t *testing.T, address string) {
	db := databaseAt(t, address)
	db.run(t, "CREATE DATABASE IF NOT EXISTS `证照库`")
	db.run(t, "CREATE TABLE `证照库`.`证照` (`编号` INT PRIMARY KEY, state ENUM('在发','停发'), `姓名` VARCHAR(20), kinds SET('甲','乙') CHARACTER SET gbk) CHARACTER SET utf8mb4")
	defer db.run(t, "DROP DATABASE `证照库`")
	db.run(t, "INSERT INTO `证照库`.`证照` VALUES (1, '在发', '张三', '甲,乙')")
	def := db.definition(t, "证照", "编号", "state", "姓名", "kinds")
	here := *db.url
	here.Path = "/证照库"
	def.Log.DSNFile = secret(t, here.String())
	before := connectionsOf(t, db)
	src := opened(t, def, nil)
	rows := rowsOf(readAll(t, src))
	db.run(t, "INSERT INTO `证照库`.`证照` VALUES (2, '停发', '李四', '乙')")
	rows = append(rows, rowsOf(readAll(t, src))...)
	if used := connectionsOf(t, db) - before; used > 8 {
		t.Errorf("%d connections", used)
	}
	var got []string
	for _, r := range rows {
		text := ""
		for _, v := range r.Values {
			text += v.Text + " "
		}
		got = append(got, text)
	}
	if want := []string{"1 在发 张三 甲,乙 ", "2 停发 李四 乙 "}; !slices.Equal(got, want) {
		t.Errorf("rows %q; want %q", got, want)
	}
	if rows := sqlRows(t, db, "证照库.证照", []string{"编号", "state", "姓名", "kinds"}); len(rows) != 2 || rows[1].Values[1].Text != "停发" {
		t.Errorf("kind sql: %+v", rows)
	}
	if err := construct(t, def).Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return nil }); err != nil {
		t.Errorf("Scan: %v", err)
	}
}

// testMismatch has the columns known to the source changed each time that the table is read: that ends with a fault,
// after few connections.
func testMismatch(t *testing.T, address string) {
	db := databaseAt(t, address)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, state ENUM('在发','停发'))")
	src := opened(t, db.definition(t, "people", "id", "state"), nil)
	before := connectionsOf(t, db)
	var err error
	tries := 0
	for ; err == nil && tries < 100; tries++ {
		src.position.Columns = slices.Clone(src.position.Columns)
		src.position.Columns[1].Type = "enum('??','??')"
		_, _, err = src.reread(t.Context(), nil)
	}
	if code(t, err) != connectors.FaultMismatch || tries != mismatchTries+1 {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	for _, part := range []string{"people", `"state"`, "??", "停发"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v; want %q in it", err, part)
		}
	}
	if used := connectionsOf(t, db) - before; used > 3*tries {
		t.Errorf("%d connections in %d tries", used, tries)
	}
	// What differs once is put right, and the next time is judged afresh.
	src.position.Columns[1].Type = "enum('??','??')"
	if _, _, err := src.reread(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if readAll(t, src); src.mismatches != 0 {
		t.Errorf("%d mismatches are remembered", src.mismatches)
	}
}

// testFaultText has a fault that quotes the type of a column.
func testFaultText(t *testing.T, address string) {
	db := databaseAt(t, address)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, state ENUM('在发','停发'))")
	src := opened(t, db.definition(t, "people", "id", "state"), nil)
	batches := readAll(t, src)
	closed(t, src)
	db.run(t, "ALTER TABLE people MODIFY state ENUM('在发','停发','注销') CHARACTER SET gbk")
	err := src.Open(t.Context(), batches[len(batches)-1].Position)
	if code(t, err) != connectors.FaultSchema || !utf8.ValidString(err.Error()) || !strings.Contains(err.Error(), "注销") {
		t.Errorf("a changed column gave %q", err)
	}
}

// testStatementCharsets changes a table with a Chinese name by clients of several character sets.
func testStatementCharsets(t *testing.T, address string) {
	for client, test := range map[string]struct {
		encoding     encoding.Encoding
		table, other string
	}{
		"gbk": {simplifiedchinese.GBK, "清册", "旧册"}, "gb2312": {simplifiedchinese.GBK, "清册", "旧册"},
		"big5": {traditionalchinese.Big5, "許功蓋", "餐廳"}, "latin1": {charmap.Windows1252, "größe", "über"},
		"utf8mb4": {encoding.Nop, "清册", "旧册"}, "binary": {encoding.Nop, "清册", "旧册"},
	} {
		t.Run(client, func(t *testing.T) {
			db := databaseAt(t, address)
			table, other, third := "`"+test.table+"`", "`"+test.other+"`", "`"+test.other+"2`"
			create := "CREATE TABLE " + table + " (id INT PRIMARY KEY, v VARCHAR(10)) CHARACTER SET utf8mb4"
			db.run(t, create)
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			say := func(statement string) {
				t.Helper()
				text, err := test.encoding.NewEncoder().String(statement)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.ExecContext(t.Context(), text); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			say("SET NAMES " + client)
			src := opened(t, db.definition(t, test.table, "id", "v"), nil)
			readAll(t, src)
			for _, step := range []struct {
				statements []string
				gap        bool
				columns    int
			}{
				{[]string{"TRUNCATE TABLE " + table}, true, 2},
				{[]string{"TRUNCATE TABLE " + third}, false, 2},
				{[]string{"SET STATEMENT max_statement_time = 5 FOR TRUNCATE TABLE " + table}, true, 2},
				{[]string{"ALTER TABLE " + table + " ADD COLUMN x INT"}, false, 3},
				{[]string{"RENAME TABLE " + table + " TO " + other, create}, true, 2},
				{[]string{"CREATE OR REPLACE TABLE " + table + " (id INT PRIMARY KEY, v VARCHAR(10), y INT, z INT)"}, true, 4},
				{[]string{"CREATE OR REPLACE TABLE " + table + " SELECT 1 AS id, 'x' AS v"}, true, 2},
				{[]string{"DROP TABLE " + table, create}, true, 2},
			} {
				db.run(t, "CREATE OR REPLACE TABLE "+third+" (id INT)")
				for _, statement := range step.statements {
					say(statement)
				}
				db.run(t, "DELETE FROM "+table)
				db.run(t, "INSERT INTO "+table+" (id, v) VALUES (7, 'x')") // a batch, which has the columns
				batches := readAll(t, src)
				gap := slices.ContainsFunc(batches, func(b connectors.Batch) bool { return b.Gap })
				columns := len(batches[len(batches)-1].Columns)
				if gap != step.gap || columns != step.columns {
					t.Errorf("%q: gap %v, %d columns; want %v, %d", step.statements, gap, columns, step.gap, step.columns)
				}
			}
		})
	}
}

// TestTextOfStatement reads statements by the character set of their event, and doubts those that cannot be read.
func TestTextOfStatement(t *testing.T) {
	vars := func(collation uint16) []byte {
		return fmt.Appendf(nil, "\x00abcd\x01abcdefgh\x06\x03std\x03abcd\x04%c%c\x2d\x00\x2d\x00", collation&0xff, collation>>8)
	}
	raw := func(low, high byte) []byte {
		return append([]byte("\x00abcd\x01abcdefgh\x06\x03std\x04"), low, high, 0x2d, 0, 0x2d, 0)
	}
	for _, test := range []struct {
		name, text string
		vars       []byte
		mentions   bool
		doubtful   bool
	}{
		{"ascii", "TRUNCATE TABLE x", vars(28), false, false},
		{"gbk", "TRUNCATE TABLE `\xc7\xe5\xb2\xe1`", vars(28), true, false},
		{"gbk of MariaDB without padding", "TRUNCATE TABLE `\xc7\xe5\xb2\xe1`", raw(28, 4), true, false},
		{"gb18030", "TRUNCATE TABLE `\xc7\xe5\xb2\xe1`", raw(248, 0), true, false},
		{"big5 has other characters", "TRUNCATE TABLE `\xb2\x4d\xa5\x55`", vars(1), false, false},
		{"utf-8", "TRUNCATE TABLE `清册`", vars(45), true, false},
		{"utf-8 written by the server for a client of gbk", "CREATE OR REPLACE TABLE `清册` (", vars(28), true, false},
		{"utf-8, a collation of MariaDB 11", "TRUNCATE TABLE `清册`", raw(0, 9), true, false},
		{"no character set", "TRUNCATE TABLE `清册`", nil, true, false},
		{"cut", "TRUNCATE TABLE `清册`", []byte("\x04\x1c"), true, true},
		{"unknown variable", "TRUNCATE TABLE `清册`", []byte("\xfa\x1c"), true, false},
		{"a character set that is not known", "TRUNCATE TABLE `\x90\xb4`", raw(13, 0), true, true},
		{"cut within a variable", "TRUNCATE TABLE `清册`", []byte("\x06\xff"), true, false},
		{"bytes of no character set", "TRUNCATE TABLE `\xff\xff`", vars(28), true, true},
	} {
		text := textOf(&replication.QueryEvent{StatusVars: test.vars, Schema: []byte("dep"), Query: []byte(test.text)})
		if got := text.mentions("清册"); got != test.mentions || text.doubtful != test.doubtful {
			t.Errorf("%s: %q, mentions %v, doubtful %v", test.name, text.readings, got, text.doubtful)
		}
	}
}

// FuzzTextOfStatement reads any bytes as a statement.
func FuzzTextOfStatement(f *testing.F) {
	f.Add([]byte("\x00abcd\x06\x03std\x04\x1c\x00\x2d\x00\x2d\x00"), []byte("DROP TABLE `\xc7\xe5`"))
	f.Add([]byte("\x06\xff"), []byte("\xff"))
	f.Add([]byte("\x04"), []byte(""))
	f.Fuzz(func(t *testing.T, vars, query []byte) {
		text := textOf(&replication.QueryEvent{StatusVars: vars, Query: query})
		if len(text.readings) == 0 || !text.doubtful && !utf8.ValidString(strings.Join(text.readings, "")) {
			t.Fatalf("%q became %q", query, text.readings)
		}
	})
}

// TestCollationsOfServer compares the numbers known here with those of the server.
func TestCollationsOfServer(t *testing.T) {
	db := newDepartment(t)
	rows, err := db.QueryContext(t.Context(), "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for rows.Next() {
		var id uint16
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		n++
		got, known := collationCharset(id)
		switch name {
		case "utf8mb4", "utf8mb3", "utf8", "ascii", "binary":
			if got != "" || !known {
				t.Errorf("collation %d of %s: %q, %v", id, name, got, known)
			}
		case "gbk", "gb2312", "gb18030", "big5", "latin1":
			if got != name {
				t.Errorf("collation %d of %s: %q", id, name, got)
			}
		case "ucs2", "utf16", "utf16le", "utf32": // which no client can have
		default:
			if got != "" || known {
				t.Errorf("collation %d of %s is taken for %q", id, name, got)
			}
		}
	}
	if err := rows.Err(); err != nil || n < 100 {
		t.Fatalf("%d collations, %v", n, err)
	}
}
