package binlog

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

var update = flag.Bool("update", false, "write golden files")

// traps are columns and, for each, values as SQL that other connectors damage.
var traps = []struct{ name, kind, values string }{
	{"tiny", "TINYINT", "-128|127|0"},
	{"utiny", "TINYINT UNSIGNED", "255|128|0"},
	{"small", "SMALLINT", "-32768|32767|-1"},
	{"usmall", "SMALLINT UNSIGNED", "65535|32768|0"},
	{"medium", "MEDIUMINT", "-8388608|8388607|-1"},
	{"umedium", "MEDIUMINT UNSIGNED", "16777215|8388608|0"},
	{"whole", "INT", "-2147483648|2147483647|-1"},
	{"uwhole", "INT UNSIGNED", "4294967295|2147483648|0"},
	{"big", "BIGINT", "-9223372036854775808|9223372036854775807|9007199254740993"},
	{"ubig", "BIGINT UNSIGNED", "18446744073709551615|9223372036854775808|0"},
	{"filled", "INT(7) ZEROFILL", "42|12345678|0"},
	{"money", "DECIMAL(18,2)", "-0.50|9999999999999999.99|1.10"},
	{"dec65", "DECIMAL(65,30)", "-99999999999999999999999999999999999.999999999999999999999999999999|0.000000000000000000000000000001|1"},
	{"dec9", "DECIMAL(9,0)", "-999999999|0|1"},
	{"dec0", "DECIMAL(5,5)", "-0.00001|0.99999|0"},
	{"decfill", "DECIMAL(8,3) ZEROFILL", "1.5|99999.999|0"},
	{"real4", "FLOAT", "3.14159265|16777217|-1e-20"},
	{"real4b", "FLOAT", "0.1|1e20|123456.7"},
	{"realmd", "FLOAT(7,3)", "1234.5678|-0.0005|0"},
	{"real8", "DOUBLE", "0.1|1.7976931348623157e308|-2.2250738585072014e-308"},
	{"real8b", "DOUBLE", "1e15|1e14|0.000000000000001"},
	{"real8md", "DOUBLE(20,4)", "123456789012.34567|-0.00004|0"},
	{"real8fill", "DOUBLE ZEROFILL", "1.5|0|2"},
	{"bit1", "BIT(1)", "b'1'|b'0'|b'1'"},
	{"bit13", "BIT(13)", "b'1000000000001'|b'1'|b'0'"},
	{"bit64", "BIT(64)", "18446744073709551615|1|0"},
	{"day", "DATE", "'0000-00-00'|'1000-01-01'|'9999-12-31'"},
	{"day2", "DATE", "'1582-10-10'|'1900-02-28'|'2025-02-00'"},
	{"at", "DATETIME", "'0000-00-00 00:00:00'|'9999-12-31 23:59:59'|'2025-11-03 00:00:00'"},
	{"at6", "DATETIME(6)", "'2025-11-03 08:00:00.000001'|'1582-10-10 12:34:56.120000'|'0000-00-00 00:00:00'"},
	{"at3", "DATETIME(3)", "'2025-11-03 08:00:00.120'|'2025-11-03 08:00:00'|'2025-00-00 00:00:00.999'"},
	{"at1", "DATETIME(1)", "'2025-11-03 08:00:00.9'|'2025-11-03 08:00:00'|'2025-11-03 08:00:00.1'"},
	{"stamp", "TIMESTAMP NULL", "'0000-00-00 00:00:00'|'1970-01-01 00:00:01'|'2038-01-19 03:14:07'"},
	{"stamp5", "TIMESTAMP(5) NULL", "'2025-11-03 08:00:00.00001'|'2025-11-03 08:00:00'|'0000-00-00 00:00:00'"},
	{"span", "TIME", "'-838:59:59'|'838:59:59'|'-00:00:01'"},
	{"span2", "TIME(2)", "'-00:00:00.01'|'-00:00:01.10'|'100:00:00.99'"},
	{"span4", "TIME(4)", "'-00:00:00.0001'|'00:00:00'|'-838:59:58.9999'"},
	{"span6", "TIME(6)", "'-00:00:00.000001'|'01:02:03.400000'|'-01:00:00'"},
	{"year4", "YEAR", "0|1901|2155"},
	{"fixed", "CHAR(10)", "'a  '|'  b'|''"},
	{"fixedgbk", "CHAR(10) CHARACTER SET gbk", "'张三  '|'誠'|'\\\\'"},
	{"fixedlong", "CHAR(255) CHARACTER SET utf8mb4", "'张三'|REPEAT('龍',255)|'x'"},
	{"vargbk", "VARCHAR(200) CHARACTER SET gbk", "'你好，世界'|'朱镕基'|REPEAT('誠',200)"},
	{"var18030", "VARCHAR(200) CHARACTER SET gbk", "'㐀'|'x'|''"},
	{"varbig5", "VARCHAR(200) CHARACTER SET big5", "'許功蓋'|'餐廳'|'成功'"},
	{"varlatin", "VARCHAR(200) CHARACTER SET latin1", "'é€'|X'8081FF'|'x'"},
	{"varutf3", "VARCHAR(200) CHARACTER SET utf8mb3", "'张'|'é'|' '"},
	{"var4", "VARCHAR(300)", "'𠮷😀'|REPEAT('张',300)|'a '"},
	{"mediumgbk", "MEDIUMTEXT CHARACTER SET gbk", "REPEAT('张',70000)|''|'\\n\\t'"},
	{"tinyutf", "TINYTEXT", "'é'|'a'|''"},
	{"doc", "JSON", "'{\"a\": [1, 2.50, \"张\"]}'|'null'|'\"x\"'"},
	{"bin", "BINARY(6)", "X'00FF00'|X'0000'|'abcdef'"},
	{"varbin", "VARBINARY(300)", "X'00FF'|X''|REPEAT(X'00',300)"},
	{"blob1", "TINYBLOB", "X'00'|X''|X'FF00'"},
	{"blob4", "LONGBLOB", "REPEAT(X'FE',70000)|X'5C78'|X''"},
	{"choice", "ENUM('一','it''s','a\\\\b','')", "'一'|'it''s'|'a\\\\b'"},
	{"choicegbk", "ENUM('男','女') CHARACTER SET gbk", "'男'|'女'|'男'"},
	{"many", "SET('红','b','c d')", "'红,b'|''|'b'"},
	{"place", "POINT", "POINT(1,2)|POINT(-1e300,0.1)|POINT(0,0)"},
	{"nothing", "VARCHAR(10)", "NULL|NULL|''"},
}

