package sqltable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

// Chunk returns rows whose key is in r and behind after, in the order of the
// key, at most limit of them and about [connectors.MaxBatchBytes]. That there
// are fewer than limit does not mean that there are no more behind them: that
// is so when there are none. Nil for after means from the beginning; the Key of
// the last row is the next after. The comparison is the database's own.
func (t *Table) Chunk(ctx context.Context, r connectors.KeyRange, after []string, limit int) ([]connectors.Row, error) {
	rows, _, err := t.read(ctx, span{order: t.keyOrder(), from: r.From, to: r.To, after: after}, limit)
	return rows, err
}

// ByKey returns the rows that have one of keys, in no particular order. Keys of
// which there is no row are left out.
func (t *Table) ByKey(ctx context.Context, keys [][]string) ([]connectors.Row, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	rows, _, err := t.read(ctx, span{order: t.keyOrder(), among: keys}, len(keys))
	if len(rows) > 0 && len(rows) < len(keys) { // long rows may have ended the batch
		var more []connectors.Row
		last := rows[len(rows)-1].Key
		for err == nil {
			if more, _, err = t.read(ctx, span{order: t.keyOrder(), among: keys, after: last}, len(keys)); len(more) == 0 {
				break
			}
			rows, last = append(rows, more...), more[len(more)-1].Key
		}
	}
	return rows, err
}

func (t *Table) keyOrder() []int { return t.rows.key }

// span is a part of the table, in an order.
type span struct {
	// order has indexes into Table.selected; the other members are about its first columns.
	order []int
	// from and to are included, after is not.
	from, to, after []string
	// among are the only keys wanted, if not nil.
	among [][]string
	// descending turns the order round.
	descending bool
	// absent asks for the rows that no order reaches.
	absent bool
	// current leaves out rows whose first column lies more than a day ahead of the database's clock, ahead asks for
	// those alone: as a cursor they would hide all that come later.
	current, ahead bool
}

// read returns the first rows of a span, the texts of their order columns in
// last, which is where to go on. More rows than fit into a batch are never held.
func (t *Table) read(ctx context.Context, s span, limit int) (rows []connectors.Row, last []string, err error) {
	for try := range 5 {
		n := t.fitting(limit)
		// One row more shows whether the batch ends between two that the order cannot tell apart.
		onwards := !s.descending && !s.absent && !s.ahead && s.among == nil
		asked := n
		if onwards {
			asked++
		}
		query, err := t.query(s, asked)
		if err != nil {
			return nil, nil, err
		}
		maker := t.rows // which the query may replace, if there are other columns now
		rows, size := make([]connectors.Row, 0, n), 0
		last, this := make([]string, len(s.order)), make([]string, len(s.order))
		err = t.run(ctx, "reading", query, func(cells [][]byte) error {
			if size >= connectors.MaxBatchBytes && len(rows) < n {
				return errEnough
			}
			row := maker.row(cells)
			if maker.fill(this, s.order); onwards && len(rows) > 0 && slices.Equal(last, this) {
				return t.ambiguous(s.order)
			}
			if len(rows) < n {
				rows, size = append(rows, row), size+len(row.Raw)
				last, this = this, last
			}
			return nil
		})
		if len(rows) > 0 {
			t.rowBytes = max(size/len(rows), 1)
		}
		switch {
		case err == nil && len(rows) > 0:
			return rows, last, nil
		case err == nil:
			return nil, nil, nil
		case errors.Is(err, errEnough):
			limit = len(rows) // asked for again, so that the database sends no more than that
		case errors.Is(err, errChanged) && try < 4:
		default:
			return nil, nil, err
		}
	}
	return nil, nil, connectors.Away(connectors.FaultMismatch, nil, "%s has other columns each time it is read; do not alter it while it is read; if it is not being altered, report this", t.place())
}

// ambiguous is the fault of two rows of which only one would be found again if a batch ended between them.
func (t *Table) ambiguous(order []int) error {
	names := make([]string, len(order))
	for i, c := range order {
		names[i] = t.selected[c]
	}
	return connectors.Refused(connectors.FaultKeyless, nil,
		"table %q has several rows with the same values of (%s): the order of reading is not unique, and rows would be missed; name the columns of the key, which must be unique",
		t.cfg.Table, strings.Join(names, ", "))
}

// errEnough ends a query that gives more than fits into a batch.
var errEnough = errors.New("the batch is full")

// fitting is how many rows are asked for: what fits into a batch, going by the rows seen last.
func (t *Table) fitting(limit int) int {
	if t.rowBytes == 0 {
		return min(limit, firstLimit)
	}
	return max(min(limit, connectors.MaxBatchBytes/t.rowBytes), 1)
}

