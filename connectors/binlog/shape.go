package binlog

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/onewindow/onewindow/connectors"
)

// column is a column as the database declares it.
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable,omitempty"`
	// Charset is that of its bytes; empty for what is no text.
	Charset string `json:"charset,omitempty"`
	// Members are the names of an ENUM or SET as bytes of its charset, in hexadecimal, a comma behind each one; empty if
	// they are not wanted, or cannot be known.
	Members string `json:"members,omitempty"`
}

func declared(columns []column) []connectors.Column {
	all := make([]connectors.Column, len(columns))
	for i, c := range columns {
		all[i] = connectors.Column{Name: c.Name, Type: c.Type, Nullable: c.Nullable}
	}
	return all
}

// kind is the type without what follows it.
func (c column) kind() string {
	kind, _, _ := strings.Cut(c.Type, "(")
	kind, _, _ = strings.Cut(kind, " ")
	return strings.ToLower(kind)
}

func (c column) is(attribute string) bool {
	return strings.Contains(strings.ToLower(c.Type), " "+attribute)
}

// numbers are those in the parentheses of the type.
func (c column) numbers() (first, second int, ok bool) {
	_, inside, ok := strings.Cut(c.Type, "(")
	if !ok {
		return 0, 0, false
	}
	inside, _, _ = strings.Cut(inside, ")")
	a, b, _ := strings.Cut(inside, ",")
	first, err := strconv.Atoi(a)
	second, _ = strconv.Atoi(b)
	return first, second, err == nil
}

// logged says as which types a column may be logged; nil for any.
func (c column) logged() []byte {
	switch c.kind() {
	case "tinyint":
		return []byte{mysql.MYSQL_TYPE_TINY}
	case "smallint":
		return []byte{mysql.MYSQL_TYPE_SHORT}
	case "mediumint":
		return []byte{mysql.MYSQL_TYPE_INT24}
	case "int":
		return []byte{mysql.MYSQL_TYPE_LONG}
	case "bigint":
		return []byte{mysql.MYSQL_TYPE_LONGLONG}
	case "decimal":
		return []byte{mysql.MYSQL_TYPE_NEWDECIMAL}
	case "float":
		return []byte{mysql.MYSQL_TYPE_FLOAT}
	case "double":
		return []byte{mysql.MYSQL_TYPE_DOUBLE}
	case "bit":
		return []byte{mysql.MYSQL_TYPE_BIT}
	case "date":
		return []byte{mysql.MYSQL_TYPE_DATE}
	case "time":
		return []byte{mysql.MYSQL_TYPE_TIME, mysql.MYSQL_TYPE_TIME2}
	case "datetime":
		return []byte{mysql.MYSQL_TYPE_DATETIME, mysql.MYSQL_TYPE_DATETIME2}
	case "timestamp":
		return []byte{mysql.MYSQL_TYPE_TIMESTAMP, mysql.MYSQL_TYPE_TIMESTAMP2}
	case "year":
		return []byte{mysql.MYSQL_TYPE_YEAR}
	case "char", "binary", "uuid", "inet6", "inet4":
		return []byte{mysql.MYSQL_TYPE_STRING}
	case "varchar", "varbinary":
		return []byte{mysql.MYSQL_TYPE_VARCHAR, mysql.MYSQL_TYPE_VAR_STRING}
	case "enum":
		return []byte{mysql.MYSQL_TYPE_ENUM}
	case "set":
		return []byte{mysql.MYSQL_TYPE_SET}
	case "tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob":
		return []byte{mysql.MYSQL_TYPE_BLOB}
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return []byte{mysql.MYSQL_TYPE_GEOMETRY}
	case "json":
		return []byte{mysql.MYSQL_TYPE_JSON}
	}
	return nil
}

// unreadable says why a column cannot be read from the log; empty if it can.
func (c column) unreadable() string {
	switch {
	case c.logged() == nil:
		return "is of type " + c.kind() + ", whose form in the binlog is not known here"
	case c.kind() == "json":
		return "is of MySQL's type json, whose form in the binlog has other texts than the table"
	case c.compressed():
		return "is compressed in the binlog"
	}
	return ""
}

// compressed says whether MariaDB compresses the column; its types are described differently in the log.
func (c column) compressed() bool { return strings.Contains(c.Type, "COMPRESSED") }

// logColumn is how to read one column of the rows of one table map.
type logColumn struct {
	column
	real   byte
	length int
	// targets are the cells to fill; -1 for columns that nobody wants.
	target int
	// of the declared type
	unsigned      bool
	width, digits int // of FLOAT(7,2), BINARY(7), YEAR(2); digits is -1 without
	zeros         int // to how many characters numbers are filled with zeros
	members       [][]byte
	format        func(dst []byte, value [16]byte) []byte // of UUID, INET6 and INET4
}