func trapNames() []string {
	names := []string{"id"}
	for _, trap := range traps {
		names = append(names, trap.name)
	}
	return names
}

// fillTraps makes a table of all traps and inserts the rows.
func fillTraps(t *testing.T, db department, table string, first int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var columns []string
	for _, trap := range traps {
		columns = append(columns, trap.name+" "+trap.kind)
	}
	statements := []string{
		"SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4",
		"CREATE TABLE IF NOT EXISTS " + table + " (id INT PRIMARY KEY, " + strings.Join(columns, ", ") + ") ROW_FORMAT=DYNAMIC",
	}
	for i := range 3 {
		values := []string{fmt.Sprint(first + i)}
		for _, trap := range traps {
			values = append(values, strings.Split(trap.values, "|")[i])
		}
		statements = append(statements, "INSERT INTO "+table+" VALUES ("+strings.Join(values, ", ")+")")
	}
	for _, statement := range statements {
		if statement, ok := strings.CutSuffix(statement, ", NAMES utf8mb4"); ok {
			if _, err := conn.ExecContext(t.Context(), "SET NAMES utf8mb4"); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%.300s: %v", statement, err)
		}
	}
}

// TestTypes reads every trap once from the table and once from the log: the
// texts must be the same, and those of the golden file.
func TestTypes(t *testing.T) {
	db := newDepartment(t)
	fillTraps(t, db, "traps", 1)
	def := db.definition(t, "traps", trapNames()...)
	src := opened(t, def, nil)
	fromTable := rowsOf(readAll(t, src))
	fillTraps(t, db, "traps", 11)
	fromLog := rowsOf(readAll(t, src))
	if len(fromTable) != 3 || len(fromLog) != 3 {
		t.Fatalf("%d rows from the table, %d from the log", len(fromTable), len(fromLog))
	}
	var golden bytes.Buffer
	for i, name := range trapNames()[1:] {
		for k := range 3 {
			if fromTable[k].Rejection != nil || fromLog[k].Rejection != nil {
				t.Fatalf("row %d is rejected: %+v, %+v", k, fromTable[k].Rejection, fromLog[k].Rejection)
			}
			a, b := fromTable[k].Values[i+1], fromLog[k].Values[i+1]
			if a != b {
				t.Errorf("%s (%s) row %d: table %.100q, log %.100q", name, traps[i].kind, k, a.Text, b.Text)
			}
			text := a.Text
			if a.Null {
				text = "NULL"
			} else if len(text) > 120 {
				text = fmt.Sprintf("%.60s… (%d bytes)", text, len(text))
			}
			fmt.Fprintf(&golden, "%s\t%s\t%q\n", name, traps[i].kind, text)
		}
	}
	compareGolden(t, "types.txt", golden.Bytes())
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as in %s (write it with -update):\n%s", file, got)
	}
}

