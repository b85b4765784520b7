package files

import (
	"os"
	"slices"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// TestCase12MergedCellsAreFilledAndFound reads a town that stands once for two rows.
func TestCase12MergedCellsAreFilledAndFound(t *testing.T) {
	book, err := os.ReadFile("testdata/case12.xlsx")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "rows.xlsx", string(book))
	def := columnsOf(dir, connectors.FormatExcel, "序号", "镇")
	def.Files.HeaderRow = 3
	rows := drain(t, opened(t, def, nil, nil))
	if len(rows) < 2 || rows[1].Rejection != nil || rows[1].Values[1].Text != "城关镇" || !slices.Equal(rows[1].Findings, []string{exchange.FindingMerged}) || rows[0].Findings != nil {
		t.Errorf("rows %+v", rows)
	}
}

// TestCellsMergedOverColumnsAreRejectedByName has a merge that no column can claim.
func TestCellsMergedOverColumnsAreRejectedByName(t *testing.T) {
	dir := t.TempDir()
	text := func(at, value string) string {
		return `<c r="` + at + `" t="inlineStr"><is><t>` + value + `</t></is></c>`
	}
	put(t, dir, "rows.xlsx", excelOf(`<row r="1">`+text("A1", "id")+text("B1", "b")+text("C1", "c")+`</row><row r="2">`+text("A2", "1")+text("B2", "x")+`</row><row r="3">`+text("A3", "2")+`</row><row r="4">`+
		text("A4", "3")+text("B4", "y")+text("C4", "z")+`</row></sheetData><mergeCells><mergeCell ref="B2:C3"/></mergeCells><sheetData>`))
	rows := drain(t, opened(t, columnsOf(dir, connectors.FormatExcel, "id", "b", "c"), nil, nil))
	if len(rows) != 3 || rows[0].Rejection == nil || rows[0].Rejection.Field != "c" || rows[1].Rejection == nil || rows[2].Rejection != nil {
		t.Errorf("rows %+v", shown(rows))
	}
}
