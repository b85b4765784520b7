package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/network"

	"github.com/onewindow/onewindow/connectors"
)

// oracle is Oracle, from 11g on. It was never run against a server here. Names
// are as the catalogue has them, which mostly is upper case.
type oracle struct{}

func (oracle) connect(ctx context.Context, cfg TableConfig, dsn string) (engine, error) {
	// The driver parses it when it connects, and puts what it cannot parse into its error.
	if u, err := url.Parse(dsn); err != nil || u.Scheme != "oracle" || u.Host == "" {
		return nil, wrongURL(cfg, "oracle://user:password@host:1521/service")
	}
	e := &sqlEngine{
		db: sql.OpenDB(ora.NewConnector(dsn)), convert: textOrBytes, begin: "SET TRANSACTION READ ONLY", options: &sql.TxOptions{},
		catalogue: oracleCatalogue(cfg.Table), columnOf: catalogueColumn,
		list: `SELECT name FROM (SELECT owner || '.' || table_name AS name FROM all_tables WHERE owner NOT IN ('SYS', 'SYSTEM')
			UNION SELECT owner || '.' || view_name FROM all_views WHERE owner NOT IN ('SYS', 'SYSTEM') ORDER BY 1) WHERE ROWNUM <= 41`,
	}
	var err error
	if e.conn, err = e.db.Conn(ctx); err == nil {
		_, err = e.conn.ExecContext(ctx, `ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,' NLS_SORT = BINARY NLS_COMP = BINARY TIME_ZONE = '+00:00'`)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

const (
	oracleDate      = "'YYYY-MM-DD HH24:MI:SS'"
	oracleTimestamp = "'YYYY-MM-DD HH24:MI:SS.FF'"
	oracleZoned     = "'YYYY-MM-DD HH24:MI:SS.FF TZH:TZM'"
)

func (oracle) identifier(name string) string { return quoteWith(`"`, name) }
func (oracle) present(quoted string) string  { return quoted + " IS NOT NULL" }
func (oracle) compareRows() bool             { return false }
func (oracle) limited(rest string, n int) string {
	return fmt.Sprintf("SELECT * FROM (SELECT %s) WHERE ROWNUM <= %d", rest, n)
}

// expression has the server write numbers and times, of which the driver would
// make floats and its own times. Instants are written in UTC.
func (oracle) expression(c column, quoted string) string {
	switch kind := c.kind; {
	case kind == "number", kind == "float", kind == "binary_float", kind == "binary_double":
		return "TO_CHAR(" + quoted + ")"
	case kind == "date":
		return "TO_CHAR(" + quoted + ", " + oracleDate + ")"
	case strings.HasPrefix(kind, "timestamp") && strings.HasSuffix(kind, "time zone"):
		return "NVL2(" + quoted + ", TO_CHAR(SYS_EXTRACT_UTC(CAST(" + quoted + " AS TIMESTAMP WITH TIME ZONE)), " + oracleTimestamp + ") || ' +00:00', NULL)"
	case strings.HasPrefix(kind, "timestamp"):
		return "TO_CHAR(" + quoted + ", " + oracleTimestamp + ")"
	case strings.HasPrefix(kind, "interval"):
		return "TO_CHAR(" + quoted + ")"
	case kind == "rowid", kind == "urowid":
		return "ROWIDTOCHAR(" + quoted + ")"
	}
	return quoted
}

// value is a parameter that the server converts to the column's type.
func (oracle) value(c column, text string, n int) (string, any, error) {
	placeholder := fmt.Sprintf(":%d", n)
	switch kind := c.kind; {
	case kind == "number", kind == "float":
		return "TO_NUMBER(" + placeholder + ")", text, nil
	case kind == "date":
		return "TO_DATE(" + placeholder + ", " + oracleDate + ")", text, nil
	case strings.HasPrefix(kind, "timestamp") && strings.HasSuffix(kind, "time zone"):
		return "TO_TIMESTAMP_TZ(" + placeholder + ", " + oracleZoned + ")", text, nil
	case strings.HasPrefix(kind, "timestamp"):
		return "TO_TIMESTAMP(" + placeholder + ", " + oracleTimestamp + ")", text, nil
	case kind == "raw":
		cell, err := unhex(text)
		return "HEXTORAW(" + placeholder + ")", fmt.Sprintf("%X", cell), err
	}
	return placeholder, text, nil
}

func (oracle) tomorrow(c column) string {
	switch kind := c.kind; {
	case kind == "date":
		return "SYSDATE + 1"
	case strings.HasPrefix(kind, "timestamp") && !strings.HasSuffix(kind, "time zone"):
		return "CAST(SYSTIMESTAMP + INTERVAL '1' DAY AS TIMESTAMP)"
	case strings.HasPrefix(kind, "timestamp"):
		return "SYSTIMESTAMP + INTERVAL '1' DAY"
	}
	return ""
}

func (oracle) unordered(c column) string {
	switch c.kind {
	case "binary_float", "binary_double":
		return "which cannot be compared exactly"
	case "clob", "nclob", "blob", "bfile", "long", "long raw", "xmltype":
		return "which has no order"
	}
	return ""
}

func (oracle) text(c column) (coding, error) { return decoded(c) }

func (oracle) classify(err error) connectors.FaultCode {
	var failed *network.OracleError
	if !errors.As(err, &failed) {
		return connectors.FaultUnreachable
	}
	switch failed.ErrCode {
	case 1017, 28000, 28001:
		return connectors.FaultCredentials
	case 942, 12505, 12514:
		return connectors.FaultTable
	case 904:
		return connectors.FaultColumn
	case 1031, 1045:
		return connectors.FaultRight
	case 1013:
		return connectors.FaultSlow
	case 18, 20, 54, 60, 12516, 12519, 12520:
		return connectors.FaultBusy
	case 900, 911, 1722, 1830, 1840, 1841, 1843, 1858, 1861:
		return connectors.FaultDefinition
	}
	return connectors.FaultUnreachable
}

func oracleCatalogue(table string) string {
	owner := "SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')"
	schema, name, ok := strings.Cut(table, ".")
	if ok {
		owner = quoteText(schema)
	} else {
		name = schema
	}
	return `SELECT column_name, data_type || CASE
			WHEN data_type = 'NUMBER' AND data_precision IS NOT NULL THEN '(' || data_precision || ',' || data_scale || ')'
			WHEN data_type IN ('CHAR', 'VARCHAR2', 'NCHAR', 'NVARCHAR2') THEN '(' || char_length || ')'
			WHEN data_type = 'RAW' THEN '(' || data_length || ')' END, nullable,
			REGEXP_REPLACE(data_type, '\([0-9]+\)')
		FROM all_tab_columns WHERE owner = ` + owner + ` AND table_name = ` + quoteText(name) + ` ORDER BY column_id`
}
