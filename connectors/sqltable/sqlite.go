package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	driver "modernc.org/sqlite"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

// sqlite is a SQLite file. Its columns have no fixed types, only a preference
// (affinity), which is what values are compared by.
type sqlite struct{}

func (sqlite) connect(ctx context.Context, cfg TableConfig, dsn string) (engine, error) {
	file := strings.TrimPrefix(dsn, "sqlite:")
	if file == "" || strings.Contains(file, "?") {
		return nil, wrongURL(cfg, "sqlite:path of the file")
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(cfg.DSNFile), file)
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	e := &sqlEngine{
		db: db, convert: sqliteText, options: &sql.TxOptions{ReadOnly: true},
		catalogue: `SELECT name, type, "notnull" FROM pragma_table_xinfo(` + quoteText(cfg.Table) + `) WHERE hidden <> 1 ORDER BY cid`,
		columnOf:  sqliteColumn,
		list:      `SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1 LIMIT 41`,
	}
	if e.conn, err = db.Conn(ctx); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func sqliteColumn(cells [][]byte) column {
	kind := strings.ToLower(string(cells[1]))
	return column{
		Column: connectors.Column{Name: string(cells[0]), Type: string(cells[1]), Nullable: string(cells[2]) == "0"},
		kind:   kind,
	}
}

// sqliteText writes floats with the digits that give the same float again.
func sqliteText(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return append(dst, v...), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case float64:
		format := byte('f')
		if abs := math.Abs(v); abs >= 1e21 || abs != 0 && abs < 1e-6 {
			format = 'e'
		}
		return strconv.AppendFloat(dst, v, format, -1, 64), nil
	case []byte:
		return appendHex(dst, v), nil
	}
	return nil, fmt.Errorf("unexpected value of type %T", value)
}

func (sqlite) identifier(name string) string { return quoteWith(`"`, name) }

// expression has a plus, without which the driver would make time.Time of columns declared as dates.
func (sqlite) expression(_ column, quoted string) string { return "+" + quoted }

// present leaves out blobs, which are greater than any text they are compared with.
func (sqlite) present(quoted string) string      { return "typeof(" + quoted + ") NOT IN ('null', 'blob')" }
func (sqlite) compareRows() bool                 { return true }
func (sqlite) limited(rest string, n int) string { return limitAtEnd(rest, n) }

// value is a text; the affinity of the column makes a number of it where the column has numbers.
func (d sqlite) value(c column, text string, _ int) (string, any, error) {
	coding, err := d.text(c)
	if err != nil {
		return "", nil, err
	}
	cell, err := coding.restore(text)
	if err != nil {
		return "", nil, errNotComparable
	}
	if strings.IndexByte(string(cell), 0) >= 0 {
		return "CAST(X'" + fmt.Sprintf("%x", cell) + "' AS TEXT)", nil, nil
	}
	return quoteText(string(cell)), nil, nil
}

// tomorrow is not known: times are texts or numbers of any form.
func (sqlite) tomorrow(column) string { return "" }

// unordered follows the rules by which SQLite finds the affinity of a declared type.
func (sqlite) unordered(c column) string {
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(c.kind, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("int", "char", "clob", "text"):
	case c.kind == "", has("blob"):
		return "by which numbers and texts cannot be compared"
	case has("real", "floa", "doub"):
		return "which cannot be compared exactly"
	}
	return ""
}

func (sqlite) text(c column) (coding, error) {
	if c.override != "" {
		return codingOf(c.override)
	}
	return codingOf(charset.UTF8)
}

func (sqlite) classify(err error) connectors.FaultCode {
	var failed *driver.Error
	if !errors.As(err, &failed) {
		return connectors.FaultUnreachable
	}
	text := failed.Error()
	switch code := failed.Code() & 0xff; {
	case strings.Contains(text, "no such table"):
		return connectors.FaultTable
	case strings.Contains(text, "no such column"):
		return connectors.FaultColumn
	case code == 5, code == 6: // SQLITE_BUSY, SQLITE_LOCKED
		return connectors.FaultBusy
	case code == 9: // SQLITE_INTERRUPT
		return connectors.FaultSlow
	case code == 23, code == 3: // SQLITE_AUTH, SQLITE_PERM
		return connectors.FaultRight
	case code == 11, code == 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		return connectors.FaultBroken
	case code == 1: // SQLITE_ERROR
		return connectors.FaultDefinition
	}
	return connectors.FaultUnreachable
}
