package connectors

import (
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

// TestTimesAsPeopleWriteThem reads every form without a format; "" is a refusal.
func TestTimesAsPeopleWriteThem(t *testing.T) {
	const day = "2024-01-03T00:00:00+08:00"
	for text, want := range map[string]string{
		"2024-01-03": day, "2024/1/3": day, "2024.1.3": day, "20240103": day, "2024年1月3日": day, "2024年01月03日": day,
		"2024 年 1 月 3 日": day, "2024年1月3号": day, "２０２４－０１－０３": day, "２０２４年１月３日": day, "２０２４／１／３": day, "２０２４．１．３": day, "２０２４０１０３": day,
		"二〇二四年一月三日": day, "二零二四年一月三日": day, "二○二四年一月三日": day, "二〇二四年〇一月〇三日": day,
		"二〇二四年十二月三十一日": "2024-12-31T00:00:00+08:00", "二〇二四年十月二十日": "2024-10-20T00:00:00+08:00", "一九九九年十一月十一日": "1999-11-11T00:00:00+08:00",
		"2024/1/3 8:05": "2024-01-03T08:05:00+08:00", "20240103080500": "2024-01-03T08:05:00+08:00", "2024-01-03T08:05:00Z": "2024-01-03T16:05:00+08:00",
		"2024年1月3日 8:05": "2024-01-03T08:05:00+08:00", "2024年1月3日8时5分": "2024-01-03T08:05:00+08:00", "2024年1月3日 08时05分30秒": "2024-01-03T08:05:30+08:00",
		"2024年1月3日8点": "2024-01-03T08:00:00+08:00", "2024年1月3日 8点5分": "2024-01-03T08:05:00+08:00", "2024年1月3日 8:05:06.5": "2024-01-03T08:05:06.5+08:00",
		"2024-1-3 上午8:05": "2024-01-03T08:05:00+08:00", "2024-1-3 下午 8:05:09": "2024-01-03T20:05:09+08:00", "2024年1月3日 下午3时5分": "2024-01-03T15:05:00+08:00",
		"2024/1/3 上午12:00:00": "2024-01-03T00:00:00+08:00", "2024/1/3 下午12:30": "2024-01-03T12:30:00+08:00",
		"二〇二四年一月三日下午三时零五分": "", "二〇二四年一月三日下午三时五分": "2024-01-03T15:05:00+08:00", "２０２４－０１－０３　０８：０５": "2024-01-03T08:05:00+08:00",
		// What has more than one reading, or lacks a part, is refused.
		"": "", "1/3/2024": "", "03.01.2024": "", "24-1-3": "", "24年1月3日": "", "2024年1月": "", "2024年": "", "1月3日": "", "民国113年1月3日": "", "二四年一月三日": "",
		"2024年13月3日": "", "2024年2月30日": "", "2024年1月3日 25时": "", "2024年1月3日 8时61分": "", "2024年1月3日 上午": "", "2024-1-3 上午13:05": "", "2024-1-3 下午0:05": "",
		"2024年1月3日8时5": "", "2024年1月3日x": "", "2024年三十月三日": "", "2024年十十月三日": "", "45294": "", "1704211200": "", "2024-1-3 下午": "", "二千零二十四年一月三日": "", "明天": "",
	} {
		at, ok := parseInstant(text, nil, shanghai(t))
		got := ""
		if ok {
			got = at.In(shanghai(t)).Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q = %q, want %q", text, got, want)
		}
	}
}

func TestTimesInAStatedFormat(t *testing.T) {
	for _, tt := range []struct{ format, text, want string }{
		{"M/d/yyyy", "1/3/2024", "2024-01-03T00:00:00+08:00"},
		{"d/M/yyyy", "1/3/2024", "2024-03-01T00:00:00+08:00"},
		{"dd.MM.yyyy HH:mm", "03.01.2024 08:05", "2024-01-03T08:05:00+08:00"},
		{"dd.MM.yyyy HH:mm", "3.1.2024 08:05", ""},
		{"yyyyMMddHHmm", "202401030805", "2024-01-03T08:05:00+08:00"},
		{"yyyy年M月d日", "２０２４年１月３日", "2024-01-03T00:00:00+08:00"},
		{"yyyy/M/d ah:mm", "2024/1/3 下午3:05", "2024-01-03T15:05:00+08:00"},
		{"M/d/yyyy h:mm:ss a", "1/3/2024 12:05:09 am", "2024-01-03T00:05:09+08:00"},
		{"M/d/yyyy h:mm:ss a", "1/3/2024 13:05:09 PM", ""},
		{"yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-01-03T08:05:09.120", "2024-01-03T08:05:09.12+08:00"},
		{"yyyy-MM-dd 'o''clock'", "2024-01-03 o", ""},
		{"yyyy-MM-dd", "2024-02-30", ""},
		{"yyyy-MM-dd", "2024-01-03 ", "2024-01-03T00:00:00+08:00"},
		{"yyyy-MM-dd", "2024-01-03 08:05", ""},
		{"unix", "1704240309", "2024-01-03T08:05:09+08:00"},
		{"unix", "1704240309000", ""},
		{"unix-ms", "1704240309120", "2024-01-03T08:05:09.12+08:00"},
		{"unix", "-1", "1970-01-01T07:59:59+08:00"},
		{"unix", "1.5", ""},
		{"excel", "45294", "2024-01-03T00:00:00+08:00"},
		{"excel", "45294.336921296", "2024-01-03T08:05:10+08:00"},
		{"excel", "0", ""},
		{"excel", "2024-01-03", ""},
	} {
		format, err := ParseTimeFormat(tt.format)
		if err != nil {
			t.Errorf("%s: %v", tt.format, err)
			continue
		}
		at, ok := parseInstant(tt.text, format, shanghai(t))
		got := ""
		if ok {
			got = at.In(shanghai(t)).Format(time.RFC3339Nano)
		}
		if got != tt.want {
			t.Errorf("%q as %s = %q, want %q", tt.text, tt.format, got, tt.want)
		}
	}
}

func TestUselessFormatIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "yyyy-MM", "yy-MM-dd", "yyyy-MM-dd hh:mm", "yyyy-MM-dd H:mm a", "yyyy-MM-dd mm", "yyyy-MM-dd HH:ss", "yyyy-MM-dd MM", "YYYY-MM-DD", "2006-01-02",
		"yyyy-MM-dd 'x", "yyyy-MM-dd HHH", "yyyy-MM-dd HH:mm.SSS", "yyyy-MM-dd" + strings.Repeat(" ", maxFormatBytes),
	} {
		if _, err := ParseTimeFormat(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// FuzzTimeFormat reads any text by any format: what is accepted is a time that exists.
func FuzzTimeFormat(f *testing.F) {
	f.Add("yyyy年M月d日 ah:mm", "2024年1月3日 下午3:05")
	f.Add("excel", "45294.5")
	f.Add("dd/MM/yyyy 'um' HH", "03/01/2024 um 08")
	f.Fuzz(func(t *testing.T, format, text string) {
		compiled, err := ParseTimeFormat(format)
		if err != nil {
			return
		}
		if at, ok := parseInstant(text, compiled, time.UTC); ok && (at.Year() < 1 || at.Year() > 9999) {
			t.Fatalf("%q as %q is %s", text, format, at)
		}
	})
}

// mapOne maps the columns id, v, ev of one row by a mapping whose event_time is given.
func mapOne(t *testing.T, eventTime, ev string) exchange.Draft {
	t.Helper()
	defs, err := ParseDefinitions([]byte(`sources:
  - name: dep/ck
    resource: dep.ck
    kind: files
    files: {dir: in, pattern: "*.csv"}
    map:
      key: [id]
      event_time: `+eventTime+`
      fields:
        - {from: id, to: id}
        - {from: ev, to: at, type: time}
`), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMapper(defs[0].Map)
	if err != nil {
		t.Fatal(err)
	}
	return m.draft(Row{Values: []Value{{Text: "1"}, {Text: ev}}, Raw: []byte("1"), Origin: "r-1.csv:2"}, time.Now())
}

func TestCase11EventTimeInChinese(t *testing.T) {
	want := time.Date(2024, 1, 3, 0, 0, 0, 0, shanghai(t))
	for _, tt := range [][2]string{
		{"ev", "2024年1月3日"},
		{"ev", "２０２４－０１－０３"},
		{"{from: ev, format: yyyy年M月d日}", "2024年1月3日"},
		{"{from: ev}", " 二〇二四年一月三日 "},
		{`{value: "row.ev.replace('星期三', '')"}`, "2024年1月3日"},
	} {
		d := mapOne(t, tt[0], tt[1])
		if d.Rejection != nil || !d.EventTime.Equal(want) || string(d.Payload) != `{"id":"1","at":"2024-01-03T00:00:00+08:00"}` {
			t.Errorf("%s of %q: %s %s %+v", tt[0], tt[1], d.EventTime, d.Payload, d.Rejection)
		}
	}
	for _, tt := range [][3]string{
		{"ev", "民国113年1月3日", "民国"},
		{"{from: ev, format: dd/MM/yyyy}", "2024-01-03", `"dd/MM/yyyy"`},
		{`{value: "row.ev"}`, "soon", "the expression, the time of the event, does not hold a time"},
	} {
		d := mapOne(t, tt[0], tt[1])
		if d.Rejection == nil || d.Rejection.Rule != exchange.RuleEventTime || !strings.Contains(d.Rejection.Detail, tt[2]) || strings.Contains(d.Rejection.Detail, tt[1]) {
			t.Errorf("%s of %q: %+v", tt[0], tt[1], d.Rejection)
		}
	}
}

func TestMomentOfADefinitionMustBeOne(t *testing.T) {
	schema := compiledSchema(t)
	for eventTime, want := range map[string]string{
		"{format: yyyy-MM-dd}":            "give a column as from",
		"{from: ev, value: row.ev}":       "give a column as from",
		"{from: ev, format: YYYY}":        "means nothing",
		"{from: ev, colour: red}":         "is unknown",
		"[ev]":                            "must be text",
		"{value: \"row\"}":                "CEL",
		"{from: ev, format: yyyy-MM-dd }": "",
	} {
		text := "sources:\n  - name: a/b\n    resource: a.b\n    kind: files\n    files: {dir: x, pattern: y}\n    map:\n      key: [id]\n      event_time: " + eventTime + "\n      fields: [{from: id, to: id}]\n"
		_, err := ParseDefinitions([]byte(text), "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) && want != "CEL" {
			t.Errorf("%s: %v", eventTime, err)
		}
		if want == "" {
			if err := validate(t, schema, []byte(text)); err != nil {
				t.Errorf("%s: the schema: %v", eventTime, err)
			}
		}
	}
}
