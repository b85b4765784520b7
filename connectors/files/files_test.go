package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange"
)

func definition(dir, charset string) connectors.Definition {
	def := connectortest.Definition(connectors.KindFiles)
	def.Files = &connectors.Files{Dir: dir, DirName: "rows", Pattern: "rows-*.csv", Charset: charset, Delimiter: ','}
	return def
}

// refusal is how a rejected row is written in the tables below.
func refusal(rule string) []string { return []string{"rejected", rule} }

// TestRows reads one file with three columns and shows what becomes of each row.
func TestRows(t *testing.T) {
	malformed, invalid := refusal(exchange.RuleMalformed), refusal(exchange.RuleEncoding)
	long := strings.Repeat("x", connectors.MaxRowBytes)
	tests := []struct {
		name, charset, delimiter, text string
		want                           [][]string
		origins                        string
	}{
		{"line ends and blank lines", charset.UTF8, ",", "\xef\xbb\xbfid,name,updated_at\r\n1,a,x\r\n\r\n\n2,b,y\n\x1a", [][]string{{"1", "a", "x"}, {"2", "b", "y"}}, "2 5"},
		{"quotes", charset.UTF8, ",", "id,name,updated_at\n1,\"a,\"\"b\"\"\r\nc\",x\n2,\"\",y\n", [][]string{{"1", "a,\"b\"\nc", "x"}, {"2", "", "y"}}, "2 4"},
		{"an unclosed quote costs one line", charset.UTF8, ",", "id,name,updated_at\n1,\"a,x\n2,b,y\n3,c,z\n", [][]string{malformed, {"2", "b", "y"}, {"3", "c", "z"}}, "2 3 4"},
		{"two lines that a quote would join", charset.UTF8, ",", "id,name,updated_at\n1,\"a,x\n2,\"b\",y\n3,c,z\n", [][]string{malformed, {"2", "b", "y"}, {"3", "c", "z"}}, "2 3 4"},
		{"bare and misplaced quotes", charset.UTF8, ",", "id,name,updated_at\n1,5\" pipe,x\n2,\"b\"b,y\n3,c,z\n", [][]string{malformed, malformed, {"3", "c", "z"}}, "2 3 4"},
		{"too few and too many fields", charset.UTF8, ",", "id,name,updated_at\n1,a\n2,b,y,\n3,c,z\n", [][]string{malformed, malformed, {"3", "c", "z"}}, "2 3 4"},
		{"a long line", charset.UTF8, ",", "id,name,updated_at\n1," + long + ",x\n2,b,y\n", [][]string{malformed, {"2", "b", "y"}}, "2 3"},
		{"invalid UTF-8", charset.UTF8, ",", "id,name,updated_at\n1,\xc4\xe3,x\n2,\xe4\xbd,y\n3,你,z\n", [][]string{invalid, invalid, {"3", "你", "z"}}, "2 3 4"},
		// 0x5C and 0x7C are second bytes of 誠 (D55C) and 簗 (BA7C).
		{"GBK with backslash and bar as second bytes", charset.GBK, "|", "id|name|updated_at\n1|\xd5\x5c\xba\x7c|x\n2|\\|y\n", [][]string{{"1", "誠簗", "x"}, {"2", "\\", "y"}}, "2 3"},
		{"invalid GBK", charset.GBK, ",", "id,name,updated_at\n1,\xc4\xe3\xff,x\n2,\xc4\n3,\xc4\xe3,z\n", [][]string{invalid, invalid, {"3", "你", "z"}}, "2 3 4"},
		{"four bytes are not GBK", charset.GBK, ",", "id,name,updated_at\n1,\x82\x35\x83\x38,x\n", [][]string{invalid}, "2"},
		{
			"four bytes of GB18030", charset.GB18030, ",", "\x84\x31\x95\x33id,name,updated_at\n1,\x82\x30\x84\x35\x95\x32\x82\x36,x\n2,\x82\x3a\x81\x30,y\n3,\x84\x31\xa4\x37,z\n",
			[][]string{{"1", "㓆𠀀", "x"}, invalid, invalid},
			"2 3 4",
		},
		{"a byte-order mark beats the charset", charset.GBK, ",", "\xef\xbb\xbfid,name,updated_at\n1,你,x\n", [][]string{{"1", "你", "x"}}, "2"},
		{"more columns in another order", charset.UTF8, ",", "updated_at, more ,name, id\nx,?,a,1\n", [][]string{{"1", "a", "x"}}, "2"},
		{"a renamed column", charset.UTF8, ",", "id,full_name,updated_at\n1,a,x\n2,\"b\n\",y\n", [][]string{refusal(exchange.RuleColumn), refusal(exchange.RuleColumn)}, "2 3"},
		{"a column twice", charset.UTF8, ",", "id,name,updated_at,name\n1,a,x,b\n", [][]string{refusal(exchange.RuleColumn)}, "2"},
		{"a header in another charset", charset.UTF8, ",", "id,name,updated_at,\xc4\xe3\n1,a,x,b\n", [][]string{invalid}, "2"},
		{"a broken header", charset.UTF8, ",", "id,name,\"updated_at\n1,a,x\n", [][]string{malformed}, "2"},
		{"only a header", charset.UTF8, ",", "id,name,updated_at\n", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "rows-1.csv", test.text)
			put(t, dir, "rows-2.csv", "id,name,updated_at\n9,next,file\n")
			def := definition(dir, test.charset)
			def.Files.Delimiter = rune(test.delimiter[0])
			if test.delimiter != "," {
				put(t, dir, "rows-2.csv", "id|name|updated_at\n9|next|file\n")
			}
			rows := drain(t, opened(t, def, nil, nil))
			var got [][]string
			var origins []string
			for _, row := range rows {
				name, line, _ := strings.Cut(row.Origin, ":")
				if name == "rows-2.csv" {
					continue
				}
				origins = append(origins, line)
				if row.Rejection != nil {
					got = append(got, refusal(row.Rejection.Rule))
					if len(row.Raw) == 0 || row.Rejection.Detail == "" {
						t.Errorf("rejected row without raw bytes or detail: %+v", row)
					}
					continue
				}
				got = append(got, texts(row))
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("rows %.300q; want %.300q", got, test.want)
			}
			if strings.Join(origins, " ") != test.origins {
				t.Errorf("lines %v; want %s", origins, test.origins)
			}
			if last := rows[len(rows)-1]; last.Origin != "rows-2.csv:2" || last.Rejection != nil {
				t.Errorf("the next file: %+v", last)
			}
		})
	}
}