// query writes the query of a span.
func (t *Table) query(s span, n int) (statement, error) {
	w := &writer{t: t, order: s.order}
	w.conditions(s)
	if w.err != nil {
		return statement{}, w.err
	}
	rest := t.list()
	if len(w.where) > 0 {
		rest += " WHERE " + strings.Join(w.where, " AND ")
	}
	if !s.absent {
		rest += t.orderBy(s)
	}
	q := statement{text: t.dialect.limited(rest, n), args: w.args}
	if s.absent || s.ahead {
		q.limit = min(lookTime, t.cfg.Limits.QueryTime)
	}
	return q, nil
}

func (t *Table) orderBy(s span) string {
	columns := make([]string, len(s.order))
	for i, c := range s.order {
		if columns[i] = t.column(c); s.descending {
			columns[i] += " DESC"
		}
	}
	return " ORDER BY " + strings.Join(columns, ", ")
}

// writer writes conditions.
type writer struct {
	t     *Table
	order []int
	where []string
	args  []any
	err   error
}

func (w *writer) conditions(s span) {
	var absent []string
	for _, i := range s.order {
		c := w.t.rows.columns[i]
		if _, typeless := w.t.dialect.(sqlite); !c.Nullable && !typeless {
			continue
		}
		if condition := w.t.dialect.present(w.t.column(i)); s.absent {
			absent = append(absent, "NOT ("+condition+")")
		} else {
			w.where = append(w.where, condition)
		}
	}
	if s.absent {
		if absent == nil {
			absent = []string{"1 = 0"}
		}
		w.where = []string{"(" + strings.Join(absent, " OR ") + ")"}
		return
	}
	if s.current || s.ahead {
		tomorrow := w.t.dialect.tomorrow(w.t.rows.columns[s.order[0]])
		switch {
		case tomorrow != "" && s.current:
			w.where = append(w.where, w.t.column(s.order[0])+" <= "+tomorrow)
		case tomorrow != "":
			w.where = append(w.where, w.t.column(s.order[0])+" > "+tomorrow)
		case s.ahead:
			w.where = append(w.where, "1 = 0")
		}
	}
	lower, operator := s.from, ">="
	if s.after != nil { // behind from already
		lower, operator = s.after, ">"
	}
	w.bound(operator, lower)
	w.bound("<=", s.to)
	if s.among != nil {
		any := make([]string, len(s.among))
		for i, key := range s.among {
			any[i] = w.equal(key)
		}
		w.where = append(w.where, "("+strings.Join(any, " OR ")+")")
	}
}

// bound compares the first columns of the order with values.
func (w *writer) bound(operator string, values []string) {
	if values == nil {
		return
	}
	if len(values) == 0 || len(values) > len(w.order) {
		w.err = connectors.Refused(connectors.FaultDefinition, nil, "a key of %s has %d columns, not %d", w.t.place(), len(w.order), len(values))
		return
	}
	if len(values) == 1 {
		w.where = append(w.where, w.t.column(w.order[0])+" "+operator+" "+w.value(0, values[0]))
		return
	}
	if w.t.dialect.compareRows() {
		columns, texts := make([]string, len(values)), make([]string, len(values))
		for i, text := range values {
			columns[i], texts[i] = w.t.column(w.order[i]), w.value(i, text)
		}
		w.where = append(w.where, fmt.Sprintf("(%s) %s (%s)", strings.Join(columns, ", "), operator, strings.Join(texts, ", ")))
		return
	}
	w.where = append(w.where, w.expanded(operator, values))
}

// expanded writes (a, b) > (1, 2) as a >= 1 AND (a > 1 OR a = 1 AND b > 2); the
// first part is for the index.
func (w *writer) expanded(operator string, values []string) string {
	strict := operator[:1]
	first := w.t.column(w.order[0]) + " " + strict + "= " + w.value(0, values[0])
	var any []string
	for i, text := range values {
		var all []string
		for k := range i {
			all = append(all, w.t.column(w.order[k])+" = "+w.value(k, values[k]))
		}
		last := strict
		if i == len(values)-1 {
			last = operator
		}
		all = append(all, w.t.column(w.order[i])+" "+last+" "+w.value(i, text))
		any = append(any, strings.Join(all, " AND "))
	}
	return first + " AND (" + strings.Join(any, " OR ") + ")"
}

func (w *writer) equal(key []string) string {
	if len(key) != len(w.order) {
		w.err = connectors.Refused(connectors.FaultDefinition, nil, "a key of %s has %d columns, not %d", w.t.place(), len(w.order), len(key))
		return ""
	}
	all := make([]string, len(key))
	for i, text := range key {
		all[i] = w.t.column(w.order[i]) + " = " + w.value(i, text)
	}
	return "(" + strings.Join(all, " AND ") + ")"
}

func (w *writer) value(i int, text string) string {
	c := w.t.rows.columns[w.order[i]]
	sql, arg, err := w.t.dialect.value(c, text, len(w.args)+1)
	if err != nil && w.err == nil {
		w.err = connectors.Refused(connectors.FaultDefinition, err, "a value of column %q of %s cannot be compared", c.Name, w.t.place())
	}
	if arg != nil {
		w.args = append(w.args, arg)
	}
	return sql
}
