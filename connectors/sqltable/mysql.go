package sqltable

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/onewindow/onewindow/connectors"
)

// mysqlDialect is MySQL and MariaDB.
type mysqlDialect struct{}

func (mysqlDialect) connect(ctx context.Context, cfg TableConfig, dsn string) (engine, error) {
	config, database, err := mysqlConfig(cfg, dsn)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, wrongURL(cfg, mysqlForm)
	}
	db := sql.OpenDB(connector)
	e := &sqlEngine{
		db: db, raw: true, begin: "START TRANSACTION READ ONLY", commit: "COMMIT",
		catalogue: mysqlCatalogue(cfg.Table), columnOf: mysqlColumn, list: mysqlTables,
	}
	if e.conn, err = db.Conn(ctx); err == nil {
		err = mysqlSession(ctx, e, cfg, database)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

const mysqlForm = "mysql://user:password@host:3306/database (optionally ?tls=true)" //nolint:gosec // the form of a URL

func mysqlConfig(cfg TableConfig, dsn string) (_ *mysql.Config, database string, _ error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" || u.Scheme != "mysql" && u.Scheme != "mariadb" {
		return nil, "", wrongURL(cfg, mysqlForm)
	}
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", u.Host
	if u.Port() == "" {
		config.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Timeout = connectTimeout
	config.Logger = &mysql.NopLogger{} // errors are returned
	for name, values := range u.Query() {
		if name != "tls" {
			return nil, "", wrongURL(cfg, mysqlForm)
		}
		config.TLSConfig = values[0]
	}
	return config, strings.TrimPrefix(u.Path, "/"), nil
}

// mysqlSession makes texts come as they are stored, whatever the server's settings, and chooses the database.
func mysqlSession(ctx context.Context, e *sqlEngine, cfg TableConfig, database string) error {
	var version string
	if err := e.conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return err
	}
	e.limited = func(limit time.Duration) string {
		limit = cmp.Or(limit, cfg.Limits.QueryTime)
		if strings.Contains(version, "MariaDB") {
			return fmt.Sprintf("SET SESSION max_statement_time = %.3f", limit.Seconds())
		}
		return fmt.Sprintf("SET SESSION max_execution_time = %d", limit.Milliseconds())
	}
	isolation, locks := "", ""
	if cfg.LogPlace {
		e.place = newLogPlace(cfg.Driver, version)
		e.begin, isolation = e.place.begin, "ISOLATION LEVEL "+e.place.isolation+", "
		locks = ", innodb_lock_wait_timeout = 5"
	}
	// Queries are in UTF-8 whatever the server makes of the handshake (skip-character-set-client-handshake, init_connect);
	// only behind that can the database have a Chinese name.
	sets := []string{"SET NAMES utf8mb4"}
	if database != "" {
		sets = append(sets, "USE "+quoteWith("`", database))
	}
	for _, set := range append(sets,
		// ALLOW_INVALID_DATES so that any date that is there can be compared; nothing else that changes what is read.
		"SET SESSION character_set_results = NULL, time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES', lock_wait_timeout = 5"+locks,
		e.limited(0),
		"SET SESSION TRANSACTION "+isolation+"READ ONLY",
	) {
		if _, err := e.conn.ExecContext(ctx, set); err != nil {
			return err
		}
	}
	return nil
}

func (mysqlDialect) identifier(name string) string { return quoteWith("`", name) }
func (mysqlDialect) present(quoted string) string  { return quoted + " IS NOT NULL" }

// compareRows is false because MySQL and MariaDB understand row comparisons, but do not use an index for them.
func (mysqlDialect) compareRows() bool { return false }

func (mysqlDialect) limited(rest string, n int) string { return limitAtEnd(rest, n) }

// expression has the server write what the driver would make a number of: leading zeros and the digits of floats would be lost.
func (mysqlDialect) expression(c column, quoted string) string {
	if c.zerofill || c.kind == "float" || c.kind == "double" || c.kind == "year" {
		return "CONCAT(" + quoted + ")"
	}
	return quoted
}

