package jsonrow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/jsonrow"
	"github.com/onewindow/onewindow/exchange"
)

func decoder(t testing.TB, name string) *charset.Decoder {
	t.Helper()
	d, err := charset.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRow(t *testing.T) {
	tests := []struct {
		raw  string
		want []string // nil: rejected with rule
		rule string
	}{
		{`{"n": 12345678901234567890.1200, "id": "张\u4e09", "o": {"x": [1.50, "}"]}, "more": 1}`, []string{"张三", "12345678901234567890.1200", `{"x": [1.50, "}"]}`, "NULL"}, ""},
		{`{"id": true, "n": null, "o": ""}`, []string{"true", "NULL", "", "NULL"}, ""},
		{" {\t\"i\\u0064\" :\n1e400 , \"n\":-0.00}\r\n", []string{"1e400", "-0.00", "NULL", "NULL"}, ""},
		{`{}`, []string{"NULL", "NULL", "NULL", "NULL"}, ""},
		{`{"id": "\ud83d\ude00\\\"\/"}`, []string{"😀\\\"/", "NULL", "NULL", "NULL"}, ""},
		{`{"id": "a\ufffd"}`, nil, exchange.RuleEncoding},
		{"{\"id\": \"a\ufffd\"}", nil, exchange.RuleEncoding},
		{`{"more": "\ud83d", "id": "a"}`, []string{"a", "NULL", "NULL", "NULL"}, ""}, // nobody asks for that member
		{`{"id": "\ud83d"}`, nil, exchange.RuleEncoding},
		{`{"id": "\ude00\ud83d"}`, nil, exchange.RuleEncoding},
		{"{\"id\": \"\xff\"}", nil, exchange.RuleEncoding},
		{`{"id": "a", "\u0069d": "b"}`, nil, exchange.RuleMalformed},
		{`[1]`, nil, exchange.RuleMalformed},
		{`null`, nil, exchange.RuleMalformed},
		{``, nil, exchange.RuleMalformed},
		{`{"id": 1} {}`, nil, exchange.RuleMalformed},
		{`{"id": NaN}`, nil, exchange.RuleMalformed},
		{`"` + strings.Repeat("x", connectors.MaxRowBytes) + `"`, nil, exchange.RuleMalformed},
	}
	parser := jsonrow.NewParser([]string{"id", "n", "o", "absent"})
	for _, test := range tests {
		row := parser.Row([]byte(test.raw), decoder(t, charset.UTF8), "1:0")
		if test.want == nil {
			if row.Rejection == nil || row.Rejection.Rule != test.rule || row.Values != nil || row.Raw == nil || len(row.Raw) > connectors.MaxRowBytes {
				t.Errorf("%.40q: %+v; want rule %s", test.raw, row.Rejection, test.rule)
			}
			continue
		}
		if got := texts(row.Values); row.Rejection != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, %+v; want %q", test.raw, got, row.Rejection, test.want)
		}
	}
}

func texts(values []connectors.Value) []string {
	var texts []string
	for _, v := range values {
		if v.Null {
			v.Text = "NULL"
		}
		texts = append(texts, v.Text)
	}
	return texts
}

