package sqltable

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// gbkRows are names in GBK, of which one is cut within a character and one is of no charset.
var gbkRows = []struct {
	id    int
	bytes string
	text  string // empty for bytes that are not GBK
}{
	{1, "\xd5\xc5\xc8\xfd", "张三"},
	{2, "\xe9F\xb9\xa6\\", "镕功\\"},
	{3, "\xd5\xc5\xc8", ""},
	{4, "\xff\xfe", ""},
	{5, "plain", "plain"},
}

// TestCharsetOverride reads columns that hold GBK bytes although the database
// says otherwise: a latin1 column, a database without encoding, a text of
// SQLite. Names are the key too, so the way back to the bytes is tried as well.
func TestCharsetOverride(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		literal := func(bytes string) string { return fmt.Sprintf("CAST(x'%x' AS TEXT)", bytes) }
		kind := "VARCHAR(40)"
		switch db.driver {
		case "postgres":
			db = encoded(t, db, "SQL_ASCII") // which stores whatever bytes it is given
			literal = func(bytes string) string { return fmt.Sprintf("convert_from('\\x%x', 'SQL_ASCII')", bytes) }
		case "mariadb":
			kind += " CHARACTER SET latin1 COLLATE latin1_bin"
			literal = func(bytes string) string { return fmt.Sprintf("_latin1 X'%x'", bytes) }
		}
		db.run(t, `CREATE TABLE people (name `+kind+` NOT NULL PRIMARY KEY, id INTEGER)`)
		for _, row := range gbkRows {
			db.run(t, fmt.Sprintf("INSERT INTO people VALUES (%s, %d)", literal(row.bytes), row.id))
		}
		table := db.table(t, TableConfig{Table: "people", Key: []string{"name"}, Columns: []string{"id", "name"}, Charset: charset.GBK})
		rows := all(t, table, connectors.KeyRange{}, 1)
		if len(rows) != len(gbkRows) {
			t.Fatalf("%d rows", len(rows))
		}
		found := map[string]bool{}
		for _, row := range rows {
			if row.Rejection == nil {
				found[row.Values[0].Text+row.Values[1].Text] = true
				again, err := table.ByKey(t.Context(), [][]string{row.Key})
				if err != nil || len(again) != 1 || again[0].Values[1] != row.Values[1] || row.Key[0] != row.Values[1].Text {
					t.Errorf("by its key %q: %+v, %v", row.Key, again, err)
				}
				continue
			}
			if row.Rejection.Rule != exchange.RuleEncoding || !strings.Contains(row.Rejection.Detail, `"name" (gbk)`) || row.Values != nil {
				t.Errorf("rejection %+v", row.Rejection)
			}
			found[string(row.Raw)] = true
		}
		for _, row := range gbkRows {
			want := fmt.Sprint(row.id) + row.text
			if row.text == "" {
				want = fmt.Sprintf(`{"id":"%d","name":"\\x%x"}`, row.id, row.bytes)
			}
			if !found[want] {
				t.Errorf("%q is missing: %v", want, found)
			}
		}
	})
}

// TestBytesOfNoText has one row that is not of the charset among others, in databases that do not notice: without an
// encoding only that row is rejected; where the server has to convert, the fault says what to do.
func TestBytesOfNoText(t *testing.T) {
	outside := newDepartment(t, "postgres")
	for _, encoding := range []string{"SQL_ASCII", "EUC_CN"} {
		db := encoded(t, outside, encoding)
		db.run(t, `CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)`)
		for id, cell := range []string{"plain", "\xfe\xfe", "again"} {
			db.run(t, fmt.Sprintf(`INSERT INTO people VALUES (%d, convert_from('\x%x', '%s'))`, id, cell, encoding))
		}
		table := db.table(t, TableConfig{Table: "people", Key: []string{"id"}, Columns: []string{"id", "name"}})
		if encoding == "EUC_CN" {
			_, err := table.Chunk(t.Context(), connectors.KeyRange{}, nil, 10)
			expectFault(t, err, connectors.FaultColumn, "people", "charset", "22P05")
			continue
		}
		rows := all(t, table, connectors.KeyRange{}, 10)
		if len(rows) != 3 || rows[0].Values[1].Text != "plain" || rows[2].Values[1].Text != "again" ||
			rows[1].Rejection == nil || rows[1].Rejection.Rule != exchange.RuleEncoding {
			t.Errorf("%+v", rows)
		}
	}
}

