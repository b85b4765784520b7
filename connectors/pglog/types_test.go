package pglog

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
	"github.com/onewindow/onewindow/exchange"
)

// TestTypes reads one row per trap through the snapshot and through the log:
// both must give the texts of the golden file.
func TestTypes(t *testing.T) {
	types := []string{
		"n numeric", "m numeric(12,3)", "f real", "g double precision", "i bigint", "b boolean", "c char(6)", "v varchar(40)", "x text", "y bytea",
		"d date", "ts timestamp", "tz timestamptz(6)", "tm time", "ttz timetz", "iv interval", "a integer[]", "ta text[]", "j json", "jb jsonb",
		"u uuid", "net inet", "bits bit(5)", "vb bit varying", "r int4range", "mo money", "e mood", "comp pair", "xm xml", "pt point", "o oid",
	}
	values := []string{
		"'NaN', 1.500, 'Infinity', '-0', 9223372036854775807, true, 'ab', '  padded ', '', '\\x00ff', '0044-03-15 BC', 'infinity', '-infinity', '24:00:00', " +
			"'12:00:00+08', '-1 year 2 mons 3 days 04:05:06.789', '{}', '{NULL,\"NULL\",\"a,b\",\"\\\"\"}', '{ \"a\" :  1.0 }', '{ \"a\" :  1.0 }', " +
			"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '10.0.0.1/8', B'10101', B'', '(1,5]', '12.5', 'sad', '(1,\"a b\")', '<a>1</a>', '(1,2.5)', 4294967295",
		"1234567890123456789012345678901234567890.12345678901234567890, -0.001, 0.1, 0.1, -1, false, '', '张三丰', E'a\\nb\\t\\\\\"', '', '1582-10-10', " +
			"'1900-01-01 00:00:00.000001', '1899-12-31 23:59:59.999999+08', '00:00:00.1', '23:59:59.999999-12', '0', '{{1,NULL},{3,4}}', '{\"\"}', '[]', '{\"b\":1,\"a\":2}', " +
			"'00000000-0000-0000-0000-000000000000', '::1', B'00000', B'1', 'empty', '-0.01', 'happy', '(,)', NULL, '(1e300,-0)', 0",
		"1e-20, 999999999.999, 1e-45, 1.7976931348623157e308, 0, NULL, '全角１', NULL, '㐀𠀀😀', NULL, '9999-12-31', '294276-12-31 23:59:59.999999', '2025-11-03 08:00:00+08', " +
			"NULL, NULL, '178000000 years', NULL, NULL, 'null', '1', NULL, '192.168.100.128/25', NULL, NULL, '[1,)', NULL, NULL, NULL, NULL, NULL, NULL",
	}
	var columns []string
	for _, c := range types {
		columns = append(columns, strings.Fields(c)[0])
	}
	d := newDepartment(t, `CREATE TYPE mood AS ENUM ('sad', 'happy')`, `CREATE TYPE pair AS (a integer, b text)`,
		`CREATE TABLE people (id bigint PRIMARY KEY, `+strings.Join(types, ", ")+`)`)
	put := func() {
		for i, row := range values {
			d.exec(t, `INSERT INTO people VALUES (`+string(rune('1'+i))+`, `+row+`)`)
		}
	}
	put()
	src := d.follow(t, d.definition(append([]string{"id"}, columns...)...), nil)
	snapshot := rowsOf(drain(t, src))
	d.exec(t, `DELETE FROM people`)
	put()
	stream := rowsOf(drain(t, src))[len(values):]
	if len(snapshot) != len(values) || len(stream) != len(values) {
		t.Fatalf("%d and %d rows", len(snapshot), len(stream))
	}
	var got bytes.Buffer
	for i := range snapshot {
		if !bytes.Equal(snapshot[i].Raw, stream[i].Raw) || snapshot[i].Origin != stream[i].Origin {
			t.Errorf("row %d\nin the snapshot %s\nin the log      %s", i, snapshot[i].Raw, stream[i].Raw)
		}
		got.Write(bytes.ReplaceAll(snapshot[i].Raw, []byte(`","`), []byte("\",\n\"")))
		got.WriteString("\n\n")
	}
	golden := filepath.Join("testdata", "types.golden")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("texts are\n%s\nwant\n%s", got.Bytes(), want)
	}
}