// comma is what stands between the names of a SET, in its character set.
func (c column) comma() string {
	switch c.Charset {
	case "ucs2", "utf16":
		return "\x00,"
	case "utf16le":
		return ",\x00"
	case "utf32":
		return "\x00\x00\x00,"
	}
	return ","
}

// plan reads the rows of one table map.
type plan struct {
	types    []byte
	metadata []uint16
	columns  []logColumn
	scratch  []byte
	// cells are those of the row read last.
	cells [][]byte
}

// newPlan compares a table map with the columns of the table. selected are the
// columns wanted, in the order of the cells. The error says what does not fit.
func newPlan(m *replication.TableMapEvent, columns []column, selected []string) (*plan, error) {
	if m.ColumnName != nil {
		columns = byName(m, columns)
	}
	if int(m.ColumnCount) != len(columns) { //nolint:gosec // at most 4096
		return nil, fmt.Errorf("a row in the log has %d columns, the table has %d", m.ColumnCount, len(columns))
	}
	logged := loggedMembers(m)
	p := &plan{types: m.ColumnType, metadata: m.ColumnMeta, columns: make([]logColumn, len(columns)), cells: make([][]byte, len(selected))}
	for i, c := range columns {
		l := logColumn{column: c, target: slices.Index(selected, c.Name), unsigned: c.is("unsigned"), digits: -1}
		l.real, l.length = realType(m.ColumnType[i], m.ColumnMeta[i])
		if c.Type == "" { // a column that is no longer there
			p.columns[i] = l
			continue
		}
		if allowed := c.logged(); allowed != nil && !slices.Contains(allowed, l.real) {
			return nil, fmt.Errorf("column %q is %s, but the log has another type (%d)", c.Name, c.Type, l.real)
		}
		if known, nullable := m.Nullable(i); known && nullable != c.Nullable {
			return nil, fmt.Errorf("column %q may be null in the log and not in the table, or the other way round", c.Name)
		}
		if err := l.prepare(); err != nil {
			return nil, err
		}
		if names, logged := logged[i]; logged { // what the log says of itself counts more
			l.members = names
		} else if l.target >= 0 && l.listed() && l.members == nil {
			return nil, fmt.Errorf("the names of the values of column %q are not known", c.Name)
		}
		p.columns[i] = l
	}
	return p, nil
}

// byName puts the columns into the order of a table map that tells their names
// (binlog_row_metadata=FULL). Of those that are no longer there only the name is known.
func byName(m *replication.TableMapEvent, columns []column) []column {
	ordered := make([]column, len(m.ColumnName))
	for i, name := range m.ColumnName {
		ordered[i].Name = string(name)
		if k := slices.IndexFunc(columns, func(c column) bool { return c.Name == string(name) }); k >= 0 {
			ordered[i] = columns[k]
		}
	}
	return ordered
}

// sameAs says whether the plan is for rows as a table map describes them.
func (p *plan) sameAs(m *replication.TableMapEvent) bool {
	return bytes.Equal(p.types, m.ColumnType) && slices.Equal(p.metadata, m.ColumnMeta)
}

// prepare takes from the declared type what the log does not say.
func (l *logColumn) prepare() error {
	first, second, given := l.numbers()
	switch l.kind() {
	case "decimal":
		if l.length != first<<8|second {
			return fmt.Errorf("column %q is %s, but the log has decimal(%d,%d)", l.Name, l.Type, l.length>>8, l.length&0xff)
		}
		l.zeros = first + min(second, 1)
	case "float", "double":
		l.zeros = 12
		if l.kind() == "double" {
			l.zeros = 22
		}
		if given {
			l.digits = second
			l.zeros = first
		}
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		l.zeros = first
	case "binary":
		l.width = first
	case "uuid":
		l.format = appendUUID
	case "inet6":
		l.format = appendINET6
	case "inet4":
		l.format = appendINET4
	case "year":
		if l.width = 4; first == 2 {
			l.width = 2
		}
	case "time", "datetime", "timestamp":
		old := l.real == mysql.MYSQL_TYPE_TIME || l.real == mysql.MYSQL_TYPE_DATETIME || l.real == mysql.MYSQL_TYPE_TIMESTAMP
		if old && first > 0 {
			return fmt.Errorf("column %q is stored in a form of MariaDB 5.3 that is not known here; ALTER TABLE … MODIFY it with mysql56_temporal_format=ON", l.Name)
		}
		if !old && l.length != first {
			return fmt.Errorf("column %q is %s, but the log has another precision (%d)", l.Name, l.Type, l.length)
		}
	case "bit":
		if l.length>>8*8+l.length&0xff != first {
			return fmt.Errorf("column %q is %s, but the log has another length", l.Name, l.Type)
		}
	case "enum", "set":
		var err error
		if l.members, err = parseMembers(l.Members); err != nil {
			return fmt.Errorf("column %q: %w", l.Name, err)
		}
	}
	if !l.is("zerofill") {
		l.zeros = 0
	}
	return nil
}
