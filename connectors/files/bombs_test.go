package files

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// TestSharedTextBomb reads rows whose many cells refer to one long text: the row is rejected, a head is refused, and
// memory stays bounded.
func TestSharedTextBomb(t *testing.T) {
	const relations = `<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="t" Type="x/sharedStrings" Target="sharedStrings.xml"/></Relationships>`
	shared := `<sst><si><t>` + strings.Repeat("x", 1<<20-100) + `</t></si></sst>`
	cells := strings.Repeat(`<c t="s"><v>0</v></c>`, 1000)
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, `<c t="inlineStr"><is><t>c%d</t></is></c>`, i)
	}
	file := func(rows string) string {
		return excelOf(rows, "xl/sharedStrings.xml", shared, "xl/_rels/workbook.xml.rels", relations)
	}
	dir := t.TempDir()
	put(t, dir, "rows.xlsx", file(`<row>`+names.String()+`</row><row>`+cells+`</row><row><c><v>7</v></c></row>`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatExcel, "c0", "c999"), nil, nil))
	runtime.ReadMemStats(&after)
	expectRows(t, rows, "2 "+exchange.RuleMalformed+" : the row is longer than", "3 7|NULL")
	if len(rows[0].Raw) > connectors.RowHead {
		t.Errorf("of a row that is too long %d bytes are kept", len(rows[0].Raw))
	}
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 256<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}

	dir = t.TempDir()
	put(t, dir, "rows.xlsx", file(`<row>`+cells+`</row><row><c><v>7</v></c></row>`))
	expectFault(t, columnsOf(dir, connectors.FormatExcel, "c0"), connectors.FaultTooLarge, "the names up to row 1")

	dir = t.TempDir() // one name, merged over all columns of two rows, would be put together for each of them
	name := `<row><c t="inlineStr"><is><t>` + strings.Repeat("n", 1000) + `</t></is></c></row>`
	put(t, dir, "rows.xlsx", excelOf("", "xl/worksheets/sheet1.xml", `<worksheet><sheetData>`+name+name+`<row><c><v>7</v></c></row></sheetData>`+
		`<mergeCells><mergeCell ref="A1:XFD1"/><mergeCell ref="A2:XFD2"/></mergeCells></worksheet>`))
	def := columnsOf(dir, connectors.FormatExcel, "id")
	def.Files.HeaderRow = 2
	expectFault(t, def, connectors.FaultTooLarge, "the names of its columns")
}

// TestLongPaths reads a row with a long name around many short ones, whose paths would each be long.
func TestLongPaths(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("n", 400_000)
	put(t, dir, "rows.xml", "<r><row><id>1</id><"+name+">"+strings.Repeat("<b/>", 20_000)+"</"+name+"></row></r>")
	began := time.Now()
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatXML, "id", "a/b"), nil, nil))
	t.Logf("read in %s", time.Since(began).Round(time.Millisecond))
	expectRows(t, rows, "1 1|NULL")
}
