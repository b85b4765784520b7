package binlog

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

// family is columns of one kind of type, and values of which each is stored in all of them, as far as they go.
type family struct {
	name   string
	types  []string
	values []string
	// options stand behind each type.
	options string
}

// families are every type of MariaDB with every parameter that changes how it is stored or shown.
func families() []family {
	var all []family
	integers := family{name: "integers", values: []string{
		"0", "1", "-1", "7", "127", "-128", "128", "255", "32767", "-32768", "65535", "8388607", "-8388608", "16777215", "2147483647", "-2147483648", "4294967295",
		"9223372036854775807", "-9223372036854775808", "18446744073709551615",
	}}
	for _, kind := range []string{"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT"} {
		integers.types = append(integers.types, kind, kind+" UNSIGNED", kind+" ZEROFILL", kind+"(1)", kind+"(1) ZEROFILL", kind+"(3) ZEROFILL", kind+"(20) ZEROFILL", kind+"(12) UNSIGNED")
	}
	integers.types = append(integers.types, "BOOL", "INT1", "INT8", "MIDDLEINT")
	all = append(all, integers)

	decimals := family{name: "decimals", values: []string{
		"0", "-0.0", "1", "-1", "0.5", "-0.5", "9.99", "12345.678901234", "-99999", "123456789", "1234567890.123456789", "999999999999999999999999999999999999", "-0.000000001", "1e-30", "1e60",
	}}
	for _, md := range []string{"1,0", "1,1", "5,2", "9,0", "9,9", "10,9", "18,2", "18,9", "19,10", "30,30", "38,38", "40,20", "65,0", "65,30", "65,38"} {
		decimals.types = append(decimals.types, "DECIMAL("+md+")", "DECIMAL("+md+") ZEROFILL", "NUMERIC("+md+") UNSIGNED")
	}
	decimals.types = append(decimals.types, "DECIMAL", "DEC(7)", "FIXED(20,4)")
	all = append(all, decimals)

	floats := family{name: "floats", values: []string{
		"0", "-0e0", "1", "-1", "0.1", "0.5", "-0.5", "1.5", "2.5", "0.125", "0.375", "1.005", "12345678901234.5678", "-12345678901234.5678", "0.00005", "123456.789", "16777217", "9007199254740993",
		"1e15", "1e16", "123456789012345678", "1e-14", "1e-15", "3.14159265358979323846", "1e20", "-1e30", "1e38", "1e100", "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "99999.995", "0.045", "8.5e-7",
	}}
	for _, md := range []string{"1,0", "4,4", "5,2", "7,3", "10,0", "20,4", "24,10", "30,20", "53,0", "60,30", "255,0", "255,30", "255,15"} {
		floats.types = append(floats.types, "FLOAT("+md+")", "DOUBLE("+md+")", "DOUBLE("+md+") UNSIGNED")
	}
	for _, kind := range []string{"FLOAT", "DOUBLE", "FLOAT(1)", "FLOAT(24)", "FLOAT(25)", "FLOAT(53)", "REAL", "DOUBLE PRECISION", "FLOAT(7,3)", "DOUBLE(20,4)", "DOUBLE(10,2)", "FLOAT(40,30)"} {
		floats.types = append(floats.types, kind+" ZEROFILL")
	}
	floats.types = append(floats.types, "FLOAT", "DOUBLE", "FLOAT UNSIGNED", "REAL", "FLOAT(24)", "FLOAT(25)")
	all = append(all, floats)

	times := family{name: "times", values: []string{
		"'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'9999-12-31 23:59:59.999999'", "'2025-11-03 08:00:00.1'",
		"'2025-11-03 08:00:00.123456'", "'2025-02-30 12:34:56.000001'", "'2025-00-00 01:02:03'", "'1582-10-10 00:00:00.5'", "NULL",
	}}
	clocks := family{name: "clocks", values: []string{
		"'00:00:00'", "'-00:00:00.000001'", "'-00:00:00.5'", "'-00:00:01'", "'01:02:03.456789'", "'-01:02:03.999999'", "'100:00:00'", "'838:59:59.999999'", "'-838:59:59.999999'", "'-838:59:59'", "NULL",
	}}
	for _, digits := range []string{"", "(0)", "(1)", "(2)", "(3)", "(4)", "(5)", "(6)"} {
		times.types = append(times.types, "DATETIME"+digits, "TIMESTAMP"+digits+" NULL")
		clocks.types = append(clocks.types, "TIME"+digits)
	}
	times.types = append(times.types, "DATE")
	all = append(all, times, clocks)
	all = append(all, family{name: "years", types: []string{"YEAR", "YEAR(2)", "YEAR(4)"}, values: []string{"0", "'0'", "1", "69", "70", "99", "1901", "1999", "2000", "2155", "NULL"}})

	bits := family{name: "bits", values: []string{"0", "1", "2", "255", "256", "4097", "9223372036854775808", "18446744073709551615", "NULL"}}
	for n := 1; n <= 64; n++ {
		bits.types = append(bits.types, fmt.Sprintf("BIT(%d)", n))
	}
	all = append(all, bits)

	for _, charset := range []string{"utf8mb4", "utf8mb3", "gbk", "gb2312", "big5", "latin1", "ascii", "ucs2", "utf16", "utf16le", "utf32"} {
		all = append(all, family{
			name: "texts in " + charset, options: " CHARACTER SET " + charset,
			types: []string{
				"CHAR", "CHAR(0)", "CHAR(10)", "CHAR(63)", "CHAR(64)", "CHAR(85)", "CHAR(86)", "CHAR(127)", "CHAR(128)", "CHAR(255)", "VARCHAR(10)", "VARCHAR(63)", "VARCHAR(64)", "VARCHAR(127)", "VARCHAR(128)",
				"VARCHAR(255)", "VARCHAR(256)", "VARCHAR(300)", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "TEXT(100)",
				"ENUM('','a','it''s','b\\\\c','?','国','é','𠮷','a,b','(x)','许功盖 ','\\n')", "SET('a','it''s','b\\\\c','?','国','é','𠮷','(x)','许功盖')",
			},
			values: []string{"''", "'a'", "'a  '", "'  a'", "'国'", "'国  '", "'許功蓋'", "'许功盖 '", "'é€'", "'𠮷'", "'it''s'", "'b\\\\c'", "'?'", "'a,?'", "'a,国'", "'\\n'", "'\\0'", "REPEAT('国', 300)", "REPEAT('a', 256)", "NULL", "3", "7"},
		})
	}
	all = append(all, family{
		name: "bytes", types: []string{
			"BINARY", "BINARY(0)", "BINARY(1)", "BINARY(16)", "BINARY(255)", "VARBINARY(1)", "VARBINARY(255)", "VARBINARY(256)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "CHAR(5) BYTE",
		},
		values: []string{"''", "X'00'", "X'0000'", "X'FF00'", "X'00FF'", "X'20'", "'a '", "REPEAT(X'00', 256)", "REPEAT(X'FE20', 200)", "NULL", "1", "2"},
	})
	all = append(all, family{name: "documents", types: []string{"JSON", "LONGTEXT"}, values: []string{`'{"a": [1, 2.50, "国"]}'`, "'null'", `'"x"'`, "NULL"}})
	all = append(all, family{name: "addresses", types: []string{"INET6"}, values: []string{"'::'", "'::1'", "'1::ffff:0'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "'2001:db8::ff00:42:8329'", "'0:0:1:0:0:0:1:0'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "'1:2:3:4:5:6:7:8'", "'1:0:0:2::'", "NULL"}})
	all = append(all, family{name: "old addresses", types: []string{"INET4"}, values: []string{"'0.0.0.0'", "'255.255.255.255'", "'10.0.0.1'", "'1.2.0.0'", "'32.32.32.32'", "NULL"}})
	all = append(all, family{name: "identifiers", types: []string{"UUID"}, values: []string{
		"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'123e4567-e89b-12d3-a456-426614174000'", "'123e4567-e89b-42d3-a456-426614174000'", "'017f22e2-79b0-7cc3-98c4-dc0c0c07398f'",
		"'123e4567-e89b-62d3-8456-426614174000'", "'123e4567-e89b-12d3-2456-426614174000'", "'123e4567-e89b-82d3-c456-426614174020'", "NULL",
	}})
	return append(all, family{
		name: "places", types: []string{"GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "GEOMETRYCOLLECTION"},
		values: []string{"POINT(1,2)", "ST_GeomFromText('LINESTRING(0 0,1e300 -1)')", "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')", "ST_GeomFromText('MULTIPOINT(0 0,5 5)', 4326)", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')", "NULL"},
	})
}

// fill makes a table of a family with one column per type and a row per value; what a column cannot take stays null.
func (f family) fill(t *testing.T, db department, table string) (columns []string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	run := func(statement string) error {
		_, err := conn.ExecContext(t.Context(), statement)
		return err
	}
	columns = []string{"id"}
	var declared []string
	for i, kind := range f.types {
		columns = append(columns, fmt.Sprintf("c%d", i))
		if !strings.Contains(kind, "CHARACTER SET") && !strings.Contains(kind, "BYTE") {
			kind += f.options
		}
		declared = append(declared, columns[i+1]+" "+kind)
	}
	for _, statement := range []string{
		"SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'",
		"CREATE TABLE " + table + " (id INT PRIMARY KEY, " + strings.Join(declared, ", ") + ") ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4",
	} {
		if err := run(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for k, value := range f.values {
		if err := run(fmt.Sprintf("INSERT INTO %s (id) VALUES (%d)", table, k)); err != nil {
			t.Fatal(err)
		}
		stored := false
		for _, c := range columns[1:] {
			stored = run(fmt.Sprintf("UPDATE IGNORE %s SET %s = %s WHERE id = %d", table, c, value, k)) == nil || stored
		}
		if !stored {
			t.Errorf("no column takes %s", value)
		}
	}
	return columns
}

// TestCase09LogTextIsTableText reads each value of every type from the table beside the log, from the log, by a scan
// and as kind sql does: the texts must be the same.
func TestCase09LogTextIsTableText(t *testing.T) {
	db := newDepartment(t)
	for i, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			table := fmt.Sprintf("t%d", i)
			columns := f.fill(t, db, table)
			compareWays(t, db, table, columns, func(c int) string {
				if c == 0 {
					return "id"
				}
				return f.types[c-1] + f.options
			})
		})
	}
}

// compareWays copies the rows of a table under other ids while it is followed, and compares all ways of reading them.
func compareWays(t *testing.T, db department, table string, columns []string, describe func(c int) string) {
	t.Helper()
	const copied = 1_000_000
	src := opened(t, db.definition(t, table, columns...), nil)
	ways := map[string][]connectors.Row{"table": rowsOf(readAll(t, src))}
	db.run(t, fmt.Sprintf("INSERT INTO %s SELECT id + %d, %s FROM %s", table, copied, strings.Join(columns[1:], ", "), table))
	ways["log"] = rowsOf(readAll(t, src))
	if err := src.Scan(t.Context(), connectors.KeyRange{}, func(rows []connectors.Row) error {
		ways["scan"] = append(ways["scan"], rows...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ways["kind sql"] = sqlRows(t, db, table, columns)
	texts := map[string]map[int]connectors.Row{}
	for way, rows := range ways {
		texts[way] = map[int]connectors.Row{}
		for _, r := range rows {
			id, err := strconv.Atoi(r.Key[0])
			if err != nil {
				t.Fatal(err)
			}
			texts[way][id] = r
		}
	}
	n := len(texts["table"])
	if n == 0 || len(texts["log"]) != n || len(texts["scan"]) != 2*n || len(texts["kind sql"]) != 2*n {
		t.Fatalf("%d rows from the table, %d from the log, %d by the scan, %d of kind sql", n, len(texts["log"]), len(texts["scan"]), len(texts["kind sql"]))
	}
	wrong := 0
	for id, want := range texts["table"] {
		for way, got := range map[string]connectors.Row{
			"log": texts["log"][id+copied], "scan": texts["scan"][id], "scan of the copy": texts["scan"][id+copied],
			"kind sql": texts["kind sql"][id], "kind sql of the copy": texts["kind sql"][id+copied],
		} {
			if (got.Rejection == nil) != (want.Rejection == nil) {
				t.Errorf("row %d: %s %+v, table %+v", id, way, got.Rejection, want.Rejection)
				continue
			}
			for c := 1; c < len(want.Values) && wrong < 30; c++ {
				if got.Values[c] != want.Values[c] {
					wrong++
					t.Errorf("%s, row %d: %s %.100q, table %.100q", describe(c), id, way, got.Values[c].Text, want.Values[c].Text)
				}
			}
		}
	}
}

// sqlRows reads a table as kind sql in bulk mode does.
func sqlRows(t *testing.T, db department, table string, columns []string) []connectors.Row {
	t.Helper()
	def := db.definition(t, table, columns...)
	def.Kind = connectors.KindSQL
	def.SQL = &connectors.SQL{Driver: "mariadb", DSNFile: def.Log.DSNFile, Table: table, Key: columns[:1], Mode: connectors.Bulk}
	def.Log = nil
	src, err := sqltable.New(def, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close(context.WithoutCancel(t.Context())) }()
	return rowsOf(readAll(t, src))
}

// TestFloatsWithDecimals compares many numbers of FLOAT(M,D) and DOUBLE(M,D) with the server's own texts.
func TestFloatsWithDecimals(t *testing.T) {
	db := newDepartment(t)
	var declared, columns []string
	for d := range 31 {
		for _, kind := range []string{"FLOAT", "DOUBLE"} {
			columns = append(columns, fmt.Sprintf("%s%d", strings.ToLower(kind[:1]), d))
			declared = append(declared, fmt.Sprintf("%s %s(255,%d)", columns[len(columns)-1], kind, d))
		}
	}
	db.run(t, "CREATE TABLE floats (id INT PRIMARY KEY, v DOUBLE, "+strings.Join(declared, ", ")+")")
	random := rand.New(rand.NewPCG(5, 6))
	values := []string{"0", "0.5", "1.5", "2.5", "0.25", "0.125", "1e22", "1e23", "123456789012345678", "4.35", "1e37"}
	for range 1500 {
		v := (random.Float64() - 0.5) * math.Pow(10, float64(random.IntN(60)-25))
		if random.IntN(3) == 0 {
			v = float64(random.IntN(4_000_000)-2_000_000) / float64(int(1)<<random.IntN(12)) // many ties
		}
		values = append(values, strconv.FormatFloat(v, 'g', -1, 64))
	}
	for i, v := range values {
		values[i] = fmt.Sprintf("(%d, %s)", i, v)
	}
	db.run(t, "INSERT INTO floats (id, v) VALUES "+strings.Join(values, ","))
	db.run(t, "UPDATE floats SET "+strings.Join(columns, " = v, ")+" = v")
	db.run(t, "ALTER TABLE floats DROP COLUMN v")
	compareWays(t, db, "floats", append([]string{"id"}, columns...), func(c int) string { return "column " + append([]string{"id"}, columns...)[c] })
}

// testOldTimes compares the ways of reading times in the form of MariaDB 5.3, which old tables still have.
func testOldTimes(t *testing.T, address string) {
	db := databaseAt(t, address)
	db.run(t, "SET GLOBAL mysql56_temporal_format = OFF")
	defer db.run(t, "SET GLOBAL mysql56_temporal_format = ON")
	for i, f := range []family{
		{name: "times", types: []string{"DATETIME", "TIMESTAMP NULL", "DATE"}, values: []string{
			"'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'9999-12-31 23:59:59'", "'2025-02-30 12:34:56'", "NULL",
		}},
		{name: "clocks", types: []string{"TIME"}, values: []string{"'00:00:00'", "'-00:00:01'", "'01:02:03'", "'838:59:59'", "'-838:59:59'", "NULL"}},
	} {
		table := fmt.Sprintf("old%d", i)
		compareWays(t, db, table, f.fill(t, databaseOf(t, db), table), func(c int) string { return append([]string{"id"}, f.types...)[c] })
	}
}
