package files

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// excelRows is [rowReader] for one sheet of an Excel file.
type excelRows struct {
	*reading
	book   *workbook
	markup *markup
	header header
	names  []string // of all columns, with letters for those without a name
	row    int      // number of the last row
	cells  []cell   // of the row at hand, as many as there are columns
	long   bool     // the row at hand holds more than a row may; its last texts are not kept
	heads  []headRow
	made   int64 // rows
	body   merging
}

// cell is what a cell holds; fault says why it cannot be used.
type cell struct {
	text  string
	set   bool
	fault string
}

// headRow is one of the rows with names.
type headRow map[int]string

// merged is a range of merged cells, rows and columns from 0.
type merged struct{ top, left, bottom, right int }

func openExcel(ctx context.Context, in *medium, size int64, r *reading) (*excelRows, error) {
	book, err := openWorkbook(in, size, r.cfg.Sheet)
	if err != nil {
		return nil, err
	}
	x := &excelRows{reading: r, book: book}
	if !r.merged { // they stand behind the rows, so that the sheet is read once for them alone
		if r.merges, err = x.merges(); err != nil {
			return nil, err
		}
		r.merged = true
	}
	var merges []merged
	for _, m := range r.merges {
		if r.cfg.HeaderRow > 1 && m.top < r.cfg.HeaderRow {
			merges = append(merges, m)
		}
	}
	if len(merges) > maxExcelColumns {
		return nil, tooLarge("its head has more than %d ranges of merged cells", maxExcelColumns)
	}
	if x.markup, err = book.part(book.sheet); err != nil {
		return nil, err
	}
	return x, x.readHeads(ctx, merges)
}

// merges returns the merged cells of the sheet, from the top.
func (x *excelRows) merges() (all []merged, err error) {
	if some, err := x.book.mentions(x.book.sheet, "mergeCell"); err != nil || !some {
		return nil, err
	}
	err = x.book.each(x.book.sheet, func(_ *markup, e xml.StartElement) error {
		if e.Name.Local != "mergeCell" {
			return nil
		}
		from, to, _ := strings.Cut(attribute(e, "ref"), ":")
		var m merged
		var ok1, ok2 bool
		m.left, m.top, ok1 = reference(from)
		m.right, m.bottom, ok2 = reference(to)
		if ok1 && ok2 {
			all = append(all, m)
		}
		if len(all) > maxMerges {
			return tooLarge("it has more than %d ranges of merged cells", maxMerges)
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b merged) int { return cmp.Compare(a.top, b.top) })
	return all, err
}

// reference reads "B7" as column 1, row 6.
func reference(text string) (column, row int, ok bool) {
	i := 0
	for ; i < len(text) && i < 4 && text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z'; i++ {
		column = column*26 + int(text[i]|0x20-'a') + 1
	}
	row, err := strconv.Atoi(text[i:])
	return column - 1, row - 1, err == nil && column >= 1 && column <= maxExcelColumns && row >= 1 && row <= 1<<20
}

func letters(column int) string {
	name := ""
	for column++; column > 0; column = (column - 1) / 26 {
		name = string(rune('A'+(column-1)%26)) + name
	}
	return name
}

// readHeads reads the rows up to HeaderRow and names the columns after them.
func (x *excelRows) readHeads(ctx context.Context, merges []merged) error {
	x.cells = make([]cell, maxExcelColumns)
	x.heads = make([]headRow, x.cfg.HeaderRow)
	for size := 0; x.row < x.cfg.HeaderRow; {
		err := x.readRow()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if x.row > x.cfg.HeaderRow {
			return broken("the sheet has no row %d, which should hold the names of the columns", x.cfg.HeaderRow)
		}
		head := headRow{}
		for i, c := range x.cells {
			if name := strings.TrimSpace(c.text); name != "" {
				head[i] = name
				size += len(name)
			}
		}
		if x.long || size > connectors.MaxRowBytes {
			return tooLarge("the names up to row %d have more than %d bytes together", x.row, connectors.MaxRowBytes)
		}
		x.heads[x.row-1] = head
	}
	names, err := x.columnNames(merges)
	if err != nil {
		return err
	}
	x.cells = x.cells[:len(names)]
	x.names = slices.Clone(names)
	for i, name := range names {
		if name == "" {
			x.names[i] = letters(i)
		}
	}
	unknown, err := x.header.find(names, x.columns)
	if err != nil {
		return err
	}
	x.header.told(ctx, x.reading, unknown)
	x.body = newMerging(x.reading.merges, x.cfg.HeaderRow, x.header.indexes)
	return nil
}

