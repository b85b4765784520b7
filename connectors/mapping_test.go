package connectors

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/exchange"
)

func shanghai(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func mapperOf(t testing.TB, m Mapping) *mapper {
	t.Helper()
	mp, err := newMapper(m)
	if err != nil {
		t.Fatal(err)
	}
	return mp
}

// TestDraft maps one row whose exact bytes are part of record ids.
func TestDraft(t *testing.T) {
	m := mapperOf(t, Mapping{
		Key: []string{"number", "kind"}, EventTime: "at", RecordedTime: "entered", Timezone: shanghai(t),
		Fields: []Field{
			{From: "no", To: "number", Type: String, HalfWidth: true},
			{From: "kind", To: "kind", Type: Integer},
			{From: "money", To: "money", Type: Decimal},
			{From: "open", To: "open", Type: Boolean},
			{From: "born", To: "born", Type: Date},
			{From: "at", To: "at", Type: Time},
			{From: "note", To: "note", Type: String},
			{From: "note", To: "empty", Type: String},
		},
	})
	row := func(texts ...string) Row {
		r := Row{Raw: []byte("raw"), Origin: "o:1"}
		for _, text := range texts {
			if text == "NULL" {
				r.Values = append(r.Values, Value{Null: true})
				continue
			}
			r.Values = append(r.Values, Value{Text: text})
		}
		return r
	}
	good := []string{" Ａ０１　", "007", "12345678901234567890.1200", "是", "2025/1/3", "2025-11-03 08:05:00.123456", "q\"\\\n\x01、<&>", "2025-11-04"}
	d := m.draft(row(good...), time.Time{})
	if d.Rejection != nil {
		t.Fatalf("%+v", *d.Rejection)
	}
	const payload = `{"number":"A01","kind":7,"money":12345678901234567890.1200,"open":true,"born":"2025-01-03",` +
		`"at":"2025-11-03T08:05:00.123456+08:00","note":"q\"\\\n\u0001、<&>","empty":"q\"\\\n\u0001、<&>"}`
	if string(d.Payload) != payload || !json.Valid(d.Payload) {
		t.Errorf("payload %s\nwant    %s", d.Payload, payload)
	}
	if d.Key != "A01/7" || d.Operation != exchange.Upsert || d.Origin != "o:1" || string(d.Raw) != "raw" || !slices.Equal(d.Findings, []string{exchange.FindingFullWidth}) {
		t.Errorf("draft %+v", d)
	}
	if want := time.Date(2025, 11, 3, 0, 5, 0, 123456000, time.UTC); !d.EventTime.Equal(want) {
		t.Errorf("event time %s", d.EventTime)
	}
	if want := time.Date(2025, 11, 3, 16, 0, 0, 0, time.UTC); !d.RecordedTime.Equal(want) {
		t.Errorf("recorded time %s", d.RecordedTime)
	}

	tests := []struct {
		column      int
		text        string
		rule, field string // no rule: accepted
	}{
		{6, "NULL", "", ""},
		{6, "　 ", "", ""},
		{7, "NULL", "", ""},
		{0, "　", exchange.RuleKey, "/number"},
		{0, "A/1", exchange.RuleKey, "/number"},
		{1, "7.0", exchange.RuleSchema, "/kind"},
		{2, "1,234.5", exchange.RuleSchema, "/money"},
		{2, "NaN", exchange.RuleSchema, "/money"},
		{3, "maybe", exchange.RuleSchema, "/open"},
		{4, "2025-02-29", exchange.RuleSchema, "/born"},
		{5, "0000-00-00 00:00:00", exchange.RuleEventTime, "at"},
		{5, "NULL", exchange.RuleEventTime, "at"},
		{6, "\xff", exchange.RuleEncoding, "/note"},
		{7, "yesterday", exchange.RuleSchema, "entered"},
	}
	for _, test := range tests {
		texts := slices.Clone(good)
		texts[test.column] = test.text
		d := m.draft(row(texts...), time.Time{})
		switch {
		case test.rule == "" && d.Rejection != nil:
			t.Errorf("column %d = %q: %+v", test.column, test.text, *d.Rejection)
		case test.rule != "" && (d.Rejection == nil || d.Rejection.Rule != test.rule || d.Rejection.Field != test.field):
			t.Errorf("column %d = %q: %+v; want %s at %s", test.column, test.text, d.Rejection, test.rule, test.field)
		case test.rule != "" && (d.Payload != nil || string(d.Raw) != "raw" || test.text != "NULL" && strings.Contains(d.Rejection.Detail, test.text) && len(test.text) > 1):
			t.Errorf("column %d = %q: draft %+v, detail %q", test.column, test.text, d, d.Rejection.Detail)
		}
	}
	if d := m.draft(Row{Raw: []byte("r"), Values: make([]Value, 3)}, time.Time{}); d.Rejection == nil || d.Rejection.Rule != exchange.RuleMalformed {
		t.Errorf("a row with too few values: %+v", d.Rejection)
	}
}

func TestInstant(t *testing.T) {
	tests := []struct{ text, want string }{ // want in UTC; empty: refused
		{"2025-11-03 08:05:00.123456789", "2025-11-03T00:05:00.123456789Z"},
		{"2025-11-03T08:05:00Z", "2025-11-03T08:05:00Z"},
		{"2025-11-03 08:05:00.5+08", "2025-11-03T00:05:00.5Z"},
		{"2025-11-03 08:05:00 -0530", "2025-11-03T13:35:00Z"},
		{"2025-11-03T08:05:00+08:00", "2025-11-03T00:05:00Z"},
		{"2025/1/3 8:05", "2025-01-03T00:05:00Z"},
		{"2025.01.03", "2025-01-02T16:00:00Z"},
		{"20251103", "2025-11-02T16:00:00Z"},
		{"20251103080500", "2025-11-03T00:05:00Z"},
		{"1988-07-01 08:00:00", "1988-06-30T23:00:00Z"}, // summer time was UTC+9
		{"1900-01-01", "1899-12-31T16:00:00Z"},          // a placeholder, not local mean time
		{"2024-02-29", "2024-02-28T16:00:00Z"},
		{"2025-02-29", ""},
		{"2025-13-01", ""},
		{"0000-00-00", ""},
		{"0000-01-01", ""},
		{"2025-11-03 24:00", ""},
		{"2025-11-03 08:60", ""},
		{"2025-11/03", ""},
		{"2025-11-03 08:05:00.", ""},
		{"2025-11-03 08", ""},
		{"2025-11-03x", ""},
		{"1762128000", ""},
		{"12025-11-03", ""},
		{"2025-11-03 08:05:00+08:60", ""},
		{"2025-11-03 08:05:00+99", ""},
		{"", ""},
		{"２０２５-11-03", "2025-11-02T16:00:00Z"},
		{"infinity", ""},
	}
	for _, test := range tests {
		at, ok := parseInstant(test.text, shanghai(t))
		got := ""
		if ok {
			got = at.UTC().Format(time.RFC3339Nano)
		}
		if got != test.want {
			t.Errorf("%q = %q; want %q", test.text, got, test.want)
		}
	}
	dates := []struct{ text, want string }{
		{"1582-10-10", `"1582-10-10"`}, {"2025-11-02 16:00:00+00", `"2025-11-03"`}, {"2025-11-02 16:00:00", `"2025-11-02"`}, {"19000101", `"1900-01-01"`},
	}
	for _, test := range dates {
		if got, ok := appendDate(nil, test.text, shanghai(t)); !ok || string(got) != test.want {
			t.Errorf("date of %q = %s, %t; want %s", test.text, got, ok, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	tests := []struct {
		text, decimal, integer string // empty: refused
	}{
		{"0", "0", "0"},
		{"-0", "-0", "-0"},
		{"+12", "12", "12"},
		{"007", "7", "7"},
		{"-007.50", "-7.50", ""},
		{".5", "0.5", ""},
		{"5.", "5", ""},
		{"9007199254740993", "9007199254740993", "9007199254740993"},
		{"1.10e+05", "1.10e+05", ""},
		{"1E-7", "1E-7", ""},
		{"1e1000", "", ""},
		{"1e", "", ""},
		{".", "", ""},
		{"", "", ""},
		{"-", "", ""},
		{"1 000", "", ""},
		{"0x1F", "", ""},
		{"１", "", ""},
		{strings.Repeat("9", 101), "", ""},
	}
	for _, test := range tests {
		for decimal, want := range map[bool]string{true: test.decimal, false: test.integer} {
			got, ok := appendNumber(nil, test.text, decimal)
			if ok != (want != "") || ok && string(got) != want {
				t.Errorf("%q (decimal %t) = %q, %t; want %q", test.text, decimal, got, ok, want)
			}
		}
	}
}

// FuzzInstant writes times as the standard library does, and reads what it wrote.
func FuzzInstant(f *testing.F) {
	for _, seed := range []string{
		"2025-11-03 08:05:00.123456", "2025/1/3 8:05", "1988-07-01T08:00:00Z", "1900-01-01", "20251103080500+08", "2025-11-03 08:05:00,5 -05:30", "0000-00-00", "infinity", "0044-03-15 BC",
	} {
		f.Add(seed)
	}
	zones := []*time.Location{shanghai(f), time.UTC}
	f.Fuzz(func(t *testing.T, text string) {
		for _, zone := range zones {
			at, ok := parseInstant(text, zone)
			got, okAppend := appendInstant(nil, text, zone)
			date, okDate := appendDate(nil, text, zone)
			if ok != okAppend || ok != okDate {
				t.Fatalf("%q is a time: %t, %t, %t", text, ok, okAppend, okDate)
			}
			if !ok {
				if why := whyNoTime(text, Time); why == "" || isZeroDate(text) && why != "holds a zero date" {
					t.Fatalf("%q: %s", text, why)
				}
				continue
			}
			want := at.In(chinaStandard()).Format(time.RFC3339Nano)
			if string(got) != `"`+want+`"` || len(date) != len(`"2025-11-03"`) || isZeroDate(text) {
				t.Fatalf("%q in %s = %s, date %s; want %s", text, zone, got, date, want)
			}
			if again, ok := parseInstant(want, zone); at.Year() > 0 && at.In(chinaStandard()).Year() > 0 && at.In(chinaStandard()).Year() < 10000 && (!ok || !again.Equal(at)) {
				t.Fatalf("%q = %s, which is read as %s, %t", text, want, again, ok)
			}
		}
	})
}

// FuzzCitizenNumber: what the check accepts is one of the two forms, and is accepted again as it was written.
func FuzzCitizenNumber(f *testing.F) {
	for _, seed := range []string{"11010519491231002X", "11010519491231002x", "110105491231002", "１１０１０５４９１２３１００２", "110105194912310021", "", "x"} {
		f.Add(seed)
	}
	zone := shanghai(f)
	f.Fuzz(func(t *testing.T, text string) {
		m := mapperOf(t, Mapping{Key: []string{"v"}, Timezone: zone, Fields: []Field{{From: "v", To: "v", Type: String, HalfWidth: true, Check: CheckCitizenNumber}}})
		d := m.draft(Row{Values: []Value{{Text: text}}}, time.Now())
		if d.Rejection != nil {
			if d.Rejection.Field != "/v" || len(text) > 14 && strings.Contains(d.Rejection.Detail, text) {
				t.Fatalf("%q: %+v", text, *d.Rejection)
			}
			return
		}
		if !exchange.ValidCitizenNumber(d.Key) && !exchange.ValidOldCitizenNumber(d.Key) {
			t.Fatalf("%q became %q", text, d.Key)
		}
		if again := m.draft(Row{Values: []Value{{Text: d.Key}}}, time.Now()); again.Rejection != nil || again.Key != d.Key {
			t.Fatalf("%q became %q and then %+v", text, d.Key, again)
		}
	})
}

// FuzzDraft maps any text as every type: accepted payloads are JSON with the
// same value, and mapping a payload's own text again gives the same bytes.
func FuzzDraft(f *testing.F) {
	for _, seed := range []string{"12.50", "-007", "1e5", "2025-11-03 08:05:00.123456+08", "2025/1/3", "是", "Ａ０１", "a\x00\"\\", "\xff", "张三"} {
		f.Add(seed, seed)
	}
	zone := shanghai(f)
	types := []FieldType{String, Integer, Decimal, Boolean, Date, Time, Bytes}
	f.Fuzz(func(t *testing.T, text, other string) {
		for _, kind := range types {
			m := mapperOf(t, Mapping{
				Key: []string{"v"}, EventTime: "at", Timezone: zone,
				Fields: []Field{{From: "v", To: "v", Type: kind, HalfWidth: true}, {From: "o", To: "o", Type: String}},
			})
			d := m.draft(Row{Raw: []byte(text), Values: []Value{{Text: text}, {Text: other}, {Text: "2025-11-03"}}}, time.Time{})
			if d.Rejection != nil {
				if d.Payload != nil || d.Rejection.Rule == "" {
					t.Fatalf("%q as %s: %+v", text, kind, d)
				}
				continue
			}
			var payload map[string]json.RawMessage
			if err := json.Unmarshal(d.Payload, &payload); err != nil || !utf8.Valid(d.Payload) {
				t.Fatalf("%q as %s: payload %q: %v", text, kind, d.Payload, err)
			}
			narrow, _ := halfWidth(text)
			narrow = strings.TrimSpace(narrow)
			switch kind {
			case String:
				var back string
				if err := json.Unmarshal(payload["v"], &back); err != nil || back != narrow {
					t.Fatalf("%q became %s", text, payload["v"])
				}
			case Integer, Decimal:
				got, ok := new(big.Rat).SetString(string(payload["v"]))
				want, wok := new(big.Rat).SetString(narrow)
				if !ok || !wok || got.Cmp(want) != 0 {
					t.Fatalf("%q became %s", text, payload["v"])
				}
			case Boolean:
				if value := string(payload["v"]); value != "true" && value != "false" {
					t.Fatalf("%q became %s", text, value)
				}
			case Date, Time, Bytes:
				again, ok := m.appendValue(nil, kind, strings.Trim(string(payload["v"]), `"`))
				if !ok || string(again) != string(payload["v"]) {
					t.Fatalf("%q became %s and then %s", text, payload["v"], again)
				}
			}
		}
	})
}
