package sqltable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

// column is a column as the catalogue of the database describes it.
type column struct {
	connectors.Column
	// kind is the type without its parameters, in lower case.
	kind string
	// charset is that of a cell's bytes as the database says; empty where that is UTF-8, or for what is no text.
	charset string
	// override is the charset of the definition, if it has one.
	override string
	// zerofill says that numbers have leading zeros (MySQL).
	zerofill bool
}

// statement is a query with its parameters; dialects that write values into the text have none.
type statement struct {
	text string
	args []any
	// limit is how long it may take; 0 means Limits.QueryTime.
	limit time.Duration
}

// dialect is what differs between the databases.
type dialect interface {
	// connect opens one connection that can only read.
	connect(ctx context.Context, cfg TableConfig, dsn string) (engine, error)
	// identifier quotes a name.
	identifier(name string) string
	// expression selects a column so that the engine gives its text.
	expression(c column, quoted string) string
	// value writes the text of a column as something that is compared with it: a literal, or placeholder n and its argument.
	value(c column, text string, n int) (sql string, arg any, err error)
	// present is the condition that a column has a value that can be compared.
	present(quoted string) string
	// unordered says why rows cannot be ordered by a column; empty if they can.
	unordered(c column) string
	// tomorrow is the database's own clock and a day, to be compared with a column; empty for what is no date or time.
	tomorrow(c column) string
	// compareRows says whether (a, b) > (1, 2) is understood.
	compareRows() bool
	// limited completes "SELECT " + rest so that it gives n rows.
	limited(rest string, n int) string
	// text returns the coding of a column.
	text(c column) (coding, error)
	// classify says what an error of the database means.
	classify(err error) connectors.FaultCode
}

// engine is one connection.
type engine interface {
	// describe lists the columns of the table in their order; none if it is not there.
	describe(ctx context.Context) ([]column, error)
	// tables lists what can be read, at most 41 names.
	tables(ctx context.Context) ([]string, error)
	// read runs a query in a read-only transaction, gives the cells of each row to yield, nil for null, and
	// returns the columns that the table had meanwhile. After an error the engine must be closed.
	read(ctx context.Context, query statement, yield func(cells [][]byte) error) ([]column, error)
	close()
}

func dialectOf(driver string) (dialect, error) {
	switch driver {
	case "postgres", "kingbase", "opengauss":
		return postgres{}, nil
	case "mysql", "mariadb":
		return mysqlDialect{}, nil
	case "sqlite":
		return sqlite{}, nil
	case "sqlserver":
		return sqlserver{}, nil
	case "oracle":
		return oracle{}, nil
	}
	return nil, fmt.Errorf("%w: driver %q is not one of %s", connectors.ErrDefinition, driver, strings.Join(connectors.Drivers(), ", "))
}

// quoteWith quotes an identifier, doubling the quotes in it.
func quoteWith(q, name string) string { return q + strings.ReplaceAll(name, q, q+q) + q }

// qualified quotes "name" or "schema.name".
func qualified(d dialect, table string) string {
	if schema, name, ok := strings.Cut(table, "."); ok {
		return d.identifier(schema) + "." + d.identifier(name)
	}
	return d.identifier(table)
}

// quoteText writes a text as a literal of standard SQL.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// limitAtEnd is the LIMIT of PostgreSQL, MySQL and SQLite.
func limitAtEnd(rest string, n int) string { return "SELECT " + rest + " LIMIT " + strconv.Itoa(n) }

// decoded is the coding of drivers that decode texts themselves, by what the database says.
func decoded(c column) (coding, error) {
	if c.override != "" {
		return coding{}, errors.New("its driver decodes texts itself; leave charset out")
	}
	return codingOf(charset.UTF8)
}

// textOrBytes makes texts of what those drivers give, for expressions that leave nothing else.
func textOrBytes(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return append(dst, v...), nil
	case []byte:
		return appendHex(dst, v), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	}
	return nil, fmt.Errorf("unexpected value of type %T", value)
}

// isNumber says whether a text is a plain number, which may stand in a query as it is.
func isNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	return onlyDigits(whole) && (!point || onlyDigits(fraction)) && len(text) <= 100
}

func onlyDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

var errNotComparable = errors.New("it is not a value of the column")