// TestChineseNames has tables and columns with Chinese names in databases of other encodings: without an encoding their
// bytes are those of whoever made them, and are read once charset says what they are.
func TestChineseNames(t *testing.T) {
	outside := newDepartment(t, "postgres")
	for _, test := range []struct{ encoding, client, charset string }{
		{"EUC_CN", "UTF8", ""}, {"EUC_CN", "UTF8", charset.GBK}, {"SQL_ASCII", "UTF8", ""}, {"SQL_ASCII", "GBK", charset.GBK}, {"SQL_ASCII", "GBK", charset.GB18030},
	} {
		t.Run(test.encoding+"_"+test.client+"_"+test.charset, func(t *testing.T) {
			db := encoded(t, outside, test.encoding)
			bytes := func(text string) string { return text }
			if test.client == "GBK" {
				bytes = func(text string) string { return Names(charset.GBK).Stored(text) }
			}
			raw := rawConn(t, db.dsn)
			for _, statement := range []string{`SET client_encoding = '` + map[string]string{"UTF8": "UTF8", "GBK": "SQL_ASCII"}[test.client] + `'`, `CREATE TABLE "人员" (id INTEGER PRIMARY KEY, "姓名" TEXT)`, `INSERT INTO "人员" VALUES (1, '张三')`} {
				if err := raw.Exec(t.Context(), bytes(statement)).Close(); err != nil {
					t.Fatal(err)
				}
			}
			config := TableConfig{Table: "人员", Key: []string{"id"}, Columns: []string{"id", "姓名"}, Charset: test.charset}
			table := db.table(t, config)
			rows := all(t, table, connectors.KeyRange{}, 10)
			if len(rows) != 1 || rows[0].Values[1].Text != "张三" || table.Columns()[1].Name != "姓名" {
				t.Errorf("%+v, columns %+v", rows, table.Columns())
			}
			if test.client == "GBK" {
				config.Charset, config.Driver, config.DSNFile = "", db.driver, db.dsnFile
				_, err := OpenTable(t.Context(), config)
				expectFault(t, err, connectors.FaultTable, "charset")
			}
		})
	}
}