// TestColumnChanged checks that the message names what is missing and what there is.
func TestColumnChanged(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "rows-1.csv", "编号,name,updated_at\n1,a,x\n")
	row := drain(t, opened(t, definition(dir, charset.UTF8), nil, nil))[0]
	if r := row.Rejection; r == nil || r.Field != "id" || !strings.Contains(r.Detail, `"编号", "name", "updated_at"`) || string(row.Raw) != "1,a,x" {
		t.Errorf("rejection %+v, raw %q", r, row.Raw)
	}
}

// TestNoHeader reads a file whose first line is a person: neither the log nor the rejections say who.
func TestNoHeader(t *testing.T) {
	dir := t.TempDir()
	const first = "11010119900307123X,张三,13800000000,"
	long := strings.Repeat("陕西省宝鸡市", 5)
	put(t, dir, "rows-1.csv", first+long+",name\n1,a,b,x,y\n")
	put(t, dir, "rows-2.csv", "id,name,updated_at,"+first+long+"\n1,a,x,,,,\n")
	var said bytes.Buffer
	src, err := New(definition(dir, charset.UTF8), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	src.(*source).now = (&clock{at: time.Now()}).now
	if err := src.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close(t.Context()) }()
	for _, row := range drain(t, src) {
		if row.Rejection != nil {
			said.WriteString(row.Rejection.Field + row.Rejection.Detail)
		}
	}
	for _, word := range []string{"11010119900307123X", "13800000000", long} {
		if strings.Contains(said.String(), word) {
			t.Errorf("%q is in %s", word, said.String())
		}
	}
	if !strings.Contains(said.String(), "3 with digits, or long") {
		t.Errorf("said only %s", said.String())
	}
}

