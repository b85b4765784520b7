package sqltable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

// postgres is PostgreSQL, and KingbaseES and openGauss, which speak its protocol.
type postgres struct {
	// charset is that of names, if the definition states one; see [Names].
	charset string
}

// Names turns names into the bytes that PostgreSQL has where a charset is stated, and back: then everything goes over
// the connection as it is stored, names as well as values. An empty one leaves names as they are.
type Names string

// Stored returns the bytes of a name or of a query with names.
func (n Names) Stored(text string) string {
	if c, err := codingOf(string(n)); n != "" && err == nil && c.encode != nil {
		if stored, err := c.encode.NewEncoder().String(text); err == nil {
			return stored
		}
	}
	return text
}

// Text returns the name that bytes stand for; bytes that are no name in the charset stay as they are.
func (n Names) Text(stored []byte) string {
	if n != "" {
		if c, err := codingOf(string(n)); err == nil {
			if text, valid := c.Decode(nil, stored); valid {
				return string(text)
			}
		}
	}
	return string(stored)
}

func (postgres) connect(ctx context.Context, cfg TableConfig, dsn string) (engine, error) {
	_, address, ok := strings.Cut(dsn, "://")
	scheme := strings.TrimSuffix(dsn, "://"+address)
	if !ok || scheme != "postgres" && scheme != "postgresql" && scheme != cfg.Driver {
		return nil, wrongURL(cfg, "postgres://user:password@host:5432/database")
	}
	config, err := pgconn.ParseConfig("postgres://" + address)
	if err != nil {
		return nil, wrongURL(cfg, "postgres://user:password@host:5432/database")
	}
	config.MaxProtocolMessageBodyLen = maxMessage
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["standard_conforming_strings"] = "on"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "onewindow"
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	e := &postgresEngine{conn: conn, cfg: cfg}
	if cfg.Charset != "" || conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
		// The bytes as they are stored, for the charset of the definition. A database without an encoding has any
		// bytes; as UTF-8 it would refuse all rows for one that is not, while decoding them here rejects that one.
		if err := conn.Exec(ctx, "SELECT set_config('client_encoding', current_setting('server_encoding'), false)").Close(); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

// maxMessage bounds a row that is still taken in; a row beyond it is refused with the connection.
const maxMessage = 48 << 20

func (d postgres) identifier(name string) string {
	return quoteWith(`"`, Names(d.charset).Stored(name))
}
func (postgres) expression(_ column, quoted string) string { return quoted }
func (postgres) present(quoted string) string              { return quoted + " IS NOT NULL" }
func (postgres) compareRows() bool                         { return true }
func (postgres) limited(rest string, n int) string         { return limitAtEnd(rest, n) }

// value is an untyped literal, which takes the type of the column.
func (d postgres) value(c column, text string, _ int) (string, any, error) {
	coding, err := d.text(c)
	if err != nil {
		return "", nil, err
	}
	cell, err := coding.restore(text)
	if err != nil || strings.IndexByte(string(cell), 0) >= 0 {
		return "", nil, errNotComparable
	}
	return quoteText(string(cell)), nil, nil
}

func (postgres) tomorrow(c column) string {
	if c.kind == "date" || strings.HasPrefix(c.kind, "timestamp") {
		return "pg_catalog.now() + interval '1 day'"
	}
	return ""
}

func (postgres) unordered(c column) string {
	switch c.kind {
	case "real", "double precision":
		return "which cannot be compared exactly"
	case "json", "xml", "point":
		return "which has no order"
	}
	return ""
}

func (postgres) text(c column) (coding, error) {
	switch c.kind {
	case "character", "character varying", "text", "citext", "name", `"char"`:
		if c.override != "" {
			return codingOf(c.override)
		}
	}
	return codingOf(charset.UTF8)
}

func (postgres) classify(err error) connectors.FaultCode {
	var pg *pgconn.PgError
	var long *pgproto3.ExceededMaxBodyLenErr
	switch {
	case errors.As(err, &long):
		return connectors.FaultTooLarge
	case !errors.As(err, &pg):
		return connectors.FaultUnreachable
	}
	switch pg.Code {
	case "42P01", "3F000", "3D000":
		return connectors.FaultTable
	case "42703", "42883", "42704":
		return connectors.FaultColumn
	case "42501":
		return connectors.FaultRight
	case "57014":
		return connectors.FaultSlow
	case "53300", "55P03", "40P01", "40001", "53400":
		return connectors.FaultBusy
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "28":
		return connectors.FaultCredentials
	case "22", "42":
		return connectors.FaultDefinition
	}
	return connectors.FaultUnreachable
}

// postgresEngine is a connection.
type postgresEngine struct {
	conn *pgconn.PgConn
	cfg  TableConfig
}

func (e *postgresEngine) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.conn.Close(ctx) // the server notices
}

