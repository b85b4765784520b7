package files

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
)

// columnsOf makes a definition of the format that maps these columns as they are.
func columnsOf(dir, format string, columns ...string) connectors.Definition {
	def := definition(dir, charset.UTF8)
	def.Files.Format, def.Files.Pattern, def.Files.Element, def.Files.HeaderRow = format, "rows*", "row", 1
	def.Map.Key, def.Map.EventTime, def.Map.Fields = columns[:1], columns[0], nil
	for _, c := range columns {
		def.Map.Fields = append(def.Map.Fields, connectors.Field{From: c, To: c, Type: connectors.String})
	}
	return def
}

// shown shows rows with their origins: texts, NULL for nulls, or the rule and the detail of a rejection.
func shown(rows []connectors.Row) []string {
	var all []string
	for _, row := range rows {
		_, at, _ := strings.Cut(row.Origin, ":")
		if row.Rejection != nil {
			all = append(all, at+" "+row.Rejection.Rule+" "+row.Rejection.Field+": "+row.Rejection.Detail)
			continue
		}
		var texts []string
		for _, v := range row.Values {
			if v.Null {
				v.Text = "NULL"
			}
			texts = append(texts, v.Text)
		}
		all = append(all, at+" "+strings.Join(texts, "|"))
	}
	return all
}

// expectRows compares rows with what is wanted; a wanted text may be the beginning of a rejection.
func expectRows(t *testing.T, rows []connectors.Row, want ...string) {
	t.Helper()
	got := shown(rows)
	for i := range want {
		if i < len(got) && rows[i].Rejection != nil && strings.HasPrefix(got[i], want[i]) {
			got[i] = want[i]
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rows:\n%.3000s\nwant:\n%.3000s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestJSONLines(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "rows.jsonl", "\xef\xbb\xbf"+strings.Join([]string{
		`{"id":123456789012345678901234567890.10,"name":"张\n\u4e09","more":{"a":[1, 2]}}`,
		`{"name":null,"id":true}`,
		``,
		`{"id":"1"} {"id":"2"}`,
		`["id"]`,
		`{"id":"1","id":"2"}`,
		`{"id":"\ud83d"}`,
		`{"id":"\ud83d\ude00"}`,
		"{\"id\":\"\xc4\xe3\"}",
		`{"id":1e400}`,
		`{"id":"` + strings.Repeat("x", connectors.MaxRowBytes) + `"}`,
		`{"id":"last"`,
		`{"id":"after"}`,
	}, "\n")+"\n")
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatJSONL, "id", "name", "more"), nil, nil))
	expectRows(
		t, rows,
		"1 123456789012345678901234567890.10|张\n三|{\"a\":[1, 2]}", "2 true|NULL|NULL", "4 "+exchange.RuleMalformed+" : the row is not a JSON object",
		"5 "+exchange.RuleMalformed+" : the row is not a JSON object", "6 "+exchange.RuleMalformed+` id: the row has the member "id" twice`,
		"7 "+exchange.RuleEncoding+" id: the member \"id\" holds half a character", "8 😀|NULL|NULL", "9 "+exchange.RuleEncoding, "10 1e400|NULL|NULL",
		"11 "+exchange.RuleMalformed+" : the line is longer than", "12 "+exchange.RuleMalformed+" : the row is not a JSON object", "13 after|NULL|NULL",
	)
	if len(rows[9].Raw) != connectors.RowHead {
		t.Errorf("of a line that is too long %d bytes are kept", len(rows[9].Raw))
	}
}

