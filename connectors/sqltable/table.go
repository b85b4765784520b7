package sqltable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
)

const (
	connectTimeout = 15 * time.Second
	// idleTime is how long a connection that is not used is kept: firewalls and servers drop them without a word.
	idleTime = time.Minute
	// defaultQueryTime bounds queries of definitions that say nothing.
	defaultQueryTime = time.Minute
	// grace is how much longer we wait than the database was told to take: its own message is the better one.
	grace       = 5 * time.Second
	maxDSNBytes = 4096
	// firstLimit is the size of the first query, before it is known how long rows are.
	firstLimit = 1000
)

// TableConfig says which table is read, and what of it.
type TableConfig struct {
	// Driver is one of [connectors.Drivers].
	Driver string
	// DSNFile is the path of a file that holds the URL of the database, or the path of a SQLite file.
	DSNFile string
	// Table is "name" or "schema.name".
	Table string
	// Key are the columns that identify a row and order the rows. Rows in which one of them is null are not read.
	Key []string
	// Columns are read; the first Mapped of them become [connectors.Row.Values]. Key need not be among them.
	Columns []string
	Mapped  int
	// Charset, if not empty, is that of all text columns, whatever the database says.
	Charset string
	// Limits bound each query (QueryTime); a Table has one connection.
	Limits connectors.Limits
	// LogPlace has [Table.LogPlace] tell where in the binlog of MySQL or MariaDB rows were read.
	LogPlace bool
}

// Table reads one table or view on one connection, which is made anew when it
// was lost. It is used by one goroutine.
type Table struct {
	cfg     TableConfig
	dialect dialect
	dsn     string
	engine  engine // nil when not connected
	used    time.Time
	columns []column
	// selected are the columns of every query: cfg.Columns, then the key and what else orders rows.
	selected []string
	order    []int // indexes of the default order, that of the key, into selected
	rows     *rowMaker
	// rowBytes is the size of rows as last seen; 0 before the first.
	rowBytes int
}

// OpenTable connects and compares cfg with the table: columns that are missing,
// or cannot be read or ordered, are faults, all of them at once.
func OpenTable(ctx context.Context, cfg TableConfig) (*Table, error) {
	return openTable(ctx, cfg, cfg.Key)
}

// ColumnsOf returns all columns of the table as they are now, on a connection of
// its own. Columns that cfg wants may be missing.
func ColumnsOf(ctx context.Context, cfg TableConfig) ([]connectors.Column, error) {
	t, err := newTable(cfg, nil)
	if err != nil {
		return nil, err
	}
	defer t.drop()
	return t.Describe(ctx)
}

// openTable also wants the columns of order, which Key need not have.
func openTable(ctx context.Context, cfg TableConfig, order []string) (*Table, error) {
	t, err := newTable(cfg, order)
	if err != nil {
		return nil, err
	}
	if t.columns, err = t.describe(ctx); err == nil {
		err = t.prepare(ctx, t.columns)
	}
	if err == nil {
		err = t.try(ctx)
	}
	if err != nil {
		t.drop()
		return nil, err
	}
	return t, nil
}

// newTable makes a Table that is not connected yet.
func newTable(cfg TableConfig, order []string) (*Table, error) {
	d, err := dialectOf(cfg.Driver)
	if err != nil {
		return nil, err
	}
	if _, ok := d.(postgres); ok {
		d = postgres{charset: cfg.Charset}
	}
	if cfg.Limits.QueryTime <= 0 {
		cfg.Limits.QueryTime = defaultQueryTime
	}
	t := &Table{cfg: cfg, dialect: d, selected: slices.Clone(cfg.Columns)}
	for _, name := range order {
		t.order = append(t.order, t.selectAlso(name))
	}
	for _, name := range cfg.Key {
		t.selectAlso(name)
	}
	if t.dsn, err = ReadURL(cfg.DSNFile); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Table) selectAlso(name string) int {
	if i := slices.Index(t.selected, name); i >= 0 {
		return i
	}
	t.selected = append(t.selected, name)
	return len(t.selected) - 1
}

// ReadURL reads the URL of a database from a file. It refuses one whose password
// is not escaped: parts of it would be taken for a host or a path, and be told in errors.
func ReadURL(file string) (string, error) {
	name := filepath.Base(file)
	content, err := os.ReadFile(file)
	if err != nil {
		return "", connectors.Refused(connectors.FaultSecret, err, "dsn_file %q cannot be read", name)
	}
	text := strings.TrimSpace(string(content))
	if text == "" || len(text) > maxDSNBytes || strings.ContainsAny(text, "\r\n\x00") {
		return "", connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q must hold one line, the URL of the database", name)
	}
	if _, address, ok := strings.Cut(text, "://"); ok {
		end := strings.IndexAny(address+"/", "/?#")
		if _, err := url.PathUnescape(address[:end]); err != nil || strings.ContainsAny(address[end:], "@#") {
			return "", connectors.Refused(connectors.FaultSecret, nil,
				"dsn_file %q: in the user and the password write %%25 for %%, %%2F for /, %%3F for ?, %%23 for #, %%40 for @ and %%3A for :", name)
		}
	}
	return text, nil
}

// Columns returns all columns of the table as it declared them when they were last read.
func (t *Table) Columns() []connectors.Column { return declared(t.columns) }

// CharacterSets returns the character set of each of Columns as the database names it, empty for none.
func (t *Table) CharacterSets() []string {
	all := make([]string, len(t.columns))
	for i, c := range t.columns {
		all[i] = c.charset
	}
	return all
}

func declared(columns []column) []connectors.Column {
	all := make([]connectors.Column, len(columns))
	for i, c := range columns {
		all[i] = c.Column
	}
	return all
}

