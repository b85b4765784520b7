package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/onewindow/onewindow/connectors"
)

// sqlserver is Microsoft SQL Server, from 2016 on. It was never run against a server here.
type sqlserver struct{}

func (sqlserver) connect(ctx context.Context, cfg TableConfig, dsn string) (engine, error) {
	const form = "sqlserver://user:password@host:1433?database=name"
	if !strings.HasPrefix(dsn, "sqlserver://") {
		return nil, wrongURL(cfg, form)
	}
	connector, err := mssql.NewConnector(dsn)
	if err != nil {
		return nil, wrongURL(cfg, form)
	}
	e := &sqlEngine{
		db: sql.OpenDB(connector), convert: textOrBytes, begin: "BEGIN TRANSACTION", commit: "COMMIT TRANSACTION",
		catalogue: sqlserverCatalogue(cfg.Table), columnOf: catalogueColumn,
		list: `SELECT TOP (41) TABLE_SCHEMA + N'.' + TABLE_NAME FROM INFORMATION_SCHEMA.TABLES ORDER BY 1`,
	}
	if e.conn, err = e.db.Conn(ctx); err == nil {
		_, err = e.conn.ExecContext(ctx, "SET LOCK_TIMEOUT 5000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (sqlserver) identifier(name string) string {
	return "[" + strings.ReplaceAll(name, "]", "]]") + "]"
}
func (sqlserver) present(quoted string) string { return quoted + " IS NOT NULL" }
func (sqlserver) compareRows() bool            { return false }
func (sqlserver) limited(rest string, n int) string {
	return fmt.Sprintf("SELECT TOP (%d) %s", n, rest)
}

// expression has the server write everything but binary values, exactly and without regard to the session's language.
func (sqlserver) expression(c column, quoted string) string {
	switch c.kind {
	case "binary", "varbinary", "image", "timestamp", "rowversion", "geometry", "geography", "hierarchyid":
		return "CONVERT(varbinary(max), " + quoted + ")"
	case "date", "time", "datetime", "datetime2", "smalldatetime", "datetimeoffset":
		return "CONVERT(nvarchar(40), " + quoted + ", 121)"
	case "float", "real":
		return "CONVERT(nvarchar(40), " + quoted + ", 3)"
	case "money", "smallmoney":
		return "CONVERT(nvarchar(40), " + quoted + ", 2)"
	}
	return "CONVERT(nvarchar(max), " + quoted + ")"
}

// value is a parameter of the column's type; texts stay Unicode, since a
// conversion to the code page of the database could lose characters.
func (sqlserver) value(c column, text string, n int) (string, any, error) {
	placeholder := fmt.Sprintf("@p%d", n)
	switch c.kind {
	case "binary", "varbinary", "timestamp", "rowversion":
		cell, err := unhex(text)
		return placeholder, cell, err
	case "date", "time", "datetime", "datetime2", "smalldatetime", "datetimeoffset":
		return fmt.Sprintf("CONVERT(%s, %s, 121)", c.Type, placeholder), text, nil
	case "tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney", "bit", "uniqueidentifier":
		return fmt.Sprintf("CONVERT(%s, %s)", c.Type, placeholder), text, nil
	}
	return placeholder, text, nil
}

func (sqlserver) tomorrow(c column) string {
	switch c.kind {
	case "date", "datetime", "datetime2", "smalldatetime", "datetimeoffset":
		return "CONVERT(" + c.Type + ", DATEADD(day, 1, SYSDATETIMEOFFSET()))"
	}
	return ""
}

func (sqlserver) unordered(c column) string {
	switch c.kind {
	case "float", "real":
		return "which cannot be compared exactly"
	case "text", "ntext", "image", "xml", "geometry", "geography", "sql_variant":
		return "which has no order"
	}
	return ""
}

func (sqlserver) text(c column) (coding, error) { return decoded(c) }

func (sqlserver) classify(err error) connectors.FaultCode {
	var ms mssql.Error
	if !errors.As(err, &ms) {
		return connectors.FaultUnreachable
	}
	switch ms.Number {
	case 18456, 18452, 18487, 18488:
		return connectors.FaultCredentials
	case 208, 4060, 911:
		return connectors.FaultTable
	case 207:
		return connectors.FaultColumn
	case 229, 230, 916:
		return connectors.FaultRight
	case 1222, 1205, 10928, 10929:
		return connectors.FaultBusy
	case 102, 241, 245, 8114, 8169:
		return connectors.FaultDefinition
	}
	return connectors.FaultUnreachable
}

func sqlserverCatalogue(table string) string {
	return `SELECT c.name, t.name + CASE
			WHEN t.name IN (N'decimal', N'numeric') THEN CONCAT(N'(', c.precision, N',', c.scale, N')')
			WHEN t.name IN (N'datetime2', N'time', N'datetimeoffset') THEN CONCAT(N'(', c.scale, N')')
			WHEN t.name IN (N'varchar', N'char', N'varbinary', N'binary', N'nvarchar', N'nchar') THEN CONCAT(N'(',
				CASE WHEN c.max_length = -1 THEN N'max' WHEN t.name LIKE N'n%' THEN CONCAT(c.max_length / 2, N'') ELSE CONCAT(c.max_length, N'') END, N')')
			ELSE N'' END, CASE WHEN c.is_nullable = 1 THEN N'Y' ELSE N'N' END, t.name
		FROM sys.columns c JOIN sys.types u ON u.user_type_id = c.user_type_id
		JOIN sys.types t ON t.user_type_id = CASE WHEN u.is_assembly_type = 1 THEN u.user_type_id ELSE u.system_type_id END
		WHERE c.object_id = OBJECT_ID(N` + quoteText(qualified(sqlserver{}, table)) + `) ORDER BY c.column_id`
}

// catalogueColumn reads name, type, Y for nullable, and kind.
func catalogueColumn(cells [][]byte) column {
	return column{
		Column: connectors.Column{Name: string(cells[0]), Type: string(cells[1]), Nullable: string(cells[2]) == "Y"},
		kind:   strings.ToLower(string(cells[3])),
	}
}
