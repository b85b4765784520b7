package files

import (
	"fmt"
	"slices"
)

// merging fills the merged cells below the head, which Excel stores in the first cell alone. Cells merged from top to
// bottom within one column hold what the first holds. Cells merged over several columns have no clear meaning in any
// but the first column: there the row is rejected.
type merging struct {
	ranges []merged // still to come, from the top
	open   []openMerge
	wanted []int
	filled bool // whether a cell of the row at hand was filled
}

// openMerge is a range that reaches into the row at hand, with what its first cell holds.
type openMerge struct {
	merged
	first cell
}

// newMerging keeps the ranges below the head that touch a wanted column.
func newMerging(all []merged, head int, wanted []int) merging {
	m := merging{wanted: wanted}
	for _, r := range all {
		touches := slices.ContainsFunc(wanted, func(column int) bool { return column >= r.left && column <= r.right })
		if r.top >= head && touches {
			m.ranges = append(m.ranges, r)
		}
	}
	return m
}

// fill fills the cells of a row, counted from 0, that is not empty.
func (m *merging) fill(row int, cells []cell) {
	m.filled = false
	m.open = slices.DeleteFunc(m.open, func(o openMerge) bool { return o.bottom < row })
	for len(m.ranges) > 0 && m.ranges[0].top <= row {
		next := m.ranges[0]
		m.ranges = m.ranges[1:]
		if next.top == row && next.left < len(cells) && cells[next.left].set { // else its first row is empty, and so is the range
			m.open = append(m.open, openMerge{merged: next, first: cells[next.left]})
		}
	}
	for _, o := range m.open {
		for _, column := range m.wanted {
			switch {
			case column < o.left || column > o.right || column >= len(cells) || column == o.left && row == o.top:
			case column == o.left:
				cells[column], m.filled = o.first, true
			default:
				cells[column] = cell{set: true, fault: fmt.Sprintf("is merged with cells of other columns (%s%d:%s%d), so that what it holds is not clear; take the merge apart", letters(o.left), o.top+1, letters(o.right), o.bottom+1)}
			}
		}
	}
}
