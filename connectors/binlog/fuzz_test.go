package binlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/onewindow/onewindow/connectors"
)

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{
		`{"file":"binlog.000001","offset":4,"clock":1,"columns":[{"name":"id","type":"int(11)"}]}`,
		`{"file":"b.1","offset":312721572,"born":1795639809,"done":7,"clock":1795642092000000,"columns":[{"name":"n","type":"text","nullable":true,"charset":"gbk"}],"rereads":[{"id":"r","range":{"from":["1"]},"after":["2"]}]}`,
		`{"file":"b","offset":4,"clock":1,"columns":[]}`, `{}`, `x`, `{"lsn":"0/16B3748"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePosition(text)
		if err != nil {
			if !errors.Is(err, connectors.ErrPosition) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		encoded, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parsePosition(encoded); err != nil || mustEncode(t, again) != string(encoded) {
			t.Fatalf("%q became %q: %v", text, encoded, err)
		}
	})
}

func mustEncode(t *testing.T, p position) string {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FuzzRows reads events with rows of every type from any bytes.
func FuzzRows(f *testing.F) {
	kinds := []struct {
		kind byte
		meta uint16
		text string
	}{
		{mysql.MYSQL_TYPE_LONG, 0, "int(7) unsigned zerofill"},
		{mysql.MYSQL_TYPE_NEWDECIMAL, 18<<8 | 2, "decimal(18,2)"},
		{mysql.MYSQL_TYPE_VARCHAR, 400, "varchar(100)"},
		{mysql.MYSQL_TYPE_DATETIME2, 6, "datetime(6)"},
		{mysql.MYSQL_TYPE_TIME2, 3, "time(3)"},
		{mysql.MYSQL_TYPE_TIMESTAMP2, 1, "timestamp(1)"},
		{mysql.MYSQL_TYPE_FLOAT, 4, "float"},
		{mysql.MYSQL_TYPE_DOUBLE, 8, "double(20,4)"},
		{mysql.MYSQL_TYPE_STRING, uint16(mysql.MYSQL_TYPE_ENUM)<<8 | 1, "enum('a','b''c')"},
		{mysql.MYSQL_TYPE_STRING, uint16(mysql.MYSQL_TYPE_SET)<<8 | 8, "set('a','b')"},
		{mysql.MYSQL_TYPE_STRING, uint16(mysql.MYSQL_TYPE_STRING)<<8 | 6, "binary(6)"},
		{mysql.MYSQL_TYPE_BIT, 1<<8 | 5, "bit(13)"},
		{mysql.MYSQL_TYPE_BLOB, 4, "longblob"},
		{mysql.MYSQL_TYPE_DATE, 0, "date"},
		{mysql.MYSQL_TYPE_YEAR, 0, "year(4)"},
		{mysql.MYSQL_TYPE_DOUBLE, 8, "double"},
		{mysql.MYSQL_TYPE_STRING, uint16(mysql.MYSQL_TYPE_STRING)<<8 | 16, "uuid"},
		{mysql.MYSQL_TYPE_STRING, uint16(mysql.MYSQL_TYPE_STRING)<<8 | 16, "inet6"},
		{mysql.MYSQL_TYPE_STRING, uint16(mysql.MYSQL_TYPE_STRING)<<8 | 4, "inet4"},
	}
	table := &replication.TableMapEvent{ColumnCount: uint64(len(kinds))}
	var columns []column
	var names []string
	for i, k := range kinds {
		name := string(rune('a' + i))
		table.ColumnType, table.ColumnMeta = append(table.ColumnType, k.kind), append(table.ColumnMeta, k.meta)
		c := column{Name: name, Type: k.text}
		for _, member := range c.names() {
			c.Members += hex.EncodeToString([]byte(member)) + ","
		}
		columns, names = append(columns, c), append(names, name)
	}
	head := append([]byte{1, 0, 0, 0, 0, 0, 1, 0, 19, 0xff, 0xff, 0x07}, bytes.Repeat([]byte{0}, 3)...)
	f.Add(byte(replication.WRITE_ROWS_EVENTv1), append(head, bytes.Repeat([]byte{0x80, 1}, 200)...))
	f.Add(byte(replication.UPDATE_ROWS_EVENTv2), append([]byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 19, 0xff, 0xff, 0x07, 0xff, 0xff, 0x07, 0, 0, 0}, bytes.Repeat([]byte{0, 5}, 200)...))
	f.Add(byte(replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1), append(head, 0x81, 4, 0x78, 0x9c))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		p, err := newPlan(table, columns, names)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseRows(&event{EventHeader: replication.EventHeader{EventType: replication.EventType(kind)}, body: body})
		if err != nil || r == nil {
			return
		}
		for len(r.rest) > 0 {
			left := len(r.rest)
			if err := r.image(p, r.present); err != nil {
				return
			}
			if len(r.rest) >= left {
				t.Fatal("a row took no bytes")
			}
			for i, cell := range p.cells {
				if name := names[i]; !strings.ContainsAny(name, "ckm") && !strings.Contains(kinds[i].text, "bit") && !utf8.Valid(cell) {
					t.Fatalf("column %s (%s) = %q", name, kinds[i].text, cell)
				}
			}
		}
	})
}

// FuzzEvent reads any bytes as an event.
func FuzzEvent(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x04\x01\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00\x00\x20\x00\x04\x00\x00\x00\x00\x00\x00\x00binlog.000001"))
	f.Add([]byte("\x00\x00\x00\x00\x02\x01\x00\x00\x00\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00db\x00BEGIN"))
	f.Add([]byte("\x00\x00\x00\x00\x13\x01\x00\x00\x00\x30\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		d := &dump{parser: replication.NewBinlogParser(), at: place{"binlog.000001", 4}}
		if e, err := d.parse(packet); err != nil {
			code(t, err)
		} else if e == nil {
			t.Fatal("no event and no error")
		}
	})
}

func FuzzStatement(f *testing.F) {
	for _, seed := range []string{"TRUNCATE people", "/*!40000 ALTER TABLE `people` ADD x INT */", "-- x\nDROP TABLE a, people", "/*", "#", "ALTER TABLE `a` COMMENT 'it\\'s' DROP \"x\\", "ROLLBACK TO SAVEPOINT a", "XA ROLLBACK 'a'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		verb, rest := verbOf(text)
		if len(verb)+len(rest) > len(text) || !strings.HasSuffix(text, rest) {
			t.Fatalf("%q = %q and %q", text, verb, rest)
		}
		if mentions(text, "people") && !strings.Contains(strings.ToLower(text), "people") {
			t.Fatalf("%q does not mention it", text)
		}
		for _, word := range words(text) {
			if word != "" && !strings.Contains(strings.ToUpper(text), word) {
				t.Fatalf("%q has no word %q", text, word)
			}
		}
	})
}

// TestStatements is about which statements change the table without rows in the log.
func TestStatements(t *testing.T) {
	for _, test := range []struct {
		text       string
		gap, stale bool
	}{
		{"TRUNCATE TABLE `people`", true, false},
		{"truncate people2", false, false},
		{"ALTER TABLE people ADD x INT", false, true},
		{"ALTER TABLE people DROP PARTITION p0", true, true},
		{"/*!40101 DROP TABLE a, `db`.`PEOPLE` */", true, true},
		{"RENAME TABLE people TO old, new TO people", true, true},
		{"CREATE INDEX i ON people (name)", false, true},
		{"CREATE OR REPLACE TABLE people (id INT)", true, true},
		{"ALTER IGNORE TABLE people ADD UNIQUE (name)", true, true},
		{"DROP DATABASE dep", true, true},
		{"DROP DATABASE dep2", false, false},
		{"CREATE OR REPLACE DATABASE dep", true, true},
		{"CREATE DATABASE IF NOT EXISTS dep", false, false},
		{"CREATE OR REPLACE INDEX i ON people (name)", false, true},
		{"ALTER DATABASE dep CHARACTER SET gbk", false, false},
		{"ALTER TABLE people RENAME TO old", true, true},
		{"ALTER TABLE old RENAME `people`", true, true},
		{"ALTER TABLE people EXCHANGE PARTITION p0 WITH TABLE old", true, true},
		{"SET STATEMENT max_statement_time = 5, x = 'for drop' FOR TRUNCATE TABLE people", true, false},
		{"SET STATEMENT sort_buffer_size=1 for alter table people ADD y INT", false, true},
		{"GRANT SELECT ON people TO x", false, false},
	} {
		s := &source{target: target{schema: "dep", table: "people"}}
		switch verb, _ := commandOf(test.text); verb {
		case "TRUNCATE", "ALTER", "DROP", "RENAME", "CREATE":
			s.definition(verb, statementText{schema: "dep", readings: []string{test.text}})
		}
		if s.gap != test.gap || s.stale != test.stale {
			t.Errorf("%s: gap %v, stale %v", test.text, s.gap, s.stale)
		}
	}
	// In the database of other people, with tables of the same names.
	for text, want := range map[string]bool{
		"ALTER TABLE people DROP name": false, "ALTER TABLE dep.people DROP name": true, "RENAME TABLE people TO `dep`.people": true,
	} {
		s := &source{target: target{schema: "dep", table: "people"}}
		verb, _ := commandOf(text)
		if s.definition(verb, statementText{schema: "other", readings: []string{text}}); s.stale != want {
			t.Errorf("%s in another database: stale %v", text, s.stale)
		}
	}
}
