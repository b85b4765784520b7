package binlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/onewindow/onewindow/connectors"
)

// annotate asks MariaDB for the statements too, without which the offsets of events cannot be counted from 11.4 on.
const annotate = 2

// errNoLog means that the server keeps no binlog.
var errNoLog = connectors.Refused(connectors.FaultLogSettings, nil,
	"the server keeps no binlog; put log_bin, binlog_format=ROW and binlog_row_image=FULL into its configuration and restart it, or follow the table with kind: sql")

// fault says in words for its owner what an error of the server means.
func (s *source) fault(ctx context.Context, doing string, err error) error {
	file, table := filepath.Base(s.cfg.DSNFile), s.cfg.Table
	var my *mysql.MyError
	switch {
	case errors.Is(err, connectors.ErrRefused), errors.Is(err, connectors.ErrNotConnected):
		return err
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case !errors.As(err, &my):
		fault := connectors.Away(connectors.FaultUnreachable, err, "%s: the server of table %q does not answer", doing, table)
		return connectors.Mistaken(ctx, fault, s.target.address, connectors.AnswersMySQL, fmt.Sprintf("dsn_file %q", file))
	}
	switch my.Code {
	case mysql.ER_ACCESS_DENIED_ERROR, 1698, 1251, 1820, 1862, 3118, 4151, mysql.ER_HOST_NOT_PRIVILEGED:
		return connectors.Refused(connectors.FaultCredentials, my, "the server does not accept the user or the password in dsn_file %q; correct them there", file)
	case mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR:
		return connectors.Refused(connectors.FaultRight, my,
			"%s is not allowed to the user of dsn_file %q; run GRANT %s ON *.* TO that user", doing, file, s.monitorRight())
	case mysql.ER_DBACCESS_DENIED_ERROR, mysql.ER_TABLEACCESS_DENIED_ERROR, mysql.ER_COLUMNACCESS_DENIED_ERROR:
		return connectors.Refused(connectors.FaultRight, my, "table %q may not be read; grant SELECT on it to the user of dsn_file %q", table, file)
	case mysql.ER_CON_COUNT_ERROR, mysql.ER_TOO_MANY_USER_CONNECTIONS, mysql.ER_USER_LIMIT_REACHED, mysql.ER_LOCK_WAIT_TIMEOUT:
		return connectors.Away(connectors.FaultBusy, my, "%s: the server takes no more connections", doing)
	}
	return connectors.Away(connectors.FaultUnclassified, my, "%s: the server of table %q reports an error", doing, table)
}

// monitorRight is the right to ask for the state of the binlog.
func (s *source) monitorRight() string {
	if s.cfg.Driver == "mariadb" {
		return "BINLOG MONITOR"
	}
	return "REPLICATION CLIENT"
}

// streamFault says what an error means with which the server answered the wish for its binlog, or ended it.
func (s *source) streamFault(ctx context.Context, err error) error {
	var my *mysql.MyError
	if !errors.As(err, &my) {
		return s.fault(ctx, "reading the binlog", err)
	}
	switch my.Code {
	case mysql.ER_ACCESS_DENIED_ERROR, mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR:
		return s.replicationRight(my)
	case mysql.ER_MASTER_FATAL_ERROR_READING_BINLOG:
		switch text := my.Message; {
		case strings.Contains(text, "same server_uuid"), strings.Contains(text, "same server_id"):
			return s.usedTwice(my)
		case strings.Contains(text, "max_allowed_packet"):
			return connectors.Refused(connectors.FaultLogSettings, my, "the server cannot send a row that is longer than its max_allowed_packet; "+
				"run SET GLOBAL max_allowed_packet = 1073741824")
		}
		return s.purged(s.position.place)
	case errSameNumber, errConnectionKilled:
		return s.usedTwice(my)
	}
	return s.fault(ctx, "reading the binlog", err)
}

// How MariaDB ends a replica when another one comes with the same number.
const (
	errSameNumber       = 4052
	errConnectionKilled = 1927
)

func (s *source) usedTwice(cause error) error {
	return connectors.Away(connectors.FaultBusy, cause,
		"the server gave up our connection, because another replica uses the number %d too; choose another log.server_id", s.cfg.ServerID)
}

func (s *source) replicationRight(cause error) error {
	return connectors.Refused(connectors.FaultRight, cause,
		"reading the binlog is not allowed to the user of dsn_file %q; run GRANT REPLICATION SLAVE ON *.* TO that user", filepath.Base(s.cfg.DSNFile))
}