// TestIncomplete checks which files wait, and that later ones wait behind them.
func TestIncomplete(t *testing.T) {
	dir := t.TempDir()
	clock := &clock{}
	src := opened(t, definition(dir, charset.UTF8), nil, clock)
	quiet := func(when string) {
		t.Helper()
		if _, err := src.Read(t.Context()); !errors.Is(err, connectors.ErrCaughtUp) {
			t.Fatalf("%s: %v; want ErrCaughtUp", when, err)
		}
	}
	put(t, dir, "rows-1.csv", "id,name,updated_at\n1,a,x\n2,b")
	put(t, dir, "rows-2.csv", "id,name,updated_at\n3,c,z\n")
	quiet("first poll")
	quiet("no line end")
	put(t, dir, "rows-1.csv", "id,name,updated_at\n1,a,x\n2,b,y")
	quiet("grown")
	clock.add(quietWait - time.Second)
	quiet("nearly a minute without a line end")
	clock.add(2 * time.Second)
	rows := drain(t, src)
	if len(rows) != 3 || rows[1].Origin != "rows-1.csv:3" || rows[2].Values[0].Text != "3" {
		t.Errorf("rows %+v", rows)
	}
}

// TestChanges checks what becomes of a file that changes after it was read.
func TestChanges(t *testing.T) {
	const text = "id,name,updated_at\n1,a,x\n2,b,y\n"
	tests := []struct {
		name, after string
		want        string // ids read after the change
	}{
		{"appended", text + "3,c,z\n", "3"},
		{"corrected", strings.Replace(text, "a,x", "A,x", 1), "1 2"},
		{"replaced", "id,name,updated_at\n7,g,x\n", "7"},
		{"touched", text, ""},
	}
	for _, restart := range []bool{false, true} {
		for _, test := range tests {
			dir := t.TempDir()
			put(t, dir, "rows-1.csv", text)
			src := opened(t, definition(dir, charset.UTF8), nil, nil)
			position := last(t, src)
			if restart {
				src = opened(t, definition(dir, charset.UTF8), position, nil)
			}
			put(t, dir, "rows-1.csv", test.after)
			touch(t, filepath.Join(dir, "rows-1.csv"))
			var ids []string
			for _, row := range drain(t, src) {
				ids = append(ids, row.Values[0].Text)
			}
			if got := strings.Join(ids, " "); got != test.want {
				t.Errorf("%s (restart %t): read %q; want %q", test.name, restart, got, test.want)
			}
		}
	}
}

// TestLastLineGrows continues a line that had no end when it was read: the whole line counts, not its rest.
func TestLastLineGrows(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		put(t, dir, "rows-1.csv", "id,name,updated_at\n1,a,x\n2,b,y")
		src := opened(t, definition(dir, charset.UTF8), nil, nil)
		position := last(t, src)
		if restart {
			src = opened(t, definition(dir, charset.UTF8), position, nil)
		}
		put(t, dir, "rows-1.csv", "id,name,updated_at\n1,a,x\n2,b,y2\n3,c,z,\n4,d,w\n")
		expectRows(t, drain(t, src), "2 1|a|x", "3 2|b|y2", "4 "+exchange.RuleMalformed, "5 4|d|w")
	}
}

// TestLate checks that a file that sorts before one already read is reported, and that others are read meanwhile.
func TestLate(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "rows-2.csv", "id,name,updated_at\n2,b,y\n")
	src := opened(t, definition(dir, charset.UTF8), nil, nil)
	drain(t, src)
	put(t, dir, "rows-1.csv", "id,name,updated_at\n1,a,x\n")
	put(t, dir, "rows-3.csv", "id,name,updated_at\n3,c,z\n")
	var ids string
	var err error
	for range 6 {
		var batch connectors.Batch
		if batch, err = src.Read(t.Context()); err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
			break
		}
		for _, row := range batch.Rows {
			ids += row.Values[0].Text
		}
	}
	if ids != "3" || !errors.Is(err, connectors.ErrRefused) || !strings.Contains(err.Error(), `"rows-1.csv"`) {
		t.Errorf("read %q, %v", ids, err)
	}
	rename(t, filepath.Join(dir, "rows-1.csv"), filepath.Join(dir, "rows-4.csv"))
	if rows := drain(t, src); len(rows) != 1 || rows[0].Values[0].Text != "1" {
		t.Errorf("after it was renamed: %+v", rows)
	}
}

