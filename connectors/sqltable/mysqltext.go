package sqltable

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"

	"github.com/onewindow/onewindow/connectors/charset"
)

// MySQLText makes texts of the cells of one column of MySQL or MariaDB, as
// their text protocol has them when character_set_results is NULL and time_zone
// is '+00:00': the bytes as they are stored.
type MySQLText struct{ coding coding }

// NewMySQLText takes DATA_TYPE and CHARACTER_SET_NAME (empty for none) of
// information_schema, and the charset of the definition, or empty. The error is
// about charsets that cannot be decoded here.
//
// Of text the charset's bytes become UTF-8, exactly or not at all; binary values
// are \x and hexadecimal digits; bits are the whole number they stand for;
// timestamps, which are instants, get the offset +00:00.
func NewMySQLText(dataType, characterSet, override string) (*MySQLText, error) {
	c, err := mysqlCoding(dataType, characterSet, override)
	return &MySQLText{coding: c}, err
}

// Append appends the text of a cell to dst; valid is false if the bytes are not
// of the column's charset.
func (m *MySQLText) Append(dst, cell []byte) (text []byte, valid bool) {
	return m.coding.decode(dst, cell)
}

func mysqlCoding(dataType, characterSet, override string) (coding, error) {
	switch dataType {
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return coding{name: "binary", decode: func(dst, cell []byte) ([]byte, bool) { return appendHex(dst, cell), true }}, nil
	case "bit":
		return coding{name: "bit", decode: func(dst, cell []byte) ([]byte, bool) {
			return new(big.Int).SetBytes(cell).Append(dst, 10), true
		}}, nil
	case "timestamp":
		return coding{name: "ascii", decode: func(dst, cell []byte) ([]byte, bool) {
			if dst = append(dst, cell...); !strings.HasPrefix(string(cell), "0000-00-00") {
				dst = append(dst, utcOffset...)
			}
			return dst, true
		}}, nil
	case "json": // of MySQL; that of MariaDB is longtext
		return codingOf(charset.UTF8)
	}
	if characterSet == "" {
		return ascii(), nil
	}
	if override != "" {
		return codingOf(override)
	}
	switch characterSet {
	case "utf8mb4", "utf8mb3", "utf8":
		return codingOf(charset.UTF8)
	case "gbk", "gb2312":
		return codingOf(charset.GBK)
	case "gb18030":
		return codingOf(charset.GB18030)
	case "big5":
		return codingOf(charset.Big5)
	case "ucs2", "utf16", "utf16le", "utf32":
		return wideCoding(characterSet), nil
	case "ascii":
		return ascii(), nil
	case "latin1":
		// What MySQL calls latin1 is Windows-1252, its five holes filled with controls.
		return coding{name: "latin1", encode: charmap.Windows1252, decode: func(dst, cell []byte) ([]byte, bool) {
			for _, b := range cell {
				r := charmap.Windows1252.DecodeByte(b)
				if r == utf8.RuneError {
					r = rune(b)
				}
				dst = utf8.AppendRune(dst, r)
			}
			return dst, true
		}}, nil
	}
	return coding{}, fmt.Errorf("its character set %q cannot be decoded here; state what its bytes are with charset", characterSet)
}

// wideCoding is the coding of the character sets that have units of more than one byte. Half a pair, and what is beyond
// Unicode, is invalid.
func wideCoding(characterSet string) coding {
	c := coding{name: characterSet}
	size, order := 2, binary.ByteOrder(binary.BigEndian)
	switch characterSet {
	case "utf16le":
		order, c.encode = binary.LittleEndian, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf32":
		size, c.encode = 4, utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	default:
		c.encode = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	c.decode = func(dst, cell []byte) (_ []byte, valid bool) {
		if len(cell)%size != 0 {
			return dst, false
		}
		for len(cell) > 0 {
			r := rune(utf8.MaxRune + 1)
			if size == 2 {
				r = rune(order.Uint16(cell))
			} else if n := order.Uint32(cell); n <= utf8.MaxRune {
				r = rune(n)
			}
			if cell = cell[size:]; size == 2 && utf16.IsSurrogate(r) && len(cell) > 0 && characterSet != "ucs2" {
				r = utf16.DecodeRune(r, rune(order.Uint16(cell)))
				cell = cell[size:]
			}
			if !utf8.ValidRune(r) || r == utf8.RuneError {
				return dst, false
			}
			dst = utf8.AppendRune(dst, r)
		}
		return dst, true
	}
	return c
}

const utcOffset = "+00:00"
