package engine

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestParseStatement(t *testing.T) {
	for _, test := range []struct {
		text string
		want statement
	}{
		{"SELECT 1", statement{sql: "SELECT 1", read: true}},
		{"select 1 format JSON", statement{sql: "select 1 format JSON", read: true, format: "JSON"}},
		{"(SELECT 1) UNION ALL (SELECT 2)", statement{sql: "(SELECT 1) UNION ALL (SELECT 2)", read: true}},
		{"-- INSERT\n/* FORMAT X */ WITH 1 AS x SELECT x", statement{sql: "-- INSERT\n/* FORMAT X */ WITH 1 AS x SELECT x", read: true}},
		{"SELECT 'FORMAT Native', `format x`, \"a;b\";", statement{sql: "SELECT 'FORMAT Native', `format x`, \"a;b\";", read: true}},
		{"INSERT INTO t FORMAT Native", statement{sql: "INSERT INTO t ", insert: true, format: "Native"}},
		{"INSERT INTO db.t (`a;(`, b) SETTINGS x = 'FORMAT CSV' FORMAT TSV\n1\t2\n", statement{
			sql: "INSERT INTO db.t (`a;(`, b) SETTINGS x = 'FORMAT CSV' ", insert: true, format: "TSV", data: "1\t2\n",
		}},
		{"INSERT INTO format FORMAT CSV 1;2", statement{sql: "INSERT INTO format ", insert: true, format: "CSV", data: "1;2"}},
		{"INSERT INTO db.values VALUES (1, ';'), (2, 'FORMAT X')", statement{
			sql: "INSERT INTO db.values ", insert: true, format: "Values", data: " (1, ';'), (2, 'FORMAT X')",
		}},
		{"INSERT INTO t SELECT * FROM u FORMAT Null", statement{sql: "INSERT INTO t SELECT * FROM u FORMAT Null", format: "Null"}},
		{"INSERT INTO t (SELECT 1)", statement{sql: "INSERT INTO t (SELECT 1)"}},
		{"INSERT INTO t (a, b)", statement{sql: "INSERT INTO t (a, b)", insert: true}},
		{"CREATE TABLE a (x UInt8) ENGINE = Log; INSERT INTO a VALUES (1)", statement{
			sql: "CREATE TABLE a (x UInt8) ENGINE = Log; INSERT INTO a VALUES (1)", several: true,
		}},
		{"SET x = 1", statement{sql: "SET x = 1", session: true}},
		{"SELECT 1; USE other", statement{sql: "SELECT 1; USE other", several: true, session: true}},
		{"CREATE TEMPORARY TABLE x (a UInt8)", statement{sql: "CREATE TEMPORARY TABLE x (a UInt8)", session: true}},
		{"SELECT $doc$ ' ; FORMAT CSV $doc$, 1", statement{sql: "SELECT $doc$ ' ; FORMAT CSV $doc$, 1", read: true}},
		{"SELECT 1 INTO/**/OUTFILE 'x'", statement{sql: "SELECT 1 INTO/**/OUTFILE 'x'", read: true, local: true}},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", statement{sql: "INSERT INTO t FROM INFILE 'x' ", insert: false, format: "CSV", local: true}},
		{"SELECT (SELECT `file` ('x'))", statement{sql: "SELECT (SELECT `file` ('x'))", read: true, local: true}},
		{"SELECT ‘'’, file('x') --'", statement{sql: "SELECT ‘'’, file('x') --'", read: true, local: true}},
		{"INSERT INTO file (a) FORMAT CSV", statement{sql: "INSERT INTO file (a) ", insert: true, format: "CSV"}},
		{"", statement{}},
		{"\x00'", statement{sql: "\x00'"}},
	} {
		got := parseStatement(test.text)
		if test.text == "INSERT INTO t FROM INFILE 'x' FORMAT CSV" {
			got.sql = test.want.sql // refused whatever its parts are
		}
		if got != test.want {
			t.Errorf("%q:\n got %+v\nwant %+v", test.text, got, test.want)
		}
	}
}

// What the splitter says of a text must not depend on luck: its parts are the
// text's own, and nothing of an INSERT's data gets into the statement.
func FuzzParseStatement(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1", "INSERT INTO t FORMAT Native\n\x00\x01", "INSERT INTO t VALUES ('a\\'b'); -- x", "/* ", "'", "`\\", "$a$", "$a$ $a$",
		"SELECT ‘ ’ “", "((((", "))))", ";;;", "\xff\xfe\x00", "INSERT INTO t FORMAT", "WITH x AS (SELECT 1) INSERT INTO t SELECT 1", "# x\n#!y",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		st := parseStatement(text)
		if !strings.HasPrefix(text, st.sql) || !strings.HasSuffix(text, st.data) || len(st.sql)+len(st.data) > len(text) {
			t.Fatalf("%q was split into %q and %q", text, st.sql, st.data)
		}
		if st.data != "" && !st.insert || st.insert && st.several || !strings.Contains(text, st.format) && st.format != "Values" {
			t.Fatalf("%q: %+v", text, st)
		}
		at := 0
		for {
			next := nextToken(text, at)
			if next.kind == tokenEnd {
				break
			}
			if next.start < at || next.end <= next.start || next.end > len(text) {
				t.Fatalf("%q: token %+v after %d", text, next, at)
			}
			at = next.end
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add("query=SELECT+1&database=x&param_a=1&max_threads=2", "", "")
	f.Add("", "INSERT INTO t FORMAT CSV\n1,2\n", "")
	f.Add("decompress=1", "\x00\x01\x02", "gzip")
	f.Add("%zz&client_protocol_version=-1", "\x1f\x8b", "gzip")
	f.Add("a%00b=1&;=&session_id=x", "SELECT '\xff'", "br")
	f.Fuzz(func(t *testing.T, query, body, encoding string) {
		r := &http.Request{
			Method: http.MethodPost, URL: &url.URL{Path: "/", RawQuery: query},
			Header: http.Header{"Content-Encoding": {encoding}}, Body: io.NopCloser(strings.NewReader(body)),
		}
		req, err := parseRequest(r)
		if err != nil {
			if failure := asException(err); failure.code == 1002 {
				t.Fatalf("an error without a code of its own: %v", err)
			}
			return
		}
		for name := range req.settings {
			if !isSettingName(name) {
				t.Fatalf("setting %q", name)
			}
		}
		if req.local {
			t.Fatal("a statement that reaches for files was let through")
		}
	})
}
