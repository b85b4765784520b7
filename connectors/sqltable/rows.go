package sqltable

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// rowMaker makes rows of cells. It is used by one goroutine; what it returns
// shares nothing with it.
type rowMaker struct {
	cfg     TableConfig
	names   []string // of all cells
	columns []column
	coding  []coding
	key     []int  // indexes of cfg.Key
	origin  []int  // of the columns that say which row it is
	ordered []bool // cells whose text must lead back to their bytes

	// of the row at hand
	buffer []byte
	ends   []int
	values []connectors.Value
	exact  []string // of ordered cells, the text that leads back to the bytes

	// what is left of memory for the values and keys of several rows
	spareValues []connectors.Value
	spareTexts  []string
}

// together is the number of rows for whose values memory is taken together.
const together = 64

func newRowMaker(cfg TableConfig, names []string, order []int) *rowMaker {
	n := len(names)
	m := &rowMaker{
		cfg: cfg, names: names, columns: make([]column, n), coding: make([]coding, n), ordered: make([]bool, n),
		key: make([]int, len(cfg.Key)), ends: make([]int, n), values: make([]connectors.Value, n), exact: make([]string, n),
	}
	for i, name := range cfg.Key {
		m.key[i] = slices.Index(names, name)
		m.ordered[m.key[i]] = true
	}
	for _, i := range order {
		m.ordered[i] = true
	}
	if m.origin = m.key; len(m.key) == 0 {
		m.origin = order[:1]
	}
	return m
}

// row makes a row. All its texts are parts of one string.
func (m *rowMaker) row(cells [][]byte) connectors.Row {
	m.buffer = m.buffer[:0]
	var invalid []int
	for i, cell := range cells {
		m.exact[i] = ""
		if cell != nil {
			start := len(m.buffer)
			var valid bool
			if m.buffer, valid = m.coding[i].Decode(m.buffer, cell); !valid {
				m.buffer = appendHex(m.buffer[:start], cell)
				invalid = append(invalid, i)
			}
			if m.ordered[i] && !m.coding[i].leadsBack(m.buffer[start:], cell, valid) {
				m.exact[i] = "\x00" + hex.EncodeToString(cell)
			}
		}
		m.ends[i] = len(m.buffer)
	}
	textEnd := len(m.buffer)
	m.buffer = append(append(m.buffer, m.cfg.Table...), ':')
	for k, i := range m.origin {
		if k > 0 {
			m.buffer = append(m.buffer, '/')
		}
		start := 0
		if i > 0 {
			start = m.ends[i-1]
		}
		m.buffer = append(m.buffer, m.buffer[start:m.ends[i]]...)
	}
	text := string(m.buffer)
	start := 0
	for i, end := range m.ends {
		m.values[i] = connectors.Value{Text: text[start:end], Null: cells[i] == nil}
		start = end
	}
	size := 2 + textEnd + 16
	for _, name := range m.names {
		size += len(name) + 6
	}
	row := connectors.Row{Raw: connectors.RawJSON(make([]byte, 0, size), m.names, m.values), Origin: text[textEnd:]}
	if len(m.key) > 0 {
		n := len(m.key)
		if len(m.spareTexts) < n {
			m.spareTexts = make([]string, together*n)
		}
		row.Key, m.spareTexts = m.spareTexts[:n:n], m.spareTexts[n:]
		m.fill(row.Key, m.key)
	}
	switch {
	case len(invalid) > 0:
		row.Rejection = m.invalid(invalid)
	case len(row.Raw) > connectors.MaxRowBytes:
		row.Rejection = &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead),
		}
	default:
		n := m.cfg.Mapped
		if len(m.spareValues) < n {
			m.spareValues = make([]connectors.Value, together*n)
		}
		row.Values, m.spareValues = m.spareValues[:n:n], m.spareValues[n:]
		copy(row.Values, m.values)
	}
	if len(row.Raw) > connectors.MaxRowBytes {
		row.Raw = bytes.Clone(row.Raw[:connectors.RowHead])
	}
	return row
}

func (m *rowMaker) invalid(cells []int) *exchange.Rejection {
	var names []string
	for _, i := range cells {
		names = append(names, fmt.Sprintf("%q (%s)", m.names[i], m.coding[i].name))
	}
	return &exchange.Rejection{
		Rule: exchange.RuleEncoding,
		Detail: fmt.Sprintf("bytes that are not of the character set, here in hexadecimal, are in column %s; mend them or state the right charset",
			strings.Join(names, ", ")),
	}
}

// fill sets texts to those that lead back to the row made last.
func (m *rowMaker) fill(texts []string, columns []int) {
	for k, i := range columns {
		if texts[k] = m.values[i].Text; m.exact[i] != "" {
			texts[k] = m.exact[i]
		}
	}
}

// Row makes a row of cells that come from elsewhere, such as the log of the
// database, exactly as Chunk makes it: one cell for each of TableConfig.Columns,
// then for those of the key that are not among them, as the database writes
// them in its text protocol; nil for null.
func (t *Table) Row(cells [][]byte) (connectors.Row, error) {
	if len(cells) != len(t.selected) {
		return connectors.Row{}, fmt.Errorf("connectors: %d cells for %d columns of %s", len(cells), len(t.selected), t.place())
	}
	return t.rows.row(cells), nil
}

// Selected lists the columns of which Row wants the cells.
func (t *Table) Selected() []string { return slices.Clone(t.selected) }
