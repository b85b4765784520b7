package files

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

// FuzzSplit compares rows with encoding/csv: what it reads is read alike, what it refuses is refused.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`a,b`, `"a,""b""",`, "\"a\r\nb\",c", `a"b,c`, `"a"b`, `"a`, `,,`, `""`, "\"\r\r\n\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		row, err := (&lines{r: strings.NewReader(text)}).peek()
		if err != nil || row.open || row.size != len(text) || len(row.bytes) == 0 || !utf8.ValidString(text) {
			return // not one row
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		got, gotErr := split(nil, string(row.bytes), ',')
		switch {
		case (err == nil) != (gotErr == nil):
			t.Fatalf("%q: %v; encoding/csv says %v", text, gotErr, err)
		case err == nil && (len(want) != 1 || !reflect.DeepEqual(got, want[0])):
			t.Fatalf("%q: %q; encoding/csv reads %q", text, got, want)
		}
	})
}

// FuzzFile reads any bytes as a file, and once more from every position; both must agree and end.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"id,name,updated_at\n1,a,x\n2,\"b\nb\",y\n", "id,name,updated_at\n1,\"a,x\n2,b,y\n\x1a", "\xef\xbb\xbfid,name,updated_at\r\n\r\n,,\r\n",
		"id,name,updated_at\n1,\xd5\x5c,x\n2,\x84\x31\xa4\x37,y\n3,\xff,z\n", "\"\n\"\"\n\n", "\n\n",
	} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, content []byte, which uint8) {
		content = append(content, '\n')
		name := []string{charset.GBK, charset.GB18030, charset.UTF8}[which%3]
		dir := t.TempDir()
		put(t, dir, "rows-1.csv", string(content))
		def := definition(dir, name)
		def.Batch = 1
		src := opened(t, def, nil, nil)
		probe, head := opened(t, def, nil, nil), error(connectors.ErrCaughtUp)
		for range 4 {
			if _, head = probe.Read(t.Context()); !errors.Is(head, connectors.ErrCaughtUp) {
				break
			}
		}
		if connectors.CodeOf(head) == connectors.FaultBroken {
			return // what it begins with is no head
		}
		rows := drain(t, src)
		for _, row := range rows {
			if (row.Rejection == nil) != (len(row.Values) == 3) || !bytes.Contains(content, row.Raw) && row.Rejection == nil {
				t.Fatalf("row %+v of %q", row, content)
			}
			for _, v := range row.Values {
				if !utf8.ValidString(v.Text) {
					t.Fatalf("value %q of %q", v.Text, content)
				}
			}
		}
		if len(rows) == 0 {
			return
		}
		again := opened(t, def, nil, nil)
		var position json.RawMessage
		for position == nil {
			if batch, err := again.Read(t.Context()); err == nil {
				position = batch.Position
			}
		}
		rest := drain(t, opened(t, def, position, nil))
		if len(rest) != len(rows)-1 {
			t.Fatalf("%d rows behind the first of %d in %q", len(rest), len(rows), content)
		}
		for i, row := range rest {
			if row.Origin != rows[i+1].Origin || !bytes.Equal(row.Raw, rows[i+1].Raw) {
				t.Fatalf("row %d is %s %q; was %s %q", i, row.Origin, row.Raw, rows[i+1].Origin, rows[i+1].Raw)
			}
		}
	})
}

// FuzzFormats reads any bytes as a file of each other format, and once more from the middle: both agree, or
// the file is refused both times, and every row is whole or rejected.
func FuzzFormats(f *testing.F) {
	formats := []string{connectors.FormatJSONL, connectors.FormatDBF, connectors.FormatXML, connectors.FormatExcel}
	row := `<row><c t="inlineStr"><is><t>id</t></is></c><c><v>1</v></c></row><row><c r="A2" t="e"><v>x</v></c></row>`
	for i, seed := range []string{
		"{\"id\":1,\"name\":\"\\ud83d\"}\n[]\n{\"id\":null}\n", dbfOf(0x4d, []string{"id,C,5", "name,N,3", "updated_at,D,8"}, " 12345  120251103", "*12345123        "),
		"<?xml version='1.0' encoding='gbk'?><r><row id='\xc4\xe3'><name>x</name></row><row/></r>", excelOf(row),
		"{\"id\":\"\xff\"}\n", "\x30" + dbfOf(0, []string{"id,I,4", "name,T,8", "updated_at,Y,8"}, strings.Repeat("\x20", 21))[1:], "<row><id>&#x41;</id><row/></row>",
		excelOf(row, "xl/sharedStrings.xml", "<sst><si><t>a</t></si></sst>"),
	} {
		f.Add([]byte(seed), uint8(i%4))
	}
	f.Fuzz(func(t *testing.T, content []byte, which uint8) {
		if len(content) > 64<<10 {
			return
		}
		def := columnsOf(t.TempDir(), formats[which%4], "id", "name", "updated_at")
		s, err := New(def, discard())
		if err != nil {
			t.Fatal(err)
		}
		read := func(after place) (rows []connectors.Row, middle place, err error) {
			put(t, def.Files.Dir, "rows", string(content))
			r, _, end, err := s.(*source).openReading(t.Context(), local{def.Files.Dir}, "rows", fileState{size: int64(len(content))}, after)
			if err != nil || end {
				return nil, after, err
			}
			defer func() { _ = r.file.Close() }()
			for {
				one, end, err := r.batch(t.Context(), 1, connectors.MaxBatchBytes)
				if rows = append(rows, one...); err != nil || end {
					return rows, middle, err
				}
				if len(rows) == 2 {
					middle = r.content.place()
				}
			}
		}
		rows, middle, err := read(place{})
		var wrong *formatError
		if err != nil && (!errors.As(err, &wrong) || wrong.text == "" || len(rows) > 0) {
			t.Fatalf("%v after %d rows", err, len(rows))
		}
		for _, row := range rows {
			if (row.Rejection == nil) != (len(row.Values) == 3) || row.Raw == nil || row.Origin == "" || row.Rejection != nil && row.Values != nil {
				t.Fatalf("row %+v", row)
			}
			for _, v := range row.Values {
				if !utf8.ValidString(v.Text) || v.Null && v.Text != "" {
					t.Fatalf("value %+v", v)
				}
			}
		}
		if middle.SHA256 != "" {
			if again, _, err := read(middle); err != nil || !reflect.DeepEqual(shown(again), shown(rows[2:])) {
				t.Fatalf("from the middle %q, %v; want %q", shown(again), err, shown(rows[2:]))
			}
		}
	})
}
