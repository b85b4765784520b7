package sqltable

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/onewindow/onewindow/connectors/charset"
)

// coding is how the bytes of a column's cells are text.
type coding struct {
	// name of the charset, for messages.
	name   string
	decode func(dst, cell []byte) (text []byte, valid bool)
	// encode is the way back; nil if the text has the bytes of the cell.
	encode encoding.Encoding
}

// Decode appends the text of a cell to dst; valid is false if it has none.
func (c coding) Decode(dst, cell []byte) (text []byte, valid bool) { return c.decode(dst, cell) }

// leadsBack says whether the bytes of a cell can be had from its text.
func (c coding) leadsBack(text, cell []byte, valid bool) bool {
	if !valid || len(text) > 0 && text[0] == 0 {
		return false
	}
	if c.encode == nil {
		return true
	}
	back, err := c.encode.NewEncoder().Bytes(text)
	return err == nil && bytes.Equal(back, cell)
}

// restore returns the bytes of a cell from what [rowMaker.texts] made of it.
func (c coding) restore(text string) ([]byte, error) {
	switch {
	case strings.HasPrefix(text, "\x00"):
		return hex.DecodeString(text[1:])
	case c.encode == nil:
		return []byte(text), nil
	}
	return c.encode.NewEncoder().Bytes([]byte(text))
}

// codingOf returns the coding of a charset of [charset.Names].
func codingOf(name string) (coding, error) {
	d, err := charset.New(name)
	if err != nil {
		return coding{}, err
	}
	c := coding{name: name, decode: d.Decode}
	switch name {
	case charset.GBK:
		c.encode = simplifiedchinese.GBK
	case charset.GB18030:
		c.encode = simplifiedchinese.GB18030
	case charset.Big5:
		c.encode = traditionalchinese.Big5
	case charset.Latin1:
		c.encode = charmap.ISO8859_1
	}
	return c, nil
}

// ascii is the coding of what databases write without regard to charsets: numbers, times.
func ascii() coding {
	return coding{name: "ascii", decode: func(dst, cell []byte) ([]byte, bool) {
		for _, b := range cell {
			if b >= 0x80 {
				return dst, false
			}
		}
		return append(dst, cell...), true
	}}
}

func appendHex(dst, cell []byte) []byte {
	return hex.AppendEncode(append(dst, `\x`...), cell)
}

// unhex reads what appendHex wrote.
func unhex(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, `\x`)
	if !ok {
		return nil, fmt.Errorf(`%w: binary values are written as \x and hexadecimal digits`, errNotComparable)
	}
	return hex.DecodeString(digits)
}
