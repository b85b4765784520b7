package binlog

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/onewindow/onewindow/connectors/sqltable"
)

// statementText is the text of a statement in the log, in UTF-8. Mostly it is in the character set of the client that
// sent it, which the event names; but what the server writes itself (CREATE OR REPLACE TABLE … SELECT in MariaDB) is in
// UTF-8 under the same name, so there may be two readings. The first one has the verb.
type statementText struct {
	schema   string
	readings []string
	// doubtful is set if the names in it cannot be known.
	doubtful bool
}

// textOf reads the text of a statement.
func textOf(q *replication.QueryEvent) statementText {
	t := statementText{schema: string(q.Schema)}
	raw := string(q.Query)
	if ascii(raw) {
		t.readings = []string{raw}
		return t
	}
	if name, known := clientCharset(q.StatusVars); name != "" {
		if decoder, err := sqltable.NewMySQLText("text", name, ""); err == nil {
			if text, valid := decoder.Append(nil, q.Query); valid {
				t.readings = append(t.readings, string(text))
			}
		}
	} else {
		t.doubtful = !known
	}
	if utf8.ValidString(raw) && !slices.Contains(t.readings, raw) {
		t.readings = append(t.readings, raw)
	}
	if len(t.readings) == 0 {
		t.readings, t.doubtful = []string{raw}, true
	}
	return t
}

// mentions reports whether a reading names a table or database, or may do so: names in ASCII are the same in every character set.
func (t statementText) mentions(name string) bool {
	return t.doubtful && !ascii(name) || slices.ContainsFunc(t.readings, func(text string) bool { return mentions(text, name) })
}

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// clientCharset returns the character set in the status variables of a statement; empty for UTF-8, and for one that
// is not known here.
func clientCharset(vars []byte) (name string, known bool) {
	const flags, mode, autoIncrement, charset, catalog = 0, 1, 3, 4, 6 // in the order in which servers write them, mostly
	for len(vars) > 0 {
		size := 0
		switch vars[0] {
		case flags, autoIncrement:
			size = 4
		case mode:
			size = 8
		case catalog:
			if len(vars) > 1 {
				size = 1 + int(vars[1])
			}
		case charset:
			if len(vars) < 3 {
				return "", false
			}
			return collationCharset(binary.LittleEndian.Uint16(vars[1:]))
		default:
			return "", true // statements without a character set are in UTF-8
		}
		vars = vars[min(1+size, len(vars)):]
	}
	return "", true
}

// collationCharset returns the character set of a collation by its number. Servers number them alike; MariaDB's
// collations without padding have 1024 more.
func collationCharset(id uint16) (name string, known bool) {
	if id > 1024 && id < 2048 {
		id -= 1024
	}
	switch id {
	case 28, 87:
		return "gbk", true
	case 24, 86:
		return "gb2312", true
	case 248, 249, 250:
		return "gb18030", true
	case 1, 84:
		return "big5", true
	case 5, 8, 15, 31, 47, 48, 49, 94:
		return "latin1", true
	case 11, 65, 63: // ascii, and binary, whose names are UTF-8
		return "", true
	case 33, 45, 46, 76, 83:
		return "", true
	}
	unicode := id >= 192 && id <= 247 || id >= 255 && id <= 323 || id >= 576 && id <= 631 || id >= 2048
	return "", unicode
}
