package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// TestCase04AFileWithoutTheColumnsIsNeverArchived has files of every format of which no row can be made, though
// none of their rows says so: a cover sheet, the message of an error, a web page, a renamed column above no row.
func TestCase04AFileWithoutTheColumnsIsNeverArchived(t *testing.T) {
	cover, err := os.ReadFile("testdata/case04.xlsx")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		format, text string
		code         connectors.FaultCode
	}{
		"cover sheet":                  {connectors.FormatExcel, string(cover), connectors.FaultBroken},
		"Excel sheet without a cell":   {connectors.FormatExcel, excelOf(``), connectors.FaultBroken},
		"Excel with half a head":       {connectors.FormatExcel, excelOf(`<row><c t="inlineStr"><is><t>id</t></is></c></row>`), connectors.FaultColumn},
		"message of a database":        {connectors.FormatCSV, "ORA-01555: snapshot too old\n", connectors.FaultBroken},
		"message of two lines":         {connectors.FormatCSV, "ERROR\nsession expired\n", connectors.FaultBroken},
		"part of a web page":           {connectors.FormatCSV, "<table><tr><td>1</td></tr></table>\n", connectors.FaultBroken},
		"head with a column less":      {connectors.FormatCSV, "id,vv,ev\n", connectors.FaultColumn},
		"head in another charset":      {connectors.FormatCSV, "id,v,\xb1\xe0\xba\xc5\n", connectors.FaultColumn},
		"empty CSV":                    {connectors.FormatCSV, "", connectors.FaultIncomplete},
		"message as JSON lines":        {connectors.FormatJSONL, "ORA-01555: snapshot too old\n", connectors.FaultBroken},
		"objects without the columns":  {connectors.FormatJSONL, "{\"code\":401}\n{\"code\":402}\n", connectors.FaultBroken},
		"DBF without the columns":      {connectors.FormatDBF, dbfOf(0, []string{"x,C,5"}, " 12345"), connectors.FaultBroken},
		"empty DBF with a column less": {connectors.FormatDBF, dbfOf(0, []string{"id,C,5"}), connectors.FaultColumn},
		"XML message":                  {connectors.FormatXML, "<message>session expired</message>", connectors.FaultBroken},
		"XML error":                    {connectors.FormatXML, "<error><code>401</code></error>", connectors.FaultBroken},
		"XML rows without the columns": {connectors.FormatXML, "<r><row><x>1</x></row></r>", connectors.FaultBroken},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "rows-1", test.text)
			def := columnsOf(dir, test.format, "id", "v", "ev")
			def.Files.Archive = "done"
			expectFault(t, def, test.code, `"rows-1"`)
			if _, err := os.Stat(filepath.Join(dir, "rows-1")); err != nil {
				t.Errorf("the file is not where it was: %v", err)
			}
		})
	}
}

// TestAFirstFileWithoutRowsIsArchived reads files that have a head and no row, which is nothing wrong.
func TestAFirstFileWithoutRowsIsArchived(t *testing.T) {
	for format, text := range map[string]string{
		connectors.FormatCSV: "id,v\n", connectors.FormatXML: "<rows/>", connectors.FormatDBF: dbfOf(0, []string{"id,C,5", "v,C,5"}),
		connectors.FormatExcel: excelOf(`<row><c t="inlineStr"><is><t>id</t></is></c><c t="inlineStr"><is><t>v</t></is></c></row>`), connectors.FormatJSONL: "\n",
	} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "rows-1", text)
			def := columnsOf(dir, format, "id", "v")
			def.Files.Archive = "done"
			c := &clock{at: time.Now()}
			src := opened(t, def, nil, c)
			for range 12 {
				batch, err := src.Read(t.Context())
				if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
					t.Fatal(err)
				}
				if err == nil {
					if err := src.(connectors.Acknowledger).Acknowledge(t.Context(), batch.Position); err != nil {
						t.Fatal(err)
					}
				}
				c.add(quietWait)
			}
			if _, err := os.Stat(filepath.Join(dir, "done", "rows-1")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAnEmptyFileBehindAFullOneIsAFault has a delivery without rows behind one of a hundred.
func TestAnEmptyFileBehindAFullOneIsAFault(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "rows-1", "id\n"+strings.Repeat("7\n", 100))
	put(t, dir, "rows-2", "id\n")
	def := columnsOf(dir, connectors.FormatCSV, "id")
	c := &clock{at: time.Now()}
	src := opened(t, def, nil, c)
	rows := 0
	for range 200 {
		batch, err := src.Read(t.Context())
		rows += len(batch.Rows)
		c.add(quietWait)
		if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
			checkFault(t, err, connectors.FaultBroken, "rows-2", "no row", "may_be_empty")
			if rows != 100 {
				t.Errorf("%d rows", rows)
			}
			def.Files.MayBeEmpty = true
			if rows := drain(t, opened(t, def, nil, nil)); len(rows) != 100 {
				t.Errorf("%d rows where a file may be empty", len(rows))
			}
			return
		}
	}
	t.Error("no fault")
}

// TestCase13FoxProTypes reads doubles, and the texts of variable length with their nulls.
func TestCase13FoxProTypes(t *testing.T) {
	dbf, err := os.ReadFile("testdata/case13.dbf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "rows.dbf", string(dbf))
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatDBF, "ID", "DBL"), nil, nil))
	if len(rows) != 3 || rows[0].Rejection != nil || rows[0].Values[1].Text != "0.1" {
		t.Errorf("rows %+v", rows)
	}

	dir = t.TempDir()
	text := dbfOf(0x7a, []string{"id,V,5", "n,I,4", "a,+,4", "at,@,8", "q,Q,4", "_NullFlags,0,1"},
		" abcde\x07\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x00",
		" ab  \x02\xff\xff\xff\xff\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01\x03",
		" ab  \x09\xff\xff\xff\xff\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01\x01")
	put(t, dir, "rows.dbf", "\x32"+text[1:])
	expectRows(t, drain(t, opened(t, columnsOf(dir, connectors.FormatDBF, "id", "n", "a", "at", "q"), nil, nil)),
		`1 abcde|7|8|NULL|\x01020304`, `2 ab|-1|9|NULL|\x01`, `3 MALFORMED id: column "id" says that it is longer than it can be`)
}

// TestCase15WeekdayFormatsAreDates reads a cell whose format shows the day of the week in Chinese.
func TestCase15WeekdayFormatsAreDates(t *testing.T) {
	book, err := os.ReadFile("testdata/case15.xlsx")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "rows.xlsx", string(book))
	for _, row := range drain(t, opened(t, columnsOf(dir, connectors.FormatExcel, "id", "fmt", "v"), nil, nil)) {
		if strings.Contains(row.Values[1].Text, "aaa") && row.Values[2].Text != "2024-03-05" {
			t.Errorf("%q shows %q", row.Values[1].Text, row.Values[2].Text)
		}
	}
}
