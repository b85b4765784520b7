package sqltable

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/sijms/go-ora/v2/network"

	"github.com/onewindow/onewindow/connectors"
)

// There is no Oracle and no SQL Server here. What can be tested without one is
// the text of the queries and what is made of the drivers' values and errors.

func untried(d dialect, columns ...column) *Table {
	cfg := TableConfig{Table: "HR.People", Key: []string{columns[0].Name, columns[1].Name}, Mapped: len(columns)}
	t := &Table{cfg: cfg, dialect: d, columns: columns, order: []int{0, 1}}
	for _, c := range columns {
		t.selected = append(t.selected, c.Name)
	}
	t.rows = newRowMaker(cfg, t.selected, t.order)
	copy(t.rows.columns, columns)
	return t
}

func declare(name, kind string, nullable bool) column {
	base, _, _ := strings.Cut(kind, "(")
	return column{Column: connectors.Column{Name: name, Type: kind, Nullable: nullable}, kind: base}
}

func TestQueriesOfSQLServer(t *testing.T) {
	table := untried(sqlserver{},
		declare("at", "datetime2(7)", true), declare("id]", "bigint", false), declare("name", "nvarchar(40)", true), declare("v", "rowversion", false),
		declare("d", "decimal(38,4)", true), declare("f", "float", true), declare("m", "money", true))
	order := []int{0, 1}
	const list = "CONVERT(nvarchar(40), t.[at], 121), CONVERT(nvarchar(max), t.[id]]]), CONVERT(nvarchar(max), t.[name]), " +
		"CONVERT(varbinary(max), t.[v]), CONVERT(nvarchar(max), t.[d]), CONVERT(nvarchar(40), t.[f], 3), CONVERT(nvarchar(40), t.[m], 2) FROM [HR].[People] t"
	expectQuery(t, table, span{order: order}, 10,
		"SELECT TOP (10) "+list+" WHERE t.[at] IS NOT NULL ORDER BY t.[at], t.[id]]]")
	expectQuery(t, table, span{order: order, after: []string{"2025-11-03 08:00:00.1234567", "7"}}, 10,
		"SELECT TOP (10) "+list+" WHERE t.[at] IS NOT NULL AND t.[at] >= CONVERT(datetime2(7), @p1, 121) AND "+
			"(t.[at] > CONVERT(datetime2(7), @p2, 121) OR t.[at] = CONVERT(datetime2(7), @p3, 121) AND t.[id]]] > CONVERT(bigint, @p4)) ORDER BY t.[at], t.[id]]]",
		"2025-11-03 08:00:00.1234567", "2025-11-03 08:00:00.1234567", "2025-11-03 08:00:00.1234567", "7")
	expectQuery(t, table, span{order: []int{3}, from: []string{`\x00ff`}, to: []string{`\x0100`}}, 5,
		"SELECT TOP (5) "+list+" WHERE t.[v] >= @p1 AND t.[v] <= @p2 ORDER BY t.[v]", []byte{0, 0xff}, []byte{1, 0})
	expectQuery(t, table, span{order: order, absent: true}, 1, "SELECT TOP (1) "+list+" WHERE (NOT (t.[at] IS NOT NULL))")
	expectQuery(t, table, span{order: []int{0}, descending: true}, 1,
		"SELECT TOP (1) "+list+" WHERE t.[at] IS NOT NULL ORDER BY t.[at] DESC")
	expectQuery(t, table, span{order: []int{2}, among: [][]string{{"it's"}, {"張"}}}, 2,
		"SELECT TOP (2) "+list+" WHERE t.[name] IS NOT NULL AND ((t.[name] = @p1) OR (t.[name] = @p2)) ORDER BY t.[name]", "it's", "張")
	expectQuery(t, table, span{order: []int{0}, ahead: true}, 1,
		"SELECT TOP (1) "+list+" WHERE t.[at] IS NOT NULL AND t.[at] > CONVERT(datetime2(7), DATEADD(day, 1, SYSDATETIMEOFFSET())) ORDER BY t.[at]")
	expectQuery(t, table, span{order: []int{3}, ahead: true}, 1, "SELECT TOP (1) "+list+" WHERE 1 = 0 ORDER BY t.[v]")
	if got := sqlserverCatalogue("HR.Pe'ople"); !strings.Contains(got, "OBJECT_ID(N'[HR].[Pe''ople]')") {
		t.Error(got)
	}
}