// TestFloats compares many floating-point numbers with the server's own texts.
func TestFloats(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE floats (id INT PRIMARY KEY, f FLOAT, d DOUBLE)")
	src := opened(t, db.definition(t, "floats", "id", "f", "d"), nil)
	readAll(t, src)
	random := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, 1, -1, 0.1, 1e15, 1e16, 123456789012345678, 1e-14, 1e-15, 1e-16, 999999.5, 9999995, 0.000123456789, 5e-324, math.MaxFloat64, 1e22, 1e23}
	for range 3000 {
		values = append(values, math.Float64frombits(random.Uint64()), (random.Float64()-0.5)*math.Pow(10, float64(random.IntN(40)-20)), float64(random.IntN(2_000_000))/100)
	}
	var inserts []string
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		f := v
		if math.Abs(f) > math.MaxFloat32 {
			f = float64(math.Float32frombits(uint32(random.Uint64()) &^ (1 << 30)))
		}
		inserts = append(inserts, fmt.Sprintf("(%d, %v, %v)", i, float32(f), v))
	}
	for part := range slices.Chunk(inserts, 1000) {
		db.run(t, "INSERT INTO floats VALUES "+strings.Join(part, ","))
	}
	got := map[string][2]string{}
	for _, row := range rowsOf(readAll(t, src)) {
		got[row.Values[0].Text] = [2]string{row.Values[1].Text, row.Values[2].Text}
	}
	rows, err := db.QueryContext(t.Context(), "SELECT id, CONCAT(f), CONCAT(d) FROM floats")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n, wrong := 0, 0
	for rows.Next() {
		var id string
		var want [2]string
		if err := rows.Scan(&id, &want[0], &want[1]); err != nil {
			t.Fatal(err)
		}
		if n++; got[id] != want && wrong < 10 {
			wrong++
			t.Errorf("log %v, server %v", got[id], want)
		}
	}
	if err := rows.Err(); err != nil || n != len(inserts) {
		t.Fatalf("%d of %d rows, %v", n, len(inserts), err)
	}
}

// TestInvalidBytes reads bytes that are not of their charset, once from the table and once from the log.
func TestInvalidBytes(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(50) CHARACTER SET latin1)")
	insert := func(first int) {
		db.run(t, fmt.Sprintf("INSERT INTO people VALUES (%d, X'D5C5C8FD'), (%d, X'D5C581'), (%d, X'B37C')", first, first+1, first+2))
	}
	insert(1)
	def := db.definition(t, "people", "id", "name")
	def.Log.Charset = "gbk"
	src := opened(t, def, nil)
	table := rowsOf(readAll(t, src))
	insert(11)
	for _, rows := range [][]connectors.Row{table, rowsOf(readAll(t, src))} {
		if len(rows) != 3 {
			t.Fatalf("%d rows", len(rows))
		}
		if rows[0].Values == nil || rows[0].Values[1].Text != "张三" {
			t.Errorf("GBK in a latin1 column = %+v", rows[0])
		}
		r := rows[1]
		if r.Rejection == nil || r.Rejection.Rule != exchange.RuleEncoding || r.Values != nil || !bytes.Contains(r.Raw, []byte("d5c581")) {
			t.Errorf("invalid bytes gave %+v, raw %s", r.Rejection, r.Raw)
		}
		if rows[2].Rejection != nil && !json.Valid(rows[2].Raw) {
			t.Errorf("raw %s", rows[2].Raw)
		}
	}
}

// TestOverride reads latin1 columns that really hold something else, from the table and from the log.
func TestOverride(t *testing.T) {
	db := newDepartment(t)
	for charset, test := range map[string]struct{ bytes, want string }{
		"gb18030": {"8139EF30C4E3", "㐁你"}, "big5": {"B35CA55CBB5C", "許功蓋"}, "gbk": {"C4E3BAC3", "你好"}, "utf-8": {"E5BCA0", "张"},
	} {
		table := "t_" + strings.ReplaceAll(charset, "-", "")
		db.run(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, name VARCHAR(50) CHARACTER SET latin1)")
		db.run(t, "INSERT INTO "+table+" VALUES (1, X'"+test.bytes+"')")
		def := db.definition(t, table, "id", "name")
		def.Log.Charset = charset
		src := opened(t, def, nil)
		rows := rowsOf(readAll(t, src))
		db.run(t, "INSERT INTO "+table+" VALUES (2, X'"+test.bytes+"')")
		rows = append(rows, rowsOf(readAll(t, src))...)
		if len(rows) != 2 || rows[0].Rejection != nil || rows[1].Rejection != nil ||
			rows[0].Values[1].Text != test.want || rows[1].Values[1].Text != test.want {
			t.Errorf("%s: %+v", charset, rows)
		}
	}
}