// Describe asks the database for the columns again. What is read does not change by it.
func (t *Table) Describe(ctx context.Context) ([]connectors.Column, error) {
	columns, err := t.describe(ctx)
	return declared(columns), err
}

// Close ends the connection. A closed Table may be used again.
func (t *Table) Close() error {
	t.drop()
	return nil
}

func (t *Table) drop() {
	if t.engine != nil {
		t.engine.close()
		t.engine = nil
	}
}

func (t *Table) connect(ctx context.Context) error {
	if t.engine != nil && time.Since(t.used) > idleTime {
		t.drop()
	}
	if t.engine != nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var err error
	if t.engine, err = t.dialect.connect(limited, t.cfg, t.dsn); err != nil {
		t.engine = nil
		return t.another(ctx, t.fault(ctx, "connecting to", err))
	}
	t.used = time.Now()
	return nil
}

// describe returns the columns of the table, or the fault that there is no such table.
func (t *Table) describe(ctx context.Context) ([]column, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, t.cfg.Limits.QueryTime+grace)
	defer cancel()
	columns, err := t.engine.describe(limited)
	if err == nil && len(columns) == 0 {
		return nil, t.missing(limited)
	}
	if err != nil {
		t.drop()
		return nil, t.fault(ctx, "describing", err)
	}
	return columns, nil
}

// missing is the fault of a table that is not there.
func (t *Table) missing(ctx context.Context) error {
	names, err := t.engine.tables(ctx)
	if err != nil {
		t.drop()
		return t.fault(ctx, "listing what there is beside", err)
	}
	there := "there is none that it may read"
	if slices.ContainsFunc(names, func(name string) bool { return !utf8.ValidString(name) }) {
		there = "there are names that are not UTF-8, which are read once charset states what their bytes are: " + listed(names)
	} else if len(names) > 0 {
		there = "there are " + listed(names)
	}
	return connectors.Refused(connectors.FaultTable, nil,
		"there is no table %q, or the user of dsn_file %q may not see it; %s", t.cfg.Table, filepath.Base(t.cfg.DSNFile), there)
}

// prepare compares the columns with what is wanted, and makes ready to decode them.
func (t *Table) prepare(_ context.Context, columns []column) error {
	var names, missing []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	for _, name := range t.selected {
		if !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	var faults []error
	if len(missing) > 0 {
		hint := ""
		if slices.ContainsFunc(names, func(name string) bool { return !utf8.ValidString(name) }) {
			hint = "; names that are not UTF-8 are read once charset states what their bytes are"
		}
		faults = append(faults, connectors.Refused(connectors.FaultColumn, nil, "table %q has no column %s; it has %s%s", t.cfg.Table, listed(missing), listed(names), hint))
	}
	for _, i := range t.order {
		at := slices.Index(names, t.selected[i])
		if at < 0 {
			continue
		}
		c := columns[at]
		if why := t.dialect.unordered(c); why != "" {
			faults = append(faults, connectors.Refused(connectors.FaultColumn, nil,
				"column %q of table %q is of type %s, %s; use a timestamp, an integer or a text as cursor and key", c.Name, t.cfg.Table, c.Type, why))
		}
	}
	rows := newRowMaker(t.cfg, t.selected, t.order)
	for i, name := range t.selected {
		at := slices.Index(names, name)
		if at < 0 {
			continue
		}
		c := columns[at]
		c.override = t.cfg.Charset
		var err error
		if rows.coding[i], err = t.dialect.text(c); err != nil {
			faults = append(faults, connectors.Refused(connectors.FaultColumn, err, "column %q of table %q", name, t.cfg.Table))
		}
		rows.columns[i] = c
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	t.columns, t.rows = columns, rows
	return nil
}

// try runs the query without wanting a row, so that a missing right or an order that cannot be shows at once.
func (t *Table) try(ctx context.Context) error {
	query := statement{text: t.dialect.limited(t.list()+" WHERE 1 = 0"+t.orderBy(span{order: t.order}), 1)}
	return t.run(ctx, "reading", query, func([][]byte) error { return nil })
}

// list is the select list and the table.
func (t *Table) list() string {
	expressions := make([]string, len(t.selected))
	for i := range t.selected {
		expressions[i] = t.dialect.expression(t.rows.columns[i], t.column(i))
	}
	return strings.Join(expressions, ", ") + " FROM " + qualified(t.dialect, t.cfg.Table) + " t"
}

// column is qualified, because ORDER BY takes a bare name for that of an output
// column, which may be an expression of another type: 10 would come before 9.
func (t *Table) column(i int) string { return "t." + t.dialect.identifier(t.selected[i]) }

// errChanged says that the columns read are not what they were when the query was written.
var errChanged = errors.New("columns changed")

// run runs one query within the limits and compares the columns as they were
// meanwhile; the connection does not survive an error.
func (t *Table) run(ctx context.Context, doing string, query statement, yield func([][]byte) error) error {
	if err := t.connect(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, cmp.Or(query.limit, t.cfg.Limits.QueryTime)+grace)
	defer cancel()
	columns, err := t.engine.read(limited, query, yield)
	t.used = time.Now()
	if err != nil {
		t.drop()
		return t.fault(ctx, doing, err)
	}
	if slices.Equal(columns, t.columns) {
		return nil
	}
	before := t.rows.columns
	if err := t.prepare(ctx, columns); err != nil {
		return err
	}
	if !slices.Equal(before, t.rows.columns) {
		return errChanged // the rows may have been decoded wrongly
	}
	return nil
}

// listed names tables or columns in a message, at most 40 of them.
func listed(names []string) string {
	more := ""
	if len(names) > 40 {
		names, more = names[:40], " and more"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return strings.Join(quoted, ", ") + more
}

// place is for messages.
func (t *Table) place() string { return fmt.Sprintf("table %q", t.cfg.Table) }