func TestQueriesOfOracle(t *testing.T) {
	table := untried(oracle{},
		declare("AT", "timestamp(6)", true), declare("ID", "number(19,0)", false), declare("D", "date", true), declare("R", "raw(16)", true),
		declare("Z", "timestamp with time zone", true), declare("NAME", "varchar2(40)", true))
	const list = `TO_CHAR(t."AT", 'YYYY-MM-DD HH24:MI:SS.FF'), TO_CHAR(t."ID"), TO_CHAR(t."D", 'YYYY-MM-DD HH24:MI:SS'), t."R", ` +
		`NVL2(t."Z", TO_CHAR(SYS_EXTRACT_UTC(CAST(t."Z" AS TIMESTAMP WITH TIME ZONE)), 'YYYY-MM-DD HH24:MI:SS.FF') || ' +00:00', NULL), t."NAME" ` +
		`FROM "HR"."People" t`
	order := []int{0, 1}
	expectQuery(t, table, span{order: order, after: []string{"2025-11-03 08:00:00.123456", "7"}, to: []string{"2025-11-04 00:00:00.000000"}}, 10,
		`SELECT * FROM (SELECT `+list+` WHERE t."AT" IS NOT NULL AND t."AT" >= TO_TIMESTAMP(:1, 'YYYY-MM-DD HH24:MI:SS.FF') AND `+
			`(t."AT" > TO_TIMESTAMP(:2, 'YYYY-MM-DD HH24:MI:SS.FF') OR t."AT" = TO_TIMESTAMP(:3, 'YYYY-MM-DD HH24:MI:SS.FF') AND t."ID" > TO_NUMBER(:4)) `+
			`AND t."AT" <= TO_TIMESTAMP(:5, 'YYYY-MM-DD HH24:MI:SS.FF') ORDER BY t."AT", t."ID") WHERE ROWNUM <= 10`,
		"2025-11-03 08:00:00.123456", "2025-11-03 08:00:00.123456", "2025-11-03 08:00:00.123456", "7", "2025-11-04 00:00:00.000000")
	expectQuery(t, table, span{order: []int{3}, from: []string{`\x00ff`}}, 1,
		`SELECT * FROM (SELECT `+list+` WHERE t."R" IS NOT NULL AND t."R" >= HEXTORAW(:1) ORDER BY t."R") WHERE ROWNUM <= 1`, "00FF")
	expectQuery(t, table, span{order: []int{4}, from: []string{"2025-11-03 00:00:00.000000 +00:00"}}, 1,
		`SELECT * FROM (SELECT `+list+` WHERE t."Z" IS NOT NULL AND t."Z" >= TO_TIMESTAMP_TZ(:1, 'YYYY-MM-DD HH24:MI:SS.FF TZH:TZM') ORDER BY t."Z") WHERE ROWNUM <= 1`,
		"2025-11-03 00:00:00.000000 +00:00")
	expectQuery(t, table, span{order: []int{0}, current: true}, 1,
		`SELECT * FROM (SELECT `+list+` WHERE t."AT" IS NOT NULL AND t."AT" <= CAST(SYSTIMESTAMP + INTERVAL '1' DAY AS TIMESTAMP) ORDER BY t."AT") WHERE ROWNUM <= 1`)
	if got := oracleCatalogue("HR.Pe'ople"); !strings.Contains(got, "owner = 'HR' AND table_name = 'Pe''ople'") {
		t.Error(got)
	}
}

func expectQuery(t *testing.T, table *Table, s span, limit int, text string, args ...any) {
	t.Helper()
	got, err := table.query(s, limit)
	if err != nil {
		t.Fatal(err)
	}
	if got.text != text || fmt.Sprintf("%q", got.args) != fmt.Sprintf("%q", args) {
		t.Errorf("query\n%s %q\nwant\n%s %q", got.text, got.args, text, args)
	}
}

// TestValuesOfUntriedDrivers makes texts of what the drivers give for the expressions above.
func TestValuesOfUntriedDrivers(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{"1234567890123456789012345678901234.5600", "1234567890123456789012345678901234.5600"},
		{"ab    ", "ab    "},
		{[]byte{0, 0xff}, `\x00ff`},
		{int64(9007199254740993), "9007199254740993"},
	} {
		if got, err := textOrBytes(nil, test.value); err != nil || string(got) != test.want {
			t.Errorf("%v became %q, %v", test.value, got, err)
		}
	}
	if got, err := textOrBytes(nil, 0.1); err == nil {
		t.Errorf("a float became %q", got)
	}
}

