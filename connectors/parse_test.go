package connectors

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseDefinitions(t *testing.T) {
	text, err := os.ReadFile("testdata/sources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.FromSlash("/etc/onewindow")
	defs, err := ParseDefinitions(text, dir)
	if err != nil {
		t.Fatal(err)
	}
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	limits := Limits{Connections: 2, QueryTime: time.Minute, BusyShare: 100}
	want := []Definition{
		{
			Name: "market/enterprise", Resource: "market.enterprise", Kind: KindSQL, Interval: 2 * time.Second, Batch: 1000,
			SQL: &SQL{
				Driver: "postgres", DSNFile: filepath.Join(dir, "market.dsn"), Table: "enterprise", Cursor: "updated_at", Key: []string{"row_id"},
				Mode: Cursor, Delay: 2 * time.Second, Overlap: 5 * time.Minute,
			},
			Limits: limits,
			Map: Mapping{
				Key: []string{"uscc"}, EventTime: "updated_at", RecordedTime: "entered_at", Timezone: shanghai,
				Fields: []Field{
					{From: "uscc", To: "uscc", Type: String},
					{From: "capital", To: "capital", Type: Decimal},
					{From: "phone", To: "phone", Type: String, HalfWidth: true},
				},
			},
		},
		{
			Name: "police/resident", Resource: "police.resident", Kind: KindFiles, Interval: 5 * time.Second, Batch: 2000,
			Files: &Files{
				Dir: filepath.Join(dir, "police"), DirName: "police", Pattern: "resident-*.csv", Charset: "gbk", Delimiter: '|',
				Format: FormatCSV, HeaderRow: 1,
			},
			Limits: limits,
			Map: Mapping{
				Key: []string{"citizen_number", "kind"}, EventTime: "变更时间", Timezone: time.UTC,
				Fields: []Field{{From: "身份证号", To: "citizen_number", Type: String}, {From: "类别", To: "kind", Type: String}, {From: "出生日期", To: "born", Type: Date}},
			},
		},
		{
			Name: "civil/marriage", Resource: "civil.marriage", Kind: KindHTTP, Interval: 5 * time.Second, Batch: 2000,
			HTTP: &HTTP{
				URL: "http://127.0.0.1:18101/marriages", PageParam: "page", SizeParam: "size", Size: 1000, Records: "data", TokenFile: "/run/secrets/civil.token",
				Paging: PagingNumber, Overlap: 5 * time.Minute,
			},
			Limits: limits,
			Map: Mapping{
				Key: []string{"number"}, EventTime: "registered_at", Timezone: shanghai,
				Fields: []Field{{From: "number", To: "number", Type: String}},
			},
		},
	}
	for i := range want {
		if want[i].Map.Timezone.String() != defs[i].Map.Timezone.String() {
			t.Errorf("timezone %v; want %v", defs[i].Map.Timezone, want[i].Map.Timezone)
		}
		want[i].Map.Timezone = defs[i].Map.Timezone
		if !reflect.DeepEqual(defs[i], want[i]) {
			t.Errorf("%+v\nwant\n%+v", defs[i], want[i])
		}
	}
	if got, want := defs[1].Map.Columns(), []string{"身份证号", "类别", "出生日期", "变更时间"}; !reflect.DeepEqual(got, want) {
		t.Errorf("columns %q; want %q", got, want)
	}
}

// TestParseFaults checks that one reading reports everything, each with its line.
func TestParseFaults(t *testing.T) {
	const text = `sources:
  - name: Market/enterprise
    resource: tax.enterprise
    kind: sql
    interval: 1ms
    batch: "many"
    retries: 3
    files: {dir: x, pattern: y}
    sql: {driver: db2, table: t, cursor: c, cursor: d, key: 17}
    map:
      key: [nobody]
      event_time: at
      timezone: Mars/Base
      fields:
        - {from: a, to: a, type: float}
        - {from: b, to: a, half_width: perhaps}
  - name: market/files
    resource: market.files
    kind: files
    files: {dir: x, pattern: "../[", charset: ebcdic, delimiter: "||"}
    map: &anchor {key: [], event_time: at, fields: [{from: a, to: a}]}
  - name: market/http
    resource: market.http
    kind: http
    http: {url: "http://user:secret@host/?page=1", page_param: p, size_param: p, size: 0, records: data}
  - name: market/http
`
	_, err := ParseDefinitions([]byte(text), ".")
	if !errors.Is(err, ErrDefinition) {
		t.Fatalf("%v; want ErrDefinition", err)
	}
	for _, want := range []string{
		`line 2: sources[0].name: "Market/enterprise" must be`,
		`line 3: sources[0].resource: "tax.enterprise" belongs to department "tax"`,
		`line 5: sources[0].interval: "1ms" must be a duration`,
		`line 6: sources[0].batch: must be a whole number from 1 to 20000`,
		`line 7: sources[0].retries: is unknown`,
		`line 8: sources[0].files: does not go with kind "sql"`,
		`line 9: sources[0].sql.driver: "db2" is not one of postgres, kingbase`,
		`line 9: sources[0].sql.cursor: is given twice`,
		`line 9: sources[0].sql.key: must be text`,
		`line 9: sources[0].sql.dsn_file: is missing`,
		`line 11: sources[0].map.key[0]: "nobody" is not a payload member`,
		`line 13: sources[0].map.timezone: "Mars/Base" is not a time zone`,
		`line 15: sources[0].map.fields[0].type: "float" is not one of`,
		`line 16: sources[0].map.fields[1].to: "a" is mapped twice`,
		`line 16: sources[0].map.fields[1].half_width: must be true or false`,
		`line 20: sources[1].files.pattern: "../[" must be a pattern`,
		`line 20: sources[1].files.charset: "ebcdic" is not one of`,
		`line 20: sources[1].files.delimiter: "||" must be one character`,
		`line 21: sources[1].map: must be a mapping`,
		`line 25: sources[2].http.url: must not carry a password`,
		`line 25: sources[2].http.size: must be a whole number`,
		`line 25: sources[2].http.size_param: is the same as page_param`,
		`sources[2].map: is missing`,
		`line 26: sources[3].name: "market/http" is defined twice`,
		`sources[3].kind: is missing`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s", want)
		}
	}
	if strings.Contains(err.Error(), "secret@") {
		t.Error("the password is in the message")
	}
	if t.Failed() {
		t.Log(err)
	}
}

func FuzzParseDefinitions(f *testing.F) {
	text, err := os.ReadFile("testdata/sources.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), "sources: []", "sources:\n - *a", "a: &a [*a]", "---\n---\n", "sources: [{kind: sql, sql: }]", "? x\n: y", "<<: {sources: 1}", "sources: !!set {a}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defs, err := ParseDefinitions(text, "/dir")
		if err != nil {
			if !errors.Is(err, ErrDefinition) {
				t.Fatal(err)
			}
			return
		}
		for _, d := range defs {
			if d.Batch < 1 || d.Interval <= 0 || d.Map.Timezone == nil || len(d.Map.Key) == 0 || d.SQL == nil && d.Log == nil && d.Files == nil && d.HTTP == nil && d.Topic == nil {
				t.Fatalf("accepted %+v", d)
			}
			if _, err := newMapper(d.Map); err != nil && !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		}
	})
}