func TestDBF(t *testing.T) {
	dir := t.TempDir()
	fields := []string{"姓名", "身份证"}
	for i := range fields {
		fields[i] = encoded(t, charset.GBK, fields[i])
	}
	record := func(flag, name, id, amount, born, alive string) string {
		return flag + pad(encoded(t, charset.GBK, name), 10) + pad(id, 18) + strings.Repeat(" ", 20-len(amount)) + amount + pad(born, 8) + pad(alive, 1) + strings.Repeat(" ", 10)
	}
	put(t, dir, "rows.dbf", dbfOf(0x4d, []string{fields[0] + ",C,10", fields[1] + ",C,18", "AMOUNT,N,20,4", "BORN,D,8", "ALIVE,L,1", "NOTE,M,10"},
		record(" ", "张誠", "11010119900307123X", "123456789012345.6789", "19900307", "T"),
		record("*", "deleted", "1", "1", "", ""),
		record(" ", "李四 ", "110101900307123", "-0.10", "", "?"),
		record(" ", "", "", "", "00000000", "f"),
		record(" ", "overflow", "", "********************", "", ""),
		record(" ", "date", "", "1", "2025/1/1", ""),
		record("x", "flag", "", "1", "", ""),
		strings.Replace(record(" ", "AA", "", "1", "", ""), "AA", "\xd5\xff", 1),
	))
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatDBF, "身份证", "姓名", "AMOUNT", "BORN", "ALIVE"), nil, nil))
	expectRows(
		t, rows,
		"1 11010119900307123X|张誠|123456789012345.6789|1990-03-07|true", "3 110101900307123|李四|-0.10|NULL|NULL", "4 ||NULL|NULL|false",
		"5 "+exchange.RuleMalformed+` AMOUNT: column "AMOUNT" holds asterisks`, "6 "+exchange.RuleMalformed+` BORN: column "BORN" holds no date`,
		"7 "+exchange.RuleMalformed+" : the record begins with 0x78", "8 "+exchange.RuleEncoding+` 姓名: column "姓名" holds bytes that are not gbk`,
	)
	expectFault(t, columnsOf(dir, connectors.FormatDBF, "NOTE"), connectors.FaultColumn, `"NOTE"`, "memo")
}

// TestFoxPro reads what only FoxPro has: integers, currency, times and nulls.
func TestFoxPro(t *testing.T) {
	dir := t.TempDir()
	text := []byte(dbfOf(0, []string{"ID,I,4", "PRICE,Y,8", "AT,T,8", "NAME,C,5", "_NullFlags,0,1"},
		" \xff\xff\xff\xff\x87\xd6\x12\x00\x00\x00\x00\x00\x37\x8d\x25\x00\x01\x00\x00\x00abc  \x00",
		" \x07\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00     \x02"))
	text[0] = 0x30
	text[32+18], text[32+3*32+18] = 2, 2 // ID and NAME may be null
	put(t, dir, "rows.dbf", string(text))
	expectRows(t, drain(t, opened(t, columnsOf(dir, connectors.FormatDBF, "ID", "PRICE", "AT", "NAME"), nil, nil)),
		"1 -1|123.4567|2025-11-03 00:00:00.001|abc", "2 7|-0.0001|NULL|NULL")
}

func TestXML(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "rows.xml", encoded(t, charset.GBK, `<?xml version='1.0' encoding='GB2312' ?>
<ns:export xmlns:ns="urn:x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <ns:head><id>not a row</id></ns:head>
 <ns:row id="1" note="a>b"><ns:name>张&lt;誠&gt;<![CDATA[<b>&]]></ns:name><ns:address> <ns:street>人民路</ns:street> </ns:address></ns:row>
 <row><id>2</id><name xsi:nil="true"/><address><street></street></address></row>
 <row><id>3</id><id>4</id></row>
 <row/>
 <row><id>5</id><name>ā</name></row>
 <row><id>&#xFFFD;</id></row>
 <row><id>6</id><name>`+strings.Repeat("<b/>", connectors.MaxRowBytes/4)+`</name></row>
 <row id="7"><!-- <row id="0"/> --></row>
</ns:export>
<!-- end -->`))
	name := filepath.Join(dir, "rows.xml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "rows.xml", string(bytes.Replace(text, []byte("\xa8\xa1"), []byte("\xff"), 1)))
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatXML, "id", "name", "address/street"), nil, nil))
	expectRows(
		t, rows,
		"1 1|张<誠><b>&|人民路", "2 2|NULL|", "3 "+exchange.RuleMalformed+` id: the row has the column "id" twice`, "4 NULL|NULL|NULL",
		"5 "+exchange.RuleEncoding, "6 "+exchange.RuleEncoding+" id: ", "7 "+exchange.RuleMalformed+" : the row is longer than", "8 7|NULL|NULL",
	)
	if got := string(rows[4].Raw); got != "<row><id>5</id><name>\xff</name></row>" {
		t.Errorf("raw %q", got)
	}
	if got := string(rows[0].Raw); !strings.HasPrefix(got, `<ns:row id="1" note="a>b"><ns:name>`) || !strings.HasSuffix(got, "</ns:row>") {
		t.Errorf("raw %q", got)
	}
}

