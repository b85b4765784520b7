package connectors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Mode is how a table is followed without its log.
type Mode string

// The modes of [SQL].
const (
	// Bulk reads the whole table every time and hands on what differs.
	Bulk Mode = "bulk"
	// Cursor reads rows in the order of a column that grows with each change,
	// and of the key among rows of equal cursor.
	Cursor Mode = "cursor"
)

// SQL is a table or view that is asked again and again.
type SQL struct {
	// Driver is one of [Drivers].
	Driver string
	// DSNFile is the path of a file that holds the URL of the database, or the path of a SQLite file.
	DSNFile string
	// Table is a table or view, "name" or "schema.name".
	Table string
	Mode  Mode
	// Cursor is a column that grows with each change of a row; empty in mode [Bulk].
	Cursor string
	// Key are the columns that identify a row. It may be empty in mode [Cursor] if the cursor is unique.
	Key []string
	// Delay keeps the reading behind the newest cursor: what was not there so long ago is not read yet.
	Delay time.Duration
	// Overlap is how late after its cursor value was set a row may be committed and still be read: so far
	// back rows are read again, once per Overlap. What did not change is not handed on again. 0 for never.
	Overlap time.Duration
	// Charset, if not empty, is that of all text columns, whatever the database says (one of [charset.Names]).
	Charset string
}

// Log is a table that is followed in the log of its database.
type Log struct {
	// Driver is "postgres", "mysql" or "mariadb".
	Driver  string
	DSNFile string
	// Table is "name" or "schema.name".
	Table string
	// Key are the columns that identify a row.
	Key []string
	// Slot and Publication are PostgreSQL's; if they are absent they are made, with names from the source's.
	Slot, Publication string
	// ServerID is under which MySQL and MariaDB know us; it must be of nobody else.
	ServerID uint32
	// Heartbeat is how often a sign of life keeps the log position moving while the table is quiet.
	Heartbeat time.Duration
	// MaxRetained is how many bytes of log the database may keep for us (PostgreSQL); beyond it the slot is
	// given up, for the sake of the database's disk, and the table is read again.
	MaxRetained int64
	// Charset is as in [SQL].
	Charset string
}

// Drivers lists the drivers of [SQL].
func Drivers() []string {
	return []string{"postgres", "kingbase", "opengauss", "mysql", "mariadb", "oracle", "sqlserver", "sqlite"}
}

func parseSQL(s section, dir string) *SQL {
	s.allow("driver", "dsn_file", "table", "mode", "cursor", "key", "delay", "overlap", "charset")
	q := &SQL{
		Driver:  s.oneOf("driver", "", Drivers()...),
		DSNFile: s.file("dsn_file", dir, true),
		Table:   s.text("table", true),
		Mode:    Mode(s.oneOf("mode", string(Cursor), string(Cursor), string(Bulk))),
		Cursor:  s.text("cursor", false),
		Key:     s.texts("key"),
		Delay:   s.duration("delay", 2*time.Second, 0, time.Hour),
		Overlap: s.duration("overlap", 5*time.Minute, 0, 24*time.Hour),
		Charset: s.charset(charsetOfDatabase),
	}
	switch {
	case q.Mode == Cursor && q.Cursor == "":
		s.fault("cursor", "is missing; name a column that grows with each change of a row, or use mode: bulk")
	case q.Mode == Bulk && q.Cursor != "":
		s.fault("cursor", "does not go with mode bulk")
	case q.Mode == Bulk && len(q.Key) == 0:
		s.fault("key", "is missing; name the columns that identify a row")
	}
	if q.Charset == charsetOfDatabase {
		q.Charset = ""
	}
	return q
}

// charsetOfDatabase is what definitions write, or leave out, for the database's own word.
const charsetOfDatabase = "database"

func parseLog(s section, dir, name string) *Log {
	s.allow("driver", "dsn_file", "table", "key", "slot", "publication", "server_id", "heartbeat", "max_retained_mb", "charset")
	// Names that would be the same without it have another digest; PostgreSQL cuts names at 63 bytes.
	digest := sha256.Sum256([]byte(name))
	own := "onewindow_" + strings.NewReplacer("/", "_", "-", "_").Replace(name)
	own = own[:min(len(own), 50)] + "_" + hex.EncodeToString(digest[:4])
	l := &Log{
		Driver:      s.oneOf("driver", "", "postgres", "mysql", "mariadb"),
		DSNFile:     s.file("dsn_file", dir, true),
		Table:       s.text("table", true),
		Key:         s.neededTexts("key"),
		Slot:        s.text("slot", false),
		Publication: s.text("publication", false),
		ServerID:    uint32(s.integer("server_id", 0, 1, 1<<32-1)), //nolint:gosec // within the bounds just given
		Heartbeat:   s.duration("heartbeat", 10*time.Second, time.Second, time.Hour),
		MaxRetained: int64(s.integer("max_retained_mb", 10_240, 64, 10_000_000)) << 20,
		Charset:     s.charset(charsetOfDatabase),
	}
	if len(l.Key) == 0 {
		s.fault("key", "is missing; name the columns that identify a row")
	}
	if l.Driver == "postgres" {
		if l.Slot == "" {
			l.Slot = own
		}
		if l.Publication == "" {
			l.Publication = own
		}
		if strings.Trim(l.Slot, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			s.fault("slot", "%q must consist of lower-case letters, digits and '_'", l.Slot)
		}
	} else if l.Driver != "" && l.ServerID == 0 {
		s.fault("server_id", "is missing; choose a number that no other replica of this database has")
	}
	if l.Charset == charsetOfDatabase {
		l.Charset = ""
	}
	return l
}

func (q *SQL) identity() string {
	if q.Mode == Bulk {
		return fmt.Sprintf("sql table %s (%s), bulk, key %s", q.Table, q.Driver, strings.Join(q.Key, ", "))
	}
	return fmt.Sprintf("sql table %s (%s), cursor %s, key %s", q.Table, q.Driver, q.Cursor, strings.Join(q.Key, ", "))
}

func (l *Log) identity() string {
	return fmt.Sprintf("log of table %s (%s), key %s", l.Table, l.Driver, strings.Join(l.Key, ", "))
}

// Order lists the columns that order the rows of a table: the cursor, if there
// is one, then what else the key has.
func (q *SQL) Order() []string {
	if q.Mode == Bulk {
		return q.Key
	}
	order := []string{q.Cursor}
	for _, name := range q.Key {
		if name != q.Cursor {
			order = append(order, name)
		}
	}
	return order
}