// TestCharsets reads documents whose characters have second bytes that look like JSON's own, and one broken row.
func TestCharsets(t *testing.T) {
	for _, test := range []struct {
		name string
		e    encoding.Encoding
		text string
	}{
		{charset.GBK, simplifiedchinese.GBK, "誠乗亅亇亊亐亖俓倇"},
		{charset.GB18030, simplifiedchinese.GB18030, "誠乗㐀𠀀亖"},
		{charset.Big5, traditionalchinese.Big5, "功許蓋擺珮"},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := `{"` + test.text + `":[{"id":"` + test.text + `","n":1.0},{"id":"BROKEN"},{"id":"` + test.text + `\\"}],"next":"` + test.text + `"}`
			encoded, err := test.e.NewEncoder().Bytes([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.ContainsAny(encoded, "\\") {
				t.Fatalf("%q has no backslash", encoded)
			}
			encoded = bytes.Replace(encoded, []byte("BROKEN"), []byte("\xff\xff"), 1)
			d := decoder(t, test.name)
			doc, err := jsonrow.NewDocument(encoded, d)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := doc.Array(test.text)
			if err != nil || len(rows) != 3 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			parser := jsonrow.NewParser([]string{"id", "n"})
			for i, want := range [][]string{{test.text, "1.0"}, nil, {test.text + `\`, "NULL"}} {
				row := parser.Row(rows[i], d, "")
				if got := texts(row.Values); !slices.Equal(got, want) {
					t.Errorf("row %d: %q; want %q", i, got, want)
				}
				if want == nil && (row.Rejection == nil || row.Rejection.Rule != exchange.RuleEncoding || string(row.Raw) != "{\"id\":\"\xff\xff\"}") {
					t.Errorf("row %d: %q, %+v", i, row.Raw, row.Rejection)
				}
			}
			if next, err := doc.Scalar("next"); err != nil || next != test.text {
				t.Errorf("next = %q, %v", next, err)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	d := decoder(t, charset.UTF8)
	tests := []struct{ body, path, want string }{
		{`{"a": {"b": [ 1 , {"c":"]"}, "x,]" ]}}`, "a.b", `1|{"c":"]"}|"x,]"`},
		{"\xef\xbb\xbf[[1],[]]", ".", `[1]|[]`},
		{`{"a":[]}`, "a", ``},
		{`{"a":{}}`, "a", `error: the member "a" of the answer is not an array`},
		{`{"b":1,"c":2}`, "a", `error: the answer has no member "a"; it has "b", "c"`},
		{`[1]`, "a", `error: the answer has no member "a"; it is not an object`},
		{`{"a":1}`, ".", `error: the answer is not an array; it has "a"`},
		{`{"a":[1],"a":[2]}`, "a", `error: the answer has the member "a" twice`},
		{`{"a":"x"}`, "a.b", `error: the answer has no member "a.b"; it has "a"`},
	}
	for _, test := range tests {
		doc, err := jsonrow.NewDocument([]byte(test.body), d)
		if err != nil {
			t.Fatal(err)
		}
		list, err := doc.Array(test.path)
		got := string(bytes.Join(list, []byte("|")))
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != test.want {
			t.Errorf("%s of %s: %s; want %s", test.path, test.body, got, test.want)
		}
	}
	for _, body := range []string{"", "<html>", "{", "{} {}", strings.Repeat("[", 20_000)} {
		if _, err := jsonrow.NewDocument([]byte(body), d); !errors.Is(err, jsonrow.ErrNotJSON) {
			t.Errorf("%.20q: %v", body, err)
		}
	}
	doc, err := jsonrow.NewDocument([]byte(`{"a":{"s":"x\n","n":1.50,"z":null,"o":{},"h":"\ud800"}}`), d)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"a.s": "x\n", "a.n": "1.50", "a.z": "", "a.q": "", "q.a": ""} {
		if got, err := doc.Scalar(path); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
	if doc, err = jsonrow.NewDocument([]byte("["+strings.Repeat("1,", 1_000_000)+"1]"), d); err != nil {
		t.Fatal(err)
	}
	if list, err := doc.Array("."); err == nil || !strings.Contains(err.Error(), "more than 200000 rows") {
		t.Errorf("%d rows, %v", len(list), err)
	}
	if doc, err = jsonrow.NewDocument([]byte(`{"a":{"o":{},"h":"\ud800"}}`), d); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a", "a.o", "a.h"} {
		if got, err := doc.Scalar(path); err == nil {
			t.Errorf("%s = %q", path, got)
		}
	}
}

// FuzzRow compares with encoding/json.
func FuzzRow(f *testing.F) {
	for _, seed := range []string{`{"id":"a\\","n":[1,{"x":"}"}]}`, ` {"i\u0064" : 1e5 , "n":null}`, `{"id":"\ud83d\ude00"}`, `{"id":1,"id":2}`, `[]`, "{\"id\":\"\xc4\xe3\"}"} {
		f.Add([]byte(seed))
	}
	utf := decoder(f, charset.UTF8)
	f.Fuzz(func(t *testing.T, raw []byte) {
		row := jsonrow.NewParser([]string{"id", "n"}).Row(raw, utf, "")
		var members map[string]json.RawMessage
		err := json.Unmarshal(raw, &members)
		if row.Rejection != nil {
			if row.Rejection.Rule == exchange.RuleMalformed && err == nil && members != nil && !strings.Contains(row.Rejection.Detail, "twice") {
				t.Fatalf("%q: %s", raw, row.Rejection.Detail)
			}
			return
		}
		if err != nil || !utf8.Valid(raw) {
			t.Fatalf("%q was taken: %v", raw, err)
		}
		for i, name := range []string{"id", "n"} {
			want, null := string(members[name]), members[name] == nil || string(members[name]) == "null"
			if !null && want[0] == '"' {
				if err := json.Unmarshal(members[name], &want); err != nil {
					t.Fatal(err)
				}
			}
			if null {
				want = ""
			}
			if got := row.Values[i]; got.Null != null || got.Text != want {
				t.Fatalf("%q: %s = %+v; want %q", raw, name, got, want)
			}
		}
	})
}

// FuzzDocument checks in every character set that each row is part of the answer and is read or rejected.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":[1,"x"]}}`, "{\"a\":{\"b\":[{\"id\":\"\x81\x5c\x81}\"},\"\xff\"]}}", "{\"a\":{\"b\":[\"\x81\x30\x81\x30\"]}}", `[]`, "\xef\xbb\xbf{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range charset.Names() {
			d := decoder(t, name)
			doc, err := jsonrow.NewDocument(body, d)
			if err != nil {
				continue
			}
			rows, err := doc.Array("a.b")
			if err != nil {
				continue
			}
			for _, raw := range rows {
				if !bytes.Contains(body, raw) || len(raw) == 0 {
					t.Fatalf("%s: %q is not in %q", name, raw, body)
				}
				row := jsonrow.NewParser([]string{"id"}).Row(raw, d, "")
				if (row.Rejection == nil) != (len(row.Values) == 1) {
					t.Fatalf("%s: %+v", name, row)
				}
			}
			if name == charset.UTF8 {
				var whole struct {
					A struct {
						B []json.RawMessage `json:"b"`
					} `json:"a"`
				}
				if json.Unmarshal(body, &whole) == nil && len(whole.A.B) != len(rows) && !bytes.ContainsAny(body, "AB\\") {
					t.Fatalf("%q: %d rows; want %d", body, len(rows), len(whole.A.B))
				}
			}
		}
	})
}

func BenchmarkRow(b *testing.B) {
	raw := []byte(`{"id":"610323199001011234","name":"张三","amount":12345.67,"updated_at":"2025-11-03 08:00:00","address":"陕西省宝鸡市岐山县凤鸣镇","extra":{"a":[1,2,3]},"x":null,"y":true}`)
	parser, d := jsonrow.NewParser([]string{"id", "name", "amount", "updated_at", "address", "x", "y"}), decoder(b, charset.UTF8)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if row := parser.Row(raw, d, ""); row.Rejection != nil {
			b.Fatal(row.Rejection.Detail)
		}
	}
}