// TestExcel reads what excelize wrote: heads merged over two rows, dates, numbers as numbers and as text.
func TestExcel(t *testing.T) {
	dir := t.TempDir()
	f := excelize.NewFile()
	set := func(cell string, value any) {
		t.Helper()
		if err := f.SetCellValue("人员", cell, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.NewSheet("人员"); err != nil {
		t.Fatal(err)
	}
	set("A1", "2025 年人员表")
	for cell, text := range map[string]string{"A2": "编号", "B2": "父亲", "D2": "母亲", "F2": "日期", "G2": "时间", "B3": "姓名", "C3": "证件", "D3": "姓名", "E3": "证件", "F3": "出生", "H3": "金额", "I3": "公式"} {
		set(cell, text)
	}
	for _, m := range [][2]string{{"A1", "I1"}, {"A2", "A3"}, {"B2", "C2"}, {"D2", "E2"}, {"G2", "G3"}} {
		if err := f.MergeCell("人员", m[0], m[1]); err != nil {
			t.Fatal(err)
		}
	}
	custom := `yyyy"年"m"月"d"日"`
	day, err := f.NewStyle(&excelize.Style{CustomNumFmt: &custom})
	if err != nil {
		t.Fatal(err)
	}
	moment, err := f.NewStyle(&excelize.Style{NumFmt: 22})
	if err != nil {
		t.Fatal(err)
	}
	set("A5", "001")
	set("B5", "张誠")
	set("C5", "11010119900307123X")
	set("D5", " 李 四")
	set("E5", int64(110101900307123))
	set("F5", 32939)
	set("G5", 45964.3333333333)
	set("H5", 1234567890123.25)
	if err := f.SetCellFormula("人员", "I5", "1/0"); err != nil {
		t.Fatal(err)
	}
	set("A6", 7)
	set("F6", 60)
	set("G6", 0.5)
	set("I6", "x")
	for _, style := range []struct {
		cells string
		id    int
	}{{"F", day}, {"G", moment}} {
		if err := f.SetCellStyle("人员", style.cells+"5", style.cells+"6", style.id); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SaveAs(filepath.Join(dir, "rows.xlsx")); err != nil {
		t.Fatal(err)
	}
	def := columnsOf(dir, connectors.FormatExcel, "编号", "父亲/姓名", "父亲/证件", "母亲/姓名", "母亲/证件", "出生", "时间", "金额")
	def.Files.Sheet, def.Files.HeaderRow = "人员", 3
	expectRows(t, drain(t, opened(t, def, nil, nil)),
		"5 001|张誠|11010119900307123X| 李 四|110101900307123|1990-03-07|2025-11-03 08:00:00|1234567890123.25",
		"6 7|NULL|NULL|NULL|NULL|1900-02-29|1900-01-00 12:00:00|NULL")
	def = columnsOf(dir, connectors.FormatExcel, "编号", "公式")
	def.Files.Sheet, def.Files.HeaderRow = "人员", 3
	expectRows(t, drain(t, opened(t, def, nil, nil)), "5 "+exchange.RuleMalformed+" 公式: cell I5 holds a formula without its result", "6 7|x")
	def.Files.Sheet = "Persons"
	expectFault(t, def, connectors.FaultTable, `no sheet "Persons"`, `"人员"`)
}

// TestExcelCells reads what excelize does not write.
func TestExcelCells(t *testing.T) {
	dir := t.TempDir()
	const styles = `<styleSheet><numFmts><numFmt numFmtId="165" formatCode="[h]:mm"/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="165"/><xf numFmtId="21"/></cellXfs></styleSheet>`
	const relations = `<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="/xl/worksheets/sheet1.xml"/><Relationship Id="s" Type="x/styles" Target="styles.xml"/><Relationship Id="t" Type="x/sharedStrings" Target="sharedStrings.xml"/></Relationships>`
	const shared = `<sst><si><t>id</t></si><si><r><t>张</t></r><r><t xml:space="preserve"> 三</t></r><rPh><t>zhang</t></rPh></si></sst>`
	const book = `<workbook xmlns:r="r"><workbookPr date1904="1"/><sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>`
	put(t, dir, "rows.xlsx", excelOf(`<row r="1"><c t="s"><v>0</v></c><c t="inlineStr"><is><t>b</t></is></c></row>`+
		`<row r="3"><c r="A3" t="s"><v>1</v></c><c r="B3"><v>1.1010119900307E+17</v></c></row><row r="4"><c r="A4" s="1"/></row>`+
		`<row r="5"><c r="A5" s="1"><v>0</v></c><c r="B5" s="1"><v>43830.75</v></c></row>`+
		`<row r="6"><c r="A6" s="2"><v>1.5</v></c><c r="B6" s="3"><v>0.99999999999</v></c><c r="D6"><v>beyond</v></c></row>`+
		`<row r="7"><c r="A7" t="b"><v>1</v></c><c r="B7" t="str"><f>A1</f><v>a_x000D_b_x005F_x0041_</v></c></row>`+
		`<row r="8"><c r="A8" s="1"><v>-1</v></c><c r="B8" t="e"><v>#REF!</v></c></row>`,
		"xl/styles.xml", styles, "xl/sharedStrings.xml", shared, "xl/_rels/workbook.xml.rels", relations, "xl/workbook.xml", book))
	expectRows(t, drain(t, opened(t, columnsOf(dir, connectors.FormatExcel, "id", "b"), nil, nil)),
		"3 张 三|1.1010119900307E+17", "5 1904-01-01|2024-01-01 18:00:00", "6 1.5|1904-01-02 00:00:00", "7 1|a\rb_x0041_",
		"8 "+exchange.RuleMalformed+" b: cell B8 holds the error #REF!")
}

func TestDateFormats(t *testing.T) {
	for code, want := range map[string]dateFormat{
		"General": {}, "General_)": {}, `General"人"`: {}, `GENERAL" 元"`: {}, `[Red]general`: {},
		"0.00E+00": {}, `"d"0`: {}, "[Red]0;[h]": {}, "[hh]:mm:ss": {}, "#,##0": {}, "@": {}, `\d0`: {}, `"日`: {},
		"yyyy-mm-dd": {date: true}, `yyyy"年"m"月"`: {date: true}, "[$-804]aaaa;@": {date: true}, "aaa": {date: true}, "[$-804]aaa": {date: true}, `[DBNum1][$-804]yyyy"年"m"月"d"日"`: {date: true},
		`ggge"年"m"月"d"日"`: {date: true}, "[$-411]ge.m.d": {date: true}, "bbbb": {date: true}, `h"时"mm"分"`: {time: true}, `[$-804]上午/下午h"时"mm"分"`: {time: true},
		"h:mm A/P": {time: true}, "yyyy-mm-dd h:mm AM/PM": {date: true, time: true}, "00000": {}, "0%": {}, "# ?/?": {}, "[mm]:ss": {}, `0"g"`: {}, "[$-F800]dddd": {date: true}, "mmm": {date: true},
		"h:mm AM/PM": {time: true}, "mm:ss.0": {time: true}, "yyyy/m/d h:mm": {date: true, time: true},
	} {
		if got := parseDateFormat(code); got != want {
			t.Errorf("%s: %+v; want %+v", code, got, want)
		}
	}
	day := dateFormat{date: true}
	for serial, want := range map[string]string{
		"1": "1900-01-01", "31": "1900-01-31", "32": "1900-02-01", "59": "1900-02-28", "60": "1900-02-29", "61": "1900-03-01", "2958465": "9999-12-31",
		"45964.5": "2025-11-03 12:00:00", "45964.0000115741": "2025-11-03 00:00:01", "4.5964E4": "2025-11-03", "45963.999999999": "2025-11-03",
		"0.25": "1900-01-00 06:00:00",
	} {
		if got, ok := day.text(serial, false); !ok || got != want {
			t.Errorf("%s: %q; want %q", serial, got, want)
		}
	}
	for _, serial := range []string{"2958466", "-1", "x", "1E999999999", "", "0x10", "1/2"} {
		if got, ok := day.text(serial, false); ok {
			t.Errorf("%q became %q", serial, got)
		}
	}
	for n := 61; n < 80_000; n += 7 { // against the calendar
		want := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n).Format(time.DateOnly)
		if got, _ := day.text(strconv.Itoa(n), false); got != want {
			t.Errorf("%d: %q; want %q", n, got, want)
		}
	}
}