// rawConn is a connection whose statements are sent as they are.
func rawConn(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// encoded is another database of PostgreSQL.
func encoded(t *testing.T, db department, encoding string) department {
	t.Helper()
	u, err := url.Parse(db.dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := u.Query().Get("search_path") + "_" + strings.ToLower(encoding)
	db.run(t, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
	u.Path, u.RawQuery = "/"+name, "sslmode=disable"
	return department{DB: openPlain(t, db.DB, u, name), driver: "postgres", dsn: u.String(), dsnFile: secret(t, u.String())}
}

// openPlain opens a database and drops it with the test.
func openPlain(t *testing.T, admin *sql.DB, u *url.URL, name string) *sql.DB {
	t.Helper()
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return sqldbtest.Open(t, u.String()).DB
}

// TestMySQLTextLatin1 checks every byte against the server's own conversion: its latin1 is not ISO 8859-1.
func TestMySQLTextLatin1(t *testing.T) {
	db := newDepartment(t, "mariadb")
	text, err := NewMySQLText("varchar", "latin1", "")
	if err != nil {
		t.Fatal(err)
	}
	for b := range 256 {
		var want string
		if err := db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT CONVERT(_latin1 X'%02x' USING utf8mb4)", b)).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got, valid := text.Append(nil, []byte{byte(b)}); string(got) != want || !valid {
			t.Errorf("%02x became %q; the server says %q", b, got, want)
		}
	}
}

// TestWideCharsets reads texts, as keys too, in the character sets that have units of several bytes, and rejects halves of pairs.
func TestWideCharsets(t *testing.T) {
	db := newDepartment(t, "mariadb")
	for characterSet, half := range map[string]string{"ucs2": "D842", "utf16": "", "utf16le": "", "utf32": ""} {
		table := "people_" + characterSet
		db.run(t, "CREATE TABLE "+table+" (name VARCHAR(20) CHARACTER SET "+characterSet+" COLLATE "+characterSet+"_bin NOT NULL PRIMARY KEY, id INTEGER)")
		want := map[string]string{"张三": "1", "\ufeff鎔": "2", "": "3", "plain": "4"}
		if characterSet != "ucs2" {
			want["𠮷😀"] = "5"
		}
		for name, id := range want {
			db.run(t, "INSERT INTO "+table+" VALUES ($1, $2)", name, id)
		}
		if half != "" { // which the server takes in ucs2 alone
			db.run(t, "INSERT INTO "+table+" VALUES (_ucs2 X'"+half+"', 9)")
		}
		read := db.table(t, TableConfig{Table: table, Key: []string{"name"}, Columns: []string{"id", "name"}})
		got := map[string]string{}
		for _, row := range all(t, read, connectors.KeyRange{}, 1) {
			if row.Rejection != nil {
				if row.Rejection.Rule != exchange.RuleEncoding || !strings.Contains(string(row.Raw), strings.ToLower(half)) || half == "" {
					t.Errorf("%s: %+v %s", characterSet, row.Rejection, row.Raw)
				}
				half = ""
				continue
			}
			got[row.Values[1].Text] = row.Values[0].Text
			again, err := read.ByKey(t.Context(), [][]string{row.Key})
			if err != nil || len(again) != 1 || again[0].Values[0] != row.Values[0] {
				t.Errorf("%s: by the key %q: %+v, %v", characterSet, row.Key, again, err)
			}
		}
		if !maps.Equal(got, want) || half != "" {
			t.Errorf("%s: %q; want %q", characterSet, got, want)
		}
	}
}

// TestUnknownCharset refuses a column whose charset cannot be decoded, and no other.
func TestUnknownCharset(t *testing.T) {
	db := newDepartment(t, "mariadb")
	db.run(t, `CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(10) CHARACTER SET cp932, other VARCHAR(10) CHARACTER SET koi8r)`)
	cfg := TableConfig{Driver: db.driver, DSNFile: db.dsnFile, Table: "people", Key: []string{"id"}, Columns: []string{"id", "name"}, Mapped: 2}
	_, err := OpenTable(t.Context(), cfg)
	expectFault(t, err, connectors.FaultColumn, `"name"`, "cp932", "charset")
	if strings.Contains(err.Error(), "koi8r") {
		t.Errorf("a column that is not read: %v", err)
	}
}

func FuzzMySQLText(f *testing.F) {
	for _, seed := range []string{"\xd5\xc5", "\x00", "2025-11-03 08:00:00", "\xff\xff\xff\xff\xff\xff\xff\xff", "a\\"} {
		f.Add("varchar", "gbk", []byte(seed))
		f.Add("bit", "", []byte(seed))
		f.Add("timestamp", "", []byte(seed))
		f.Add("text", "latin1", []byte(seed))
		f.Add("text", "utf16le", []byte(seed))
		f.Add("text", "utf32", []byte(seed))
		f.Add("blob", "", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, dataType, characterSet string, cell []byte) {
		c, err := mysqlCoding(dataType, characterSet, "")
		if err != nil {
			return
		}
		text, valid := c.Decode([]byte("x"), cell)
		if len(text) == 0 || text[0] != 'x' {
			t.Fatalf("what was there became %q", text)
		}
		if valid && c.leadsBack(text[1:], cell, valid) && c.encode != nil {
			back, err := c.restore(string(text[1:]))
			if err != nil || string(back) != string(cell) {
				t.Fatalf("%q became %q and then %q, %v", cell, text[1:], back, err)
			}
		}
	})
}

// TestNamesDecodeAsOnTheServer decodes every code of two bytes as statements in the binlog are decoded, and compares it
// with the server's own conversion, which made the names in its catalogue. GBK is the same in all; GB2312 and Big5
// differ in symbols and in characters that they have twice, but in no other character of Chinese.
func TestNamesDecodeAsOnTheServer(t *testing.T) {
	db := newDepartment(t, "mariadb")
	for name, least := range map[string]int{"gbk": 21_000, "gb2312": 7_000, "big5": 13_000} {
		text, err := NewMySQLText("text", name, "")
		if err != nil {
			t.Fatal(err)
		}
		codes := 0
		for lead := 0x81; lead < 0xff; lead++ {
			var query []string
			for trail := 0x40; trail < 0xff; trail++ {
				query = append(query, fmt.Sprintf("CONVERT(_binary X'%02x%02x' USING %s)", lead, trail, name))
			}
			want, targets := make([]string, len(query)), make([]any, len(query))
			for i := range want {
				targets[i] = &want[i]
			}
			if err := db.QueryRowContext(t.Context(), "SELECT "+strings.Join(query, ", ")).Scan(targets...); err != nil {
				t.Fatal(err)
			}
			for i, char := range want {
				r, size := utf8.DecodeRuneInString(char)
				if size != len(char) || r == '?' || r == utf8.RuneError || name != "gbk" && (r < 0x3400 || !unicode.Is(unicode.Han, r)) {
					continue
				}
				codes++
				if got, valid := text.Append(nil, []byte{byte(lead), byte(0x40 + i)}); !valid || string(got) != char {
					t.Errorf("%s %x%x: %q, the server has %q", name, lead, 0x40+i, got, char)
				}
			}
		}
		if name != "gbk" {
			least -= 1_000 // symbols
		}
		if codes < least {
			t.Errorf("%s: %d codes were compared", name, codes)
		}
	}
}