// begin sets for the transaction only, which poolers in front of a database allow.
func (e *postgresEngine) begin(limit time.Duration) string {
	return fmt.Sprintf(`BEGIN READ ONLY; SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = 5000; SET LOCAL timezone = 'UTC';
		SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; `, cmp.Or(limit, e.cfg.Limits.QueryTime).Milliseconds())
}

// beginning is the index of the first result behind begin.
const beginning = 8

// catalogue lists the columns. It takes no function that all three databases would not have.
func (e *postgresEngine) catalogue() string {
	where := "pg_catalog.pg_table_is_visible(c.oid)"
	schema, name, ok := strings.Cut(e.cfg.Table, ".")
	if ok {
		where = "n.nspname = " + e.name(schema)
	} else {
		name = schema
	}
	return `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_catalog.format_type(a.atttypid, NULL)
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relname = ` + e.name(name) + ` AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND ` + where + `
		AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`
}

// name is a name as a literal.
func (e *postgresEngine) name(text string) string {
	return quoteText(Names(e.cfg.Charset).Stored(text))
}

func (e *postgresEngine) describe(ctx context.Context) ([]column, error) {
	var columns []column
	err := e.exec(ctx, e.begin(0)+e.catalogue()+"; COMMIT", func(result int, cells [][]byte) error {
		if result == beginning {
			columns = append(columns, e.column(cells))
		}
		return nil
	})
	return columns, err
}

func (e *postgresEngine) column(cells [][]byte) column {
	names := Names(e.cfg.Charset)
	return column{
		Column: connectors.Column{Name: names.Text(cells[0]), Type: names.Text(cells[1]), Nullable: string(cells[2]) != "t"},
		kind:   names.Text(cells[3]),
	}
}

func (e *postgresEngine) tables(ctx context.Context) ([]string, error) {
	var names []string
	err := e.exec(ctx, `SELECT table_schema || '.' || table_name FROM information_schema.tables
		WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
		ORDER BY CASE WHEN table_schema = current_schema() THEN 0 ELSE 1 END, 1 LIMIT 41`,
		func(_ int, cells [][]byte) error {
			names = append(names, Names(e.cfg.Charset).Text(cells[0]))
			return nil
		})
	return names, err
}

// read asks for everything in one message. The columns come after the rows: the
// lock that reading the rows took keeps anybody from changing them in between.
func (e *postgresEngine) read(ctx context.Context, query statement, yield func([][]byte) error) ([]column, error) {
	var columns []column
	err := e.exec(ctx, e.begin(query.limit)+query.text+"; "+e.catalogue()+"; COMMIT", func(result int, cells [][]byte) error {
		switch result {
		case beginning:
			return yield(cells)
		case beginning + 1:
			columns = append(columns, e.column(cells))
		}
		return nil
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P05") { // the message has the bytes
		return nil, connectors.Refused(connectors.FaultColumn, errors.New("SQLSTATE "+pg.Code),
			"table %q has text that the database cannot give as UTF-8; mend it, or state with charset what its bytes are", e.cfg.Table)
	}
	return columns, err
}

// exec runs statements in the simple protocol, whose results are text. After an
// error of yield the connection is in the middle of an answer.
func (e *postgresEngine) exec(ctx context.Context, text string, yield func(result int, cells [][]byte) error) error {
	results := e.conn.Exec(ctx, text)
	for n := 0; results.NextResult(); n++ {
		reader := results.ResultReader()
		for reader.NextRow() {
			if err := yield(n, reader.Values()); err != nil {
				return err
			}
		}
		if _, err := reader.Close(); err != nil {
			_ = results.Close()
			return err
		}
	}
	return results.Close()
}