// TestCharset reads GBK bytes from a database that knows no charset, through
// snapshot and log, and rejects what is not GBK.
func TestCharset(t *testing.T) {
	d := newDepartment(t)
	name := "ascii_" + d.schema
	d.exec(t, `CREATE DATABASE `+name+` ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	u, err := url.Parse(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.RawQuery = name, "sslmode=disable&search_path=public"
	t.Cleanup(func() {
		if _, err := d.ExecContext(context.WithoutCancel(t.Context()), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	other := departmentAt(t, u.String(), `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	other.slot = d.slot
	put := func() {
		other.exec(t, `INSERT INTO people VALUES (1, convert_from('\xd5c5c8fd5c7c', 'SQL_ASCII')), (2, convert_from('\xd5ff', 'SQL_ASCII')), (3, 'a')`)
	}
	put()
	def := other.definition()
	def.Log.Charset = "gbk"
	src := other.follow(t, def, nil)
	rows := rowsOf(drain(t, src))
	other.exec(t, `DELETE FROM people`)
	put()
	again := rowsOf(drain(t, src))
	for _, got := range [][]connectors.Row{rows, again[3:]} {
		expectTexts(t, got, `1,张三\|`, "rejected: "+exchange.RuleEncoding, "3,a")
		if !strings.Contains(string(got[1].Raw), `d5ff`) {
			t.Errorf("raw %s does not have the bytes", got[1].Raw)
		}
	}
}

// TestChineseNames follows a table with Chinese names in databases of other encodings.
func TestChineseNames(t *testing.T) {
	for _, test := range []struct{ encoding, charset string }{{"EUC_CN", ""}, {"EUC_CN", "gbk"}, {"SQL_ASCII", "gbk"}, {"SQL_ASCII", ""}} {
		t.Run(test.encoding+"_"+test.charset, func(t *testing.T) {
			d := newDepartment(t)
			name := strings.ToLower(test.encoding) + "_" + d.schema
			d.exec(t, `CREATE DATABASE `+name+` ENCODING '`+test.encoding+`' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
			t.Cleanup(func() {
				if _, err := d.ExecContext(context.WithoutCancel(t.Context()), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
					t.Error(err)
				}
			})
			u, err := url.Parse(d.dsn)
			if err != nil {
				t.Fatal(err)
			}
			u.Path, u.RawQuery = name, "sslmode=disable&search_path=public"
			other := departmentAt(t, u.String())
			other.slot = d.slot
			raw, err := pgconn.Connect(t.Context(), u.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = raw.Close(context.WithoutCancel(t.Context())) }()
			run := func(statement string) {
				t.Helper()
				bytes := statement
				if test.encoding == "SQL_ASCII" {
					bytes = sqltable.Names(test.charset).Stored(statement)
				}
				if err := raw.Exec(t.Context(), bytes).Close(); err != nil {
					t.Fatal(err)
				}
			}
			run(`SET client_encoding = '` + map[string]string{"EUC_CN": "UTF8", "SQL_ASCII": "SQL_ASCII"}[test.encoding] + `'`)
			run(`CREATE TABLE "人员" (id bigint PRIMARY KEY, "姓名" text)`)
			run(`INSERT INTO "人员" VALUES (1, '张三')`)
			def := other.definition("id", "姓名")
			def.Log.Table, def.Log.Charset = "人员", test.charset
			src := other.follow(t, def, nil)
			rows := rowsOf(drain(t, src))
			run(`INSERT INTO "人员" VALUES (2, '李四')`)
			run(`DELETE FROM "人员" WHERE id = 1`)
			expectTexts(t, append(rows, rowsOf(drain(t, src))...), "1,张三", "2,李四", "delete 1,-")
		})
	}
}
