package sqltable

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/sijms/go-ora/v2/network"
	driver "modernc.org/sqlite"

	"github.com/onewindow/onewindow/connectors"
)

// fault says in words for its owner what an error of the database means.
func (t *Table) fault(ctx context.Context, doing string, err error) error {
	var known *connectors.Fault
	switch {
	case errors.As(err, &known), errors.Is(err, errEnough):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	code := t.dialect.classify(err)
	if errors.Is(err, context.DeadlineExceeded) && doing != "connecting to" {
		code = connectors.FaultSlow
	}
	table, file := t.cfg.Table, filepath.Base(t.cfg.DSNFile)
	switch code {
	case connectors.FaultCredentials:
		return connectors.Refused(code, err, "the database does not accept the user or the password in dsn_file %q; correct them there", file)
	case connectors.FaultRight:
		return connectors.Refused(code, err, "%s table %q is not allowed; grant SELECT on it to the user of dsn_file %q", doing, table, file)
	case connectors.FaultTable:
		if doing == "connecting to" {
			return connectors.Refused(code, err, "there is no database as dsn_file %q names it; correct its name there", file)
		}
		return connectors.Refused(code, err, "table %q is not there, or no longer; restore it or correct its name", table)
	case connectors.FaultColumn:
		return connectors.Refused(code, err, "%s table %q failed: a column is not there, no longer, or of a type that cannot be used so", doing, table)
	case connectors.FaultDefinition:
		return connectors.Refused(code, number(err), "%s table %q failed: the database does not understand the query", doing, table)
	case connectors.FaultTooLarge:
		return connectors.Refused(code, err, "a row of table %q is longer than %d MiB; leave its longest column out of the mapping", table, maxMessage>>20)
	case connectors.FaultBroken:
		return connectors.Refused(code, err, "the file that dsn_file %q names is no SQLite database, or damaged", file)
	case connectors.FaultSlow:
		return connectors.Away(code, err, "%s table %q took longer than %s; create an index on (%s), or raise limits.query_time",
			doing, table, t.cfg.Limits.QueryTime, strings.Join(t.orderNames(), ", "))
	case connectors.FaultBusy:
		return connectors.Away(code, err, "%s table %q: the database is too busy, or the table is locked", doing, table)
	default:
		return connectors.Away(connectors.FaultUnreachable, err, "%s table %q: the database of dsn_file %q does not answer", doing, table, file)
	}
}

// another names what answers in the place of the database, if a fault of connecting may come of that.
func (t *Table) another(ctx context.Context, fault error) error {
	code := connectors.CodeOf(fault)
	if code != connectors.FaultUnreachable && code != connectors.FaultTooLarge && code != connectors.FaultUnclassified {
		return fault
	}
	u, err := url.Parse(t.dsn)
	if err != nil || u.Host == "" {
		return fault
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), map[string]string{"mysql": "3306", "mariadb": "3306", "oracle": "1521", "sqlserver": "1433", "kingbase": "54321"}[t.cfg.Driver])
	}
	what := connectors.Answering(ctx, address)
	switch {
	case what == connectors.AnswersMySQL && (t.cfg.Driver == "mysql" || t.cfg.Driver == "mariadb"):
		return fault
	case what == "" && code != connectors.FaultTooLarge:
		return fault
	case what == "":
		what = "something else"
	}
	return connectors.Refused(connectors.FaultNotThis, nil, "at the address in dsn_file %q there is %s, not a database of driver %s; correct host, port or driver",
		filepath.Base(t.cfg.DSNFile), what, t.cfg.Driver)
}

// number is all that is told of an error whose text may have values of rows in it.
func number(err error) error {
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	var lite *driver.Error
	var ms mssql.Error
	var ora *network.OracleError
	switch {
	case errors.As(err, &pg):
		return errors.New("SQLSTATE " + pg.Code)
	case errors.As(err, &my):
		return fmt.Errorf("error %d", my.Number)
	case errors.As(err, &lite):
		return fmt.Errorf("error %d", lite.Code())
	case errors.As(err, &ms):
		return fmt.Errorf("error %d", ms.Number)
	case errors.As(err, &ora):
		return fmt.Errorf("ORA-%05d", ora.ErrCode)
	}
	return nil
}

func (t *Table) orderNames() []string {
	names := make([]string, len(t.order))
	for i, c := range t.order {
		names[i] = t.selected[c]
	}
	return names
}

// wrongURL shows the form of the URL, and nothing of what is there, which may hold a password.
func wrongURL(cfg TableConfig, form string) error {
	return connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q must hold a URL of the form %s", filepath.Base(cfg.DSNFile), form)
}
