package sqltable

import (
	"context"
	"strconv"
	"strings"
)

// logPlace is where the binlog of MySQL or MariaDB is when rows are read.
type logPlace struct {
	// begin begins the transaction, isolation is that of the session, locking ends the query.
	begin, isolation, locking string
	// ask tells the place, as a row of file and offset or as two variables; last says that it must be asked after the rows.
	ask  string
	last bool

	file   string
	offset uint64
}

// newLogPlace chooses how rows are read together with their place in the binlog.
//
// MariaDB can say it exactly: a consistent snapshot has what is in the binlog up
// to Binlog_snapshot_position and nothing else. MySQL cannot; there the end of
// the binlog after reading is at or behind all that was seen, and, since reading
// waits for the locks of transactions that are in the binlog but not finished,
// everything that was in the binlog before is seen.
func newLogPlace(driver, version string) *logPlace {
	if driver == "mariadb" && strings.Contains(version, "MariaDB") {
		return &logPlace{
			begin: "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", isolation: "REPEATABLE READ",
			ask: `SHOW STATUS LIKE 'Binlog\_snapshot\_%'`,
		}
	}
	p := &logPlace{
		begin: "START TRANSACTION READ ONLY", isolation: "READ COMMITTED", locking: " LOCK IN SHARE MODE",
		ask: "SHOW MASTER STATUS", last: true,
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	if !strings.Contains(version, "MariaDB") && (a > 8 || a == 8 && b >= 2) {
		p.ask = "SHOW BINARY LOG STATUS"
	}
	return p
}

// find asks for the place.
func (p *logPlace) find(ctx context.Context, e *sqlEngine) error {
	p.file, p.offset = "", 0
	return e.query(ctx, e.conn, statement{text: p.ask}, func(cells [][]byte) (err error) {
		switch {
		case p.last:
			p.file = string(cells[0])
			p.offset, err = strconv.ParseUint(string(cells[1]), 10, 63)
		case strings.EqualFold(string(cells[0]), "Binlog_snapshot_file"):
			p.file = string(cells[1])
		case strings.EqualFold(string(cells[0]), "Binlog_snapshot_position"):
			p.offset, err = strconv.ParseUint(string(cells[1]), 10, 63)
		}
		return err
	})
}

// LogPlace returns where the binlog was when the last Chunk was read: the rows
// have all that was in it before the Chunk was asked for, and nothing that is
// behind this place. It needs TableConfig.LogPlace.
func (t *Table) LogPlace() (file string, offset uint64) {
	if e, ok := t.engine.(*sqlEngine); ok && e.place != nil {
		return e.place.file, e.place.offset
	}
	return "", 0
}