// value is a literal of the column's own type and charset, so that the
// comparison is exact and the index is used.
func (d mysqlDialect) value(c column, text string, _ int) (string, any, error) {
	switch c.kind {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit":
		if !isNumber(text) {
			return "", nil, errNotComparable
		}
		return text, nil, nil
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		cell, err := unhex(text)
		return "X'" + hex.EncodeToString(cell) + "'", nil, err
	case "timestamp":
		text = strings.TrimSuffix(text, utcOffset)
	}
	if c.charset == "" {
		if strings.Trim(text, "0123456789abcdefABCDEF-:. ") != "" {
			return "", nil, errNotComparable
		}
		return "'" + text + "'", nil, nil
	}
	coding, err := d.text(c)
	if err != nil {
		return "", nil, err
	}
	cell, err := coding.restore(text)
	if err != nil {
		return "", nil, errNotComparable
	}
	return "_" + c.charset + " X'" + hex.EncodeToString(cell) + "'", nil, nil
}

func (mysqlDialect) tomorrow(c column) string {
	if c.kind == "date" || c.kind == "datetime" || c.kind == "timestamp" {
		return "NOW() + INTERVAL 1 DAY"
	}
	return ""
}

func (mysqlDialect) unordered(c column) string {
	switch c.kind {
	case "float", "double":
		return "which cannot be compared exactly"
	case "enum", "set":
		return "which is ordered otherwise than it is compared"
	case "json", "vector", "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
		"geometrycollection", "geomcollection":
		return "which has no order"
	}
	return ""
}

func (mysqlDialect) text(c column) (coding, error) { return mysqlCoding(c.kind, c.charset, c.override) }

func (mysqlDialect) classify(err error) connectors.FaultCode {
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		return connectors.FaultUnreachable
	}
	switch my.Number {
	case 1045, 1044, 1698, 1251, 1820, 3118, 4151, 1130, 1862:
		if my.Number == 1044 {
			return connectors.FaultRight
		}
		return connectors.FaultCredentials
	case 1049, 1146, 1932:
		return connectors.FaultTable
	case 1054, 1356:
		return connectors.FaultColumn
	case 1142, 1143, 1370, 1227:
		return connectors.FaultRight
	case 3024, 1969, 1317, 1028:
		return connectors.FaultSlow
	case 1040, 1203, 1226, 1205, 1213:
		return connectors.FaultBusy
	case 1064, 1267, 1292, 1366, 1525:
		return connectors.FaultDefinition
	}
	return connectors.FaultUnreachable
}

// mysqlCatalogue lists the columns for "schema.name" or "name".
func mysqlCatalogue(table string) string {
	schema, name, ok := strings.Cut(table, ".")
	where := "DATABASE()"
	if ok {
		where = mysqlLiteral(schema)
	} else {
		name = schema
	}
	return `SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, DATA_TYPE, COALESCE(CHARACTER_SET_NAME, '') FROM information_schema.COLUMNS
		WHERE TABLE_SCHEMA = ` + where + ` AND TABLE_NAME = ` + mysqlLiteral(name) + ` ORDER BY ORDINAL_POSITION`
}

func mysqlLiteral(text string) string { return "_utf8mb4 X'" + hex.EncodeToString([]byte(text)) + "'" }

func mysqlColumn(cells [][]byte) column {
	c := column{
		Column:  connectors.Column{Name: string(cells[0]), Type: string(cells[1]), Nullable: string(cells[2]) == "YES"},
		kind:    strings.ToLower(string(cells[3])),
		charset: strings.ToLower(string(cells[4])),
	}
	c.zerofill = strings.HasSuffix(strings.ToLower(c.Type), " zerofill")
	return c
}

const mysqlTables = `SELECT IF(TABLE_SCHEMA = DATABASE(), TABLE_NAME, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)) FROM information_schema.TABLES
	WHERE TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
	ORDER BY COALESCE(TABLE_SCHEMA = DATABASE(), 0) DESC, 1 LIMIT 41`