// columnNames takes the names of HeaderRow; a name that comes twice gets that above it in front: "上级/下级".
func (x *excelRows) columnNames(merges []merged) ([]string, error) {
	last := x.cfg.HeaderRow - 1
	width := 0
	for _, head := range x.heads {
		for i := range head {
			width = max(width, i+1)
		}
	}
	for _, m := range merges {
		if _, named := x.heads[m.top][m.left]; named {
			width = max(width, m.right+1)
		}
	}
	origins, err := x.origins(merges, width)
	if err != nil {
		return nil, err
	}
	at := func(row, column int) (name string, origin [2]int) {
		origin = [2]int{row, column}
		if of := origins[row]; of != nil && of[column] > 0 {
			m := merges[of[column]-1]
			origin = [2]int{m.top, m.left}
		}
		return x.heads[origin[0]][origin[1]], origin
	}
	names, count := make([]string, width), map[string]int{}
	for i := range names {
		names[i], _ = at(last, i)
		count[names[i]]++
	}
	size := 0
	for i, name := range names {
		size += len(name)
		if name != "" && count[name] > 1 {
			_, below := at(last, i)
			for row := last - 1; row >= 0; row-- {
				above, origin := at(row, i)
				if origin != below && above != "" {
					size += len(above)
					names[i] = above + "/" + name
					break
				}
			}
		}
		if size > connectors.MaxRowBytes { // a merged name stands for thousands of columns
			return nil, tooLarge("the names of its columns have more than %d bytes together", connectors.MaxRowBytes)
		}
	}
	for width > 0 && names[width-1] == "" {
		width--
	}
	return names[:width], nil
}

// origins says of each cell of the rows with names to which of merges it belongs, counted from 1; a row without
// merged cells is nil.
func (x *excelRows) origins(merges []merged, width int) ([][]int32, error) {
	origins := make([][]int32, x.cfg.HeaderRow)
	for n, m := range merges {
		for row := m.top; row <= min(m.bottom, x.cfg.HeaderRow-1); row++ {
			if origins[row] == nil {
				origins[row] = make([]int32, width)
			}
			for column := m.left; column <= min(m.right, width-1); column++ {
				if origins[row][column] > 0 {
					return nil, broken("cells of row %d belong to two ranges of merged cells", row+1)
				}
				origins[row][column] = int32(n + 1)
			}
		}
	}
	return origins, nil
}

// next returns the next row that is not empty.
func (x *excelRows) next() (connectors.Row, error) {
	for {
		err := x.readRow()
		if errors.Is(err, io.EOF) && x.made == 0 {
			if wrong := x.header.fault(); wrong != nil {
				return connectors.Row{}, wrong
			}
		}
		if err != nil {
			return connectors.Row{}, err
		}
		if slices.ContainsFunc(x.cells, func(c cell) bool { return c.set }) {
			x.made++
			x.body.fill(x.row-1, x.cells)
			return x.rowOf(x.name + ":" + strconv.Itoa(x.row)), nil
		}
	}
}

