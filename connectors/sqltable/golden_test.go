package sqltable

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

var update = flag.Bool("update", false, "write the golden files anew")

// trap is a value that a driver, a float or a time zone would damage.
type trap struct{ kind, value string }

func traps(driver string) []trap {
	shared := []trap{
		{"NUMERIC(38,4)", "1234567890123456789012345678901234.5600"},
		{"BIGINT", "9007199254740993"},
		{"DATE", "'1582-10-10'"},
		{"DATE", "'1900-01-01'"},
		{"CHAR(6)", "'ab'"},
		{"VARCHAR(40)", "' 全角１２ x'"},
		{"VARCHAR(40)", "'a\tb\nc\\d\"e''f'"},
		{"VARCHAR(40)", "NULL"},
		{"VARCHAR(40)", "''"},
	}
	switch driver {
	case "postgres":
		return append(shared,
			trap{"DOUBLE PRECISION", "0.1"}, trap{"DOUBLE PRECISION", "1e-300"}, trap{"DOUBLE PRECISION", "'NaN'"}, trap{"REAL", "3.4e38"},
			trap{"NUMERIC", "'NaN'"}, trap{"NUMERIC", "'-Infinity'"}, trap{"NUMERIC", "1e-20"},
			trap{"TIMESTAMPTZ", "'2025-11-03 08:00:00.123456+08'"}, trap{"TIMESTAMPTZ", "'infinity'"},
			trap{"TIMESTAMPTZ", "'1900-01-01 00:00:00 Asia/Shanghai'"}, trap{"TIMESTAMP", "'2025-11-03 08:00:00.000001'"},
			trap{"TIMESTAMP", "'0044-03-15 12:00:00 BC'"}, trap{"DATE", "'-infinity'"}, trap{"TIME", "'24:00:00'"}, trap{"TIMETZ", "'08:00:00+08'"},
			trap{"INTERVAL", "'1 year -26:00:01.5'"}, trap{"BOOLEAN", "true"}, trap{"BYTEA", `'\x00ff5c'`}, trap{"BIT(5)", "B'00101'"},
			trap{"JSON", `'{"b": 1.10, "a" : [null]}'`}, trap{"JSONB", `'{"b": 1.10, "a" : [null]}'`},
			trap{"TEXT[]", `ARRAY['a,b', NULL, '"q"', '東']`}, trap{"NUMERIC(6,2)[]", "ARRAY[[1.10, 2],[3, 4]]"},
			trap{"UUID", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}, trap{"INET", "'10.0.0.1/8'"}, trap{"MONEY", "1234.5"},
			trap{"INT4RANGE", "'[1,5)'"}, trap{"XML", "'<a/>'"}, trap{"TSVECTOR", "'b a'"},
		)
	case "mariadb":
		return append(shared,
			trap{"VARCHAR(40) CHARACTER SET gbk", "'中文镕'"}, trap{"CHAR(10) CHARACTER SET big5", "'中文功'"},
			trap{"VARCHAR(40) CHARACTER SET latin1", "'Müller €'"}, trap{"VARCHAR(40) CHARACTER SET utf8mb3", "'張'"},
			trap{"VARCHAR(40) CHARACTER SET utf8mb4", "'𠮷𡘙'"}, trap{"VARCHAR(9) CHARACTER SET ascii", "'a'"},
			trap{"ENUM('男','女') CHARACTER SET gbk", "'女'"}, trap{"SET('甲','乙')", "'甲,乙'"}, trap{"TEXT CHARACTER SET gb2312", "'国'"},
			trap{"DOUBLE", "0.1"}, trap{"DOUBLE", "1e-300"}, trap{"DOUBLE", "123456789012345680"}, trap{"FLOAT", "16777216"}, trap{"FLOAT", "0.1"},
			trap{"DOUBLE(10,3)", "1.5"}, trap{"BIGINT UNSIGNED", "18446744073709551615"}, trap{"INT(6) ZEROFILL", "42"}, trap{"TINYINT(1)", "1"},
			trap{"DATE", "'0000-00-00'"}, trap{"DATETIME", "'0000-00-00 00:00:00'"}, trap{"DATE", "'2025-11-00'"},
			trap{"DATETIME(6)", "'2025-11-03 08:00:00.000001'"}, trap{"DATETIME", "'2025-11-03 08:00:00'"},
			trap{"TIMESTAMP(3) NULL", "'2025-11-03 08:00:00.120'"}, trap{"TIMESTAMP NULL", "'0000-00-00 00:00:00'"},
			trap{"TIME(2)", "'-838:59:58.5'"}, trap{"TIME", "'26:00:01'"}, trap{"YEAR", "'0000'"}, trap{"YEAR", "2025"},
			trap{"BIT(1)", "b'1'"}, trap{"BIT(64)", "b'1111111111111111111111111111111111111111111111111111111111111111'"},
			trap{"BINARY(4)", "X'00FF'"}, trap{"BLOB", "X'00FF5C'"}, trap{"JSON", `'{"b": 1.10, "a" : [null]}'`},
			trap{"UUID", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}, trap{"INET6", "'::1'"}, trap{"POINT", "ST_GeomFromText('POINT(1 2)')"},
		)
	}
	return append(shared,
		trap{"TEXT", "'1234567890123456789012345678901234.5600'"}, trap{"REAL", "0.1"}, trap{"REAL", "1234567890.1"}, trap{"REAL", "1e300"},
		trap{"REAL", "9e999"}, trap{"BOOLEAN", "1"}, trap{"DATETIME", "'2025-11-03 08:00:00.000001'"}, trap{"TIMESTAMP", "'2025-11-03 00:00:00+00'"},
		trap{"BLOB", "x'00ff5c'"}, trap{"INTEGER", "'not a number'"}, trap{"", "5"},
	)
}

// TestGolden reads one row of every trap and compares the texts with those that were agreed.
func TestGolden(t *testing.T) {
	departments(t, func(t *testing.T, db department) {
		list := traps(db.driver)
		var declarations, values, columns []string
		for i, trap := range list {
			name := fmt.Sprintf("c%02d", i)
			declarations, values, columns = append(declarations, name+" "+trap.kind), append(values, trap.value), append(columns, name)
		}
		if db.driver == "mariadb" {
			db.SetMaxOpenConns(1)
			db.run(t, `SET SESSION sql_mode = '', time_zone = '+08:00'`)
		}
		db.run(t, `CREATE TABLE traps (id INTEGER PRIMARY KEY, `+strings.Join(declarations, ", ")+`)`)
		db.run(t, `INSERT INTO traps VALUES (1, `+strings.Join(values, ", ")+`)`)
		rows := all(t, db.table(t, TableConfig{Table: "traps", Key: []string{"id"}, Columns: columns}), connectors.KeyRange{}, 10)
		if len(rows) != 1 || rows[0].Rejection != nil {
			t.Fatalf("rows %+v", rows)
		}
		var got bytes.Buffer
		for i, v := range rows[0].Values {
			text := fmt.Sprintf("%q", v.Text)
			if v.Null {
				text = "NULL"
			}
			fmt.Fprintf(&got, "%s %s: %s\n", list[i].kind, list[i].value, text)
		}
		fmt.Fprintf(&got, "raw: %s\n", rows[0].Raw)
		file := filepath.Join("testdata", db.driver+".golden")
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("texts differ from %s:\n%s", file, got.Bytes())
		}
	})
}
