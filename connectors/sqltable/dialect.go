package sqltable

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	_ "modernc.org/sqlite"             // registers the driver "sqlite"
)

// column is a column as the database describes it.
type column struct {
	name     string
	kind     string // type as the database writes it
	nullable bool
}

// dialect is what differs between the databases.
type dialect struct {
	driver string
	// dataSource makes a driver's data source name of the content of the DSN file.
	dataSource func(content, dir string) (string, error)
	// begin prepares a transaction.
	begin string
	// columns lists the columns of table $1, in order; none if it does not exist.
	columns string
	// tables lists what can be read.
	tables string
	// table quotes a table name, and spells it for the query columns.
	table func(name string) string
	// expression reads a column without loss.
	expression func(quoted string) string
	// parameter is placeholder n compared with a column.
	parameter func(n int, c column) string
}

func dialectOf(driver string) dialect {
	if driver == "postgres" {
		return postgres()
	}
	return sqlite()
}

func postgres() dialect {
	return dialect{
		driver: "pgx",
		dataSource: func(content, _ string) (string, error) {
			if !strings.HasPrefix(content, "postgres://") && !strings.HasPrefix(content, "postgresql://") {
				return "", fmt.Errorf("it must hold a postgres:// URL")
			}
			return content, nil
		},
		// Set for the transaction only, which poolers in front of a database allow.
		begin: `SELECT set_config('statement_timeout', '60000', true), set_config('lock_timeout', '5000', true),
			set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, YMD', true), set_config('extra_float_digits', '3', true)`,
		columns: `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 0 ELSE 1 END
			FROM pg_attribute a WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
		tables: `SELECT table_schema || '.' || table_name FROM information_schema.tables
			WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 LIMIT 41`,
		table: func(name string) string {
			if schema, table, ok := strings.Cut(name, "."); ok {
				return quote(schema) + "." + quote(table)
			}
			return quote(name)
		},
		expression: func(quoted string) string { return quoted + "::text" },
		parameter:  func(n int, c column) string { return fmt.Sprintf("CAST($%d::text AS %s)", n, c.kind) },
	}
}

func sqlite() dialect {
	return dialect{
		driver: "sqlite",
		dataSource: func(content, dir string) (string, error) {
			file := strings.TrimPrefix(content, "sqlite:")
			if file == "" || strings.Contains(file, "?") {
				return "", fmt.Errorf("it must hold the path of a SQLite file")
			}
			if !filepath.IsAbs(file) {
				file = filepath.Join(dir, file)
			}
			u := url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"}
			return u.String(), nil
		},
		columns: `SELECT name, type, CASE WHEN "notnull" = 0 THEN 1 ELSE 0 END FROM pragma_table_info($1) ORDER BY cid`,
		tables:  `SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1 LIMIT 41`,
		table:   quote,
		// Without the plus the driver would make time.Time of columns declared as dates.
		expression: func(quoted string) string { return "+" + quoted },
		parameter:  func(n int, _ column) string { return fmt.Sprintf("$%d", n) },
	}
}

func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

// describe returns the columns of a table; none if it does not exist.
func (d dialect) describe(ctx context.Context, db *sql.DB, table string) ([]column, error) {
	if d.driver == "pgx" {
		table = d.table(table)
	}
	rows, err := db.QueryContext(ctx, d.columns, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var columns []column
	for rows.Next() {
		var c column
		var nullable int
		if err := rows.Scan(&c.name, &c.kind, &nullable); err != nil {
			return nil, err
		}
		c.nullable = nullable == 1
		columns = append(columns, c)
	}
	return columns, rows.Err()
}

// list returns the names of the tables that can be read.
func (d dialect) list(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, d.tables)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
