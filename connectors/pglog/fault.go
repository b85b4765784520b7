package pglog

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
)

// fault says in words for its owner what an error means that came up while we were doing something.
func (s *source) fault(ctx context.Context, doing string, err error) error {
	var known *connectors.Fault
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, connectors.ErrPosition):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return s.refusal(doing, pg)
	}
	if errors.Is(err, errMessage) {
		return connectors.Refused(connectors.FaultAnswer, err, "%s: the database sends what is not understood", doing)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) { // whose own text names user and database
		err = errors.Unwrap(connect)
	}
	return connectors.Away(connectors.FaultUnreachable, err, "%s: the database does not answer", doing)
}

// refusal translates what the database says.
func (s *source) refusal(doing string, pg *pgconn.PgError) error {
	l := s.cfg
	file := filepath.Base(l.DSNFile)
	switch pg.Code {
	case "28P01", "28000":
		return connectors.Refused(connectors.FaultCredentials, pg,
			"%s: the database does not accept the user or the password in dsn_file %q, or pg_hba.conf does not let this host in for replication", doing, file)
	case "3D000":
		return connectors.Refused(connectors.FaultTable, pg, "there is no database as dsn_file %q names it; correct its name there", file)
	case "42501":
		return connectors.Refused(connectors.FaultRight, pg, "%s is not allowed: the user of dsn_file %q needs the right; a superuser runs ALTER ROLE … REPLICATION, "+
			"GRANT SELECT ON %s TO …, and CREATE PUBLICATION %s FOR TABLE %s", doing, file, qualified(l.Table), quote(l.Publication), qualified(l.Table))
	case "53300":
		return connectors.Away(connectors.FaultBusy, pg, "%s: the database has no connection left; raise max_wal_senders or max_connections", doing)
	case "53400":
		return connectors.Refused(connectors.FaultLogSettings, pg, "%s: all replication slots are taken; raise max_replication_slots, or drop slots that nobody uses", doing)
	case "55006":
		return connectors.Away(connectors.FaultBusy, pg, "replication slot %q is in use: by an earlier connection of ours, which the database ends by itself within wal_sender_timeout, "+
			"or by another client; if it stays, stop it or name another slot", l.Slot)
	case "57014":
		return connectors.Away(connectors.FaultSlow, pg, "%s took too long", doing)
	case "42P01":
		return connectors.Refused(connectors.FaultTable, pg, "table %q is not there, or no longer; restore it or correct its name", l.Table)
	case "42703":
		return connectors.Refused(connectors.FaultColumn, pg, "%s: a column of table %q is not there, or no longer", doing, l.Table)
	case "55000":
		if strings.Contains(pg.Message, "wal_level") {
			return connectors.Refused(connectors.FaultLogSettings, pg, walLevel, "lower")
		}
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "57", "08", "53", "40":
		return connectors.Away(connectors.FaultUnreachable, pg, "%s: the database is going down, coming up or overloaded", doing)
	}
	return connectors.Refused(connectors.FaultUnclassified, pg, "%s: the database refuses", doing)
}

// walLevel is what an administrator has to do so that changes are logged at all.
const walLevel = "the database does not log changes so that they can be followed (wal_level is %s); run ALTER SYSTEM SET wal_level = 'logical', then restart the database"

// loses says whether an error of the stream means that the slot cannot give what comes next, however often it is asked.
func loses(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "42704": // slot or, when a change is decoded, publication that did not exist at the time
		return true
	case "58P01": // the log is removed
		return true
	case "55000":
		return strings.Contains(pg.Message, "slot") && !strings.Contains(pg.Message, "wal_level")
	}
	return false
}