func TestFaultsOfUntriedDrivers(t *testing.T) {
	for _, test := range []struct {
		driver string
		err    error
		want   connectors.FaultCode
	}{
		{"sqlserver", mssql.Error{Number: 18456}, connectors.FaultCredentials},
		{"sqlserver", mssql.Error{Number: 208}, connectors.FaultTable},
		{"sqlserver", mssql.Error{Number: 229}, connectors.FaultRight},
		{"sqlserver", errors.New("EOF"), connectors.FaultUnreachable},
		{"oracle", &network.OracleError{ErrCode: 1017}, connectors.FaultCredentials},
		{"oracle", &network.OracleError{ErrCode: 942}, connectors.FaultTable},
		{"oracle", &network.OracleError{ErrCode: 12514}, connectors.FaultTable},
		{"oracle", errors.New("EOF"), connectors.FaultUnreachable},
	} {
		d, err := dialectOf(test.driver)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.classify(fmt.Errorf("wrapped: %w", test.err)); got != test.want {
			t.Errorf("%s %v is %s; want %s", test.driver, test.err, got, test.want)
		}
	}
	for _, test := range []struct {
		driver, dsn string
		want        connectors.FaultCode
	}{
		{"sqlserver", "sqlserver://u:s3cr3t@127.0.0.1:1?database=x&encrypt=disable", connectors.FaultUnreachable},
		{"sqlserver", "server=127.0.0.1;password=s3cr3t", connectors.FaultSecret},
		{"oracle", "oracle://u:s3cr3t@127.0.0.1:1/x", connectors.FaultUnreachable},
		{"oracle", "u/s3cr3t@x", connectors.FaultSecret},
	} {
		_, err := OpenTable(t.Context(), TableConfig{
			Driver: test.driver, DSNFile: secret(t, test.dsn), Table: "x", Key: []string{"id"}, Columns: []string{"id"}, Mapped: 1,
		})
		if expectFault(t, err, test.want, "dsn"); strings.Contains(err.Error(), "s3cr3t") {
			t.Error(err)
		}
	}
}

// TestNumbersOfErrors has errors whose texts have values of rows, of which only the number is told.
func TestNumbersOfErrors(t *testing.T) {
	for driver, err := range map[string]error{
		"postgres":  &pgconn.PgError{Code: "22P02", Message: `invalid input syntax for type integer: "Zhang San"`},
		"mysql":     &mysql.MySQLError{Number: 1292, Message: "Incorrect datetime value: 'Zhang San'"},
		"sqlserver": mssql.Error{Number: 245, Message: "Conversion failed when converting the nvarchar value 'Zhang San'"},
		"oracle":    &network.OracleError{ErrCode: 1722, ErrMsg: "invalid number Zhang San"},
	} {
		d, derr := dialectOf(driver)
		if derr != nil {
			t.Fatal(derr)
		}
		table := &Table{dialect: d, cfg: TableConfig{Table: "people", DSNFile: "dep.dsn"}}
		got := table.fault(t.Context(), "reading", fmt.Errorf("wrapped: %w", err))
		expectFault(t, got, connectors.FaultDefinition, "people")
		if text := got.Error(); strings.Contains(text, "Zhang") || !strings.ContainsAny(text, "0123456789") {
			t.Errorf("%s: %v", driver, got)
		}
	}
}

// TestPasswordsInURLs has passwords that are not escaped, of which no error may show a part.
func TestPasswordsInURLs(t *testing.T) {
	for _, driver := range connectors.Drivers() {
		if driver == "sqlite" {
			continue
		}
		for _, password := range []string{"secret%geheim", "secret#geheim", "secret/geheim", "secret?geheim", "x@secret/geheim", "secret geheim", "12345/geheim", "12345#geheim", "12345?geheim"} {
			for _, rest := range []string{"@127.0.0.1:1/x", "@127.0.0.1:1?database=x"} {
				_, err := OpenTable(t.Context(), TableConfig{
					Driver: driver, DSNFile: secret(t, driver+"://u:"+password+rest), Table: "x", Key: []string{"id"}, Columns: []string{"id"}, Mapped: 1,
				})
				expectFault(t, err, connectors.FaultSecret, "dsn")
				if text := fmt.Sprint(err); strings.Contains(text, "secret") || strings.Contains(text, "geheim") || strings.Contains(text, "12345") {
					t.Errorf("%s: %v", driver, err)
				}
			}
		}
	}
}
