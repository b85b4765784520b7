package pglog

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{
		`{"of":"7/5/16400/1.2","lsn":"0/16B3748","clock":1764100000000000}`,
		`{"of":"a","lsn":"FF/0","tx":"FF/10","done":3,"clock":1,"rereads":[{"id":""},{"id":"x","from":["1"],"to":["2"],"after":["1"]}]}`,
		`{"of":"a","lsn":"FF/0","clock":1,"shape":{"columns":{"n":{"is":"3:25:-1","version":"734:","labels":2,"sum":"00"}},"files":"x"},"hold":"FF/10"}`,
		`{"of":"a","lsn":"0/01","clock":1}`, `{"lsn":"0/16B3748"}`, `{}`, `[]`, `17`, `"x"`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		at, err := parsePosition(json.RawMessage(text), 1)
		if err != nil {
			if !errors.Is(err, connectors.ErrPosition) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		encoded, err := at.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parsePosition(encoded, 1)
		if err != nil || again.LSN != at.LSN || again.Hold != at.Hold || (again.Shape == nil) != (at.Shape == nil) || again.Tx != at.Tx || again.Clock != at.Clock || len(again.Rereads) != len(at.Rereads) {
			t.Fatalf("%q became %q: %v", text, encoded, err)
		}
	})
}

// TestForeignPosition checks that keys, which a position may have, are not told.
func TestForeignPosition(t *testing.T) {
	_, err := parsePosition(json.RawMessage(`{"of":"a","lsn":"0/1","clock":1,"rereads":[{"id":"","after":["4711","2"]}]}`), 1)
	if !errors.Is(err, connectors.ErrPosition) || bytes.Contains([]byte(err.Error()), []byte("4711")) {
		t.Errorf("error %v", err)
	}
}

// tuple writes cells as the server does: nil for null, "u" alone for an unchanged value.
func tuple(marker byte, cells ...string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{marker}, uint16(len(cells)))
	for _, c := range cells {
		switch c {
		case "NULL":
			b = append(b, 'n')
		case "UNCHANGED":
			b = append(b, 'u')
		default:
			b = append(binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(c))), c...)
		}
	}
	return b
}

func FuzzMessage(f *testing.F) {
	table := []byte{0, 0, 0x40, 0}
	f.Add(byte('I'), append(bytes.Clone(table), tuple('N', "1", "NULL", "张")...))
	f.Add(byte('U'), append(append(bytes.Clone(table), tuple('K', "1", "NULL")...), tuple('N', "2", "UNCHANGED")...))
	f.Add(byte('D'), append(bytes.Clone(table), tuple('O', "1", "x")...))
	f.Add(byte('R'), append(bytes.Clone(table), "public\x00people\x00d\x00\x01\x01id\x00\x00\x00\x00\x14\xff\xff\xff\xff"...))
	f.Add(byte('B'), make([]byte, 20))
	f.Add(byte('C'), make([]byte, 25))
	f.Add(byte('T'), append([]byte{0, 0, 0, 1, 0}, table...))
	f.Add(byte('I'), []byte{0, 0, 0x40, 0, 'N', 0xff, 0xff, 't', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, kind byte, m []byte) {
		var err error
		var c change
		switch kind {
		case 'B':
			_, err = parseBegin(m)
		case 'C':
			_, err = parseCommit(m)
		case 'R':
			var r relation
			if r, err = parseRelation(m); err == nil && len(r.columns) != len(r.types) {
				t.Fatalf("%d columns, %d types", len(r.columns), len(r.types))
			}
		case 'T':
			_, err = parseTruncate(m, 0x4000)
		default:
			err = c.parse(kind, m)
			size := 0
			for _, cell := range append(c.old, c.new...) {
				size += len(cell.text)
			}
			if size > len(m) {
				t.Fatalf("%d bytes of text in %d", size, len(m))
			}
		}
		if err != nil && !errors.Is(err, errMessage) {
			t.Fatalf("%q: %v", m, err)
		}
	})
}

// FuzzShrink cuts messages and checks that what is left is a message of the same shape.
func FuzzShrink(f *testing.F) {
	whole := func(kind byte, tuples ...[]byte) []byte {
		b := append(append([]byte{'w'}, make([]byte, 24)...), kind, 0, 0, 0x40, 0)
		for _, t := range tuples {
			b = append(b, t...)
		}
		return b
	}
	f.Add(whole('I', tuple('N', "1", string(bytes.Repeat([]byte("x"), 100_000)), "NULL")))
	f.Add(whole('U', tuple('O', "1", "UNCHANGED"), tuple('N', "1", "2")))
	f.Add(whole('I', []byte{'N', 0, 1, 't', 0xff, 0xff, 0xff, 0xff}))
	f.Add(whole('M'))
	f.Fuzz(func(t *testing.T, m []byte) {
		cut, err := shrink(nil, bufio.NewReader(bytes.NewReader(m)), len(m))
		if err != nil || len(m) < 30 {
			return
		}
		if len(cut) > len(m) {
			t.Fatalf("%d bytes became %d", len(m), len(cut))
		}
		var a, b change
		before, after := a.parse(m[25], m[26:]), b.parse(cut[25], cut[26:])
		if before != nil {
			return
		}
		if after != nil || len(a.new) != len(b.new) || len(a.old) != len(b.old) {
			t.Fatalf("%q became %q: %v", m, cut, after)
		}
		for i := range a.new {
			if a.new[i].kind != b.new[i].kind || !bytes.HasPrefix(a.new[i].text, b.new[i].text) || len(b.new[i].text) < min(len(a.new[i].text), cutLater) {
				t.Fatalf("value %d became %q", i, b.new[i].text)
			}
		}
	})
}