func (x *excelRows) rowOf(origin string) connectors.Row {
	values := make([]connectors.Value, len(x.cells))
	for i, c := range x.cells {
		values[i] = connectors.Value{Text: c.text, Null: !c.set}
	}
	raw := rawObject(x.names, values)
	if why := x.header.rejection; why != nil {
		return rejected(origin, raw, why.Rule, why.Field, "%s", why.Detail)
	}
	if x.long || len(raw) > connectors.MaxRowBytes {
		return rejected(origin, raw[:min(len(raw), connectors.RowHead)], exchange.RuleMalformed, "", "the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead)
	}
	row := connectors.Row{Raw: raw, Origin: origin, Values: make([]connectors.Value, len(x.header.indexes))}
	if x.body.filled {
		row.Findings = []string{exchange.FindingMerged}
	}
	for i, column := range x.header.indexes {
		if why := x.cells[column].fault; why != "" {
			return rejected(origin, raw, exchange.RuleMalformed, x.columns[i], "cell %s%d %s", letters(column), x.row, why)
		}
		if strings.Contains(values[column].Text, "\ufffd") {
			return rejected(origin, raw, exchange.RuleEncoding, x.columns[i], "cell %s%d holds a character that was lost before", letters(column), x.row)
		}
		row.Values[i] = values[column]
	}
	return row
}

// readRow reads the cells of the next row; io.EOF behind the last.
func (x *excelRows) readRow() error {
	for {
		token, err := x.markup.token()
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "row" {
			continue
		}
		number := x.row + 1
		if written := attribute(start, "r"); written != "" {
			if number, err = strconv.Atoi(written); err != nil || number <= x.row || number > 1<<20 {
				return broken("row %.20q follows row %d", written, x.row)
			}
		}
		x.row = number
		clear(x.cells)
		return x.readCells()
	}
}

// readCells reads the cells up to the end of the row. Many cells may refer to one long text, so that a small file
// could fill the memory: what is beyond the limit of a row is not kept.
func (x *excelRows) readCells() error {
	column, size := -1, 0
	x.long = false
	for {
		token, err := x.markup.token()
		if err != nil {
			return endsInside(err)
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if t.Name.Local != "c" {
				if _, err := richText(x.markup, t.Name.Local); err != nil { // skipped
					return err
				}
				continue
			}
			column++
			if written := attribute(t, "r"); written != "" {
				at, _, ok := reference(written)
				if !ok || at < column {
					return broken("cell %.20q is out of order", written)
				}
				column = at
			}
			read, err := x.readCell(t)
			if err != nil {
				return err
			}
			if column >= len(x.cells) {
				continue
			}
			if size += len(read.text); size > connectors.MaxRowBytes {
				x.long = true
				read.text = ""
			}
			x.cells[column] = read
		}
	}
}

// readCell reads a cell up to its end.
func (x *excelRows) readCell(start xml.StartElement) (c cell, err error) {
	var value []byte
	formula, stored, within := false, false, ""
	for {
		token, err := x.markup.token()
		if err != nil {
			return c, endsInside(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if within = t.Name.Local; within == "is" {
				if c.text, err = richText(x.markup, "is"); err != nil {
					return c, err
				}
				c.set, within = true, ""
			}
			formula, stored = formula || within == "f", stored || within == "v"
		case xml.CharData:
			if within == "v" && len(value) <= connectors.MaxRowBytes {
				value = append(value, t...)
			}
		case xml.EndElement:
			if within == "" && t.Name.Local == "c" {
				c.set = c.set || len(value) > 0 || stored && attribute(start, "t") == "str"
				if formula && !stored {
					c.set, c.fault = true, "holds a formula without its result; open the file in Excel and save it"
				}
				return x.valueOf(start, c, string(value))
			}
			within = ""
		}
	}
}

// valueOf gives the value its meaning.
func (x *excelRows) valueOf(start xml.StartElement, c cell, value string) (cell, error) {
	switch kind := attribute(start, "t"); {
	case !c.set || c.fault != "" || kind == "inlineStr":
	case kind == "s":
		text, err := x.book.sharedText(value)
		c.text = text
		return c, err
	case kind == "str":
		c.text = unescape(value)
	case kind == "e":
		c.text, c.fault = value, fmt.Sprintf("holds the error %.20s", value)
	case kind == "" || kind == "n":
		c.text = value
		style, _ := strconv.Atoi(attribute(start, "s"))
		if style < 0 || style >= len(x.book.dates) || x.book.dates[style] == (dateFormat{}) {
			break
		}
		if text, ok := x.book.dates[style].text(value, x.book.date1904); ok {
			c.text = text
		}
	default: // b and d
		c.text = value
	}
	return c, nil
}