// TestLateWhileDown checks that a late file is reported that came while nobody was looking, until it is renamed; that
// files may be cleared away; and that positions of older versions open.
func TestLateWhileDown(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"2", "4", "6"} {
		put(t, dir, "rows-"+name+".csv", "id,name,updated_at\n"+name+",b,y\n")
	}
	def := definition(dir, charset.UTF8)
	position := last(t, opened(t, def, nil, nil))
	if rows := drain(t, opened(t, def, position, nil)); len(rows) != 0 {
		t.Errorf("nothing came, but %q was read", shown(rows))
	}
	put(t, dir, "rows-5.csv", "id,name,updated_at\n5,a,x\n")
	src := opened(t, def, position, nil)
	put(t, dir, "rows-7.csv", "id,name,updated_at\n7,c,z\n")
	var ids string
	for range 2 {
		var err error
		for err == nil || errors.Is(err, connectors.ErrCaughtUp) {
			var batch connectors.Batch
			batch, err = src.Read(t.Context())
			for _, row := range batch.Rows {
				ids += row.Values[0].Text
			}
		}
		checkFault(t, err, connectors.FaultOutOfOrder, `before "rows-6.csv"`, "with 2 files before it")
		if err := errors.Join(src.Close(t.Context()), src.Open(t.Context(), position)); err != nil {
			t.Fatal(err)
		}
	}
	if ids != "77" {
		t.Errorf("read %q", ids)
	}
	rename(t, filepath.Join(dir, "rows-5.csv"), filepath.Join(dir, "rows-8.csv"))
	expectRows(t, drain(t, src), "2 7|c|z", "2 5|a|x")

	for _, name := range []string{"rows-2.csv", "rows-7.csv", "rows-8.csv"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if rows := drain(t, opened(t, def, position, nil)); len(rows) != 0 {
		t.Errorf("files were cleared away, and %q was read", shown(rows))
	}
	var old map[string]any
	if err := json.Unmarshal(position, &old); err != nil {
		t.Fatal(err)
	}
	delete(old, "passed")
	put(t, dir, "rows-1.csv", "id,name,updated_at\n1,a,x\n")
	if rows := drain(t, opened(t, def, mustJSON(t, old), nil)); len(rows) != 0 {
		t.Errorf("%q was read", shown(rows))
	}
}

// TestLinks checks that a link in the folder is not followed.
func TestLinks(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("id,name,updated_at\n1,a,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "rows-1.csv")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if rows := drain(t, opened(t, definition(dir, charset.UTF8), nil, nil)); len(rows) != 0 {
		t.Errorf("rows %+v", rows)
	}
}

// clock is a clock that is moved by hand, and moves a step whenever somebody looks at it: by the interval of the
// definitions here, so that a poll may be the second one.
type clock struct {
	at   time.Time
	step time.Duration
}

func (c *clock) now() time.Time {
	c.at = c.at.Add(max(c.step, 10*time.Millisecond))
	return c.at
}

func (c *clock) add(d time.Duration) { c.at = c.at.Add(d) }

func opened(t *testing.T, def connectors.Definition, after json.RawMessage, c *clock) connectors.Source {
	t.Helper()
	src, err := New(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		c = &clock{at: time.Now(), step: quietWait / 2}
	}
	src.(*source).now = c.now
	if err := src.Open(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return src
}

// drain reads until the source is caught up twice in a row.
func drain(t *testing.T, src connectors.Source) []connectors.Row {
	t.Helper()
	var rows []connectors.Row
	for quiet := 0; quiet < 2; {
		batch, err := src.Read(t.Context())
		switch {
		case errors.Is(err, connectors.ErrCaughtUp):
			quiet++
		case err != nil:
			t.Fatal(err)
		default:
			quiet = 0
			rows = append(rows, batch.Rows...)
		}
	}
	return rows
}

// last drains and returns the last position.
func last(t *testing.T, src connectors.Source) (position json.RawMessage) {
	t.Helper()
	for quiet := 0; quiet < 2; {
		batch, err := src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			quiet++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		position = batch.Position
	}
	return position
}

func texts(row connectors.Row) []string {
	var all []string
	for _, v := range row.Values {
		all = append(all, v.Text)
	}
	return all
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, name string) {
	t.Helper()
	at := time.Now().Add(time.Hour)
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
