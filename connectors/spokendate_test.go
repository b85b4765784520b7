package connectors

import (
	"fmt"
	"testing"
	"time"
)

// TestCase11DatesAsTheyAreWritten has the ways in which dates are written; none stands for those that are refused.
func TestCase11DatesAsTheyAreWritten(t *testing.T) {
	const none, day, morning, evening = "", "2024-01-03T00:00:00+08:00", "2024-01-03T08:05:00+08:00", "2024-01-03T20:05:00+08:00"
	for _, test := range []struct{ text, format, want string }{
		{"2024-01-03", "", day},
		{"2024-1-3", "", day},
		{"2024/1/3", "", day},
		{"2024.1.3", "", day},
		{"2024.01.03", "", day},
		{"20240103", "", day},
		{"20240103080500", "", morning},
		{"2024/1/3 8:05", "", morning},
		{"2024-01-03 08:05:00", "", morning},
		{"2024-01-03T00:05:00Z", "", morning},
		{"2024-01-03T08:05:00+08:00", "", morning},
		{"2024年1月3日", "", day},
		{"2024年01月03日", "", day},
		{"２０２４年１月３日", "", day},
		{"２０２４－０１－０３", "", day},
		{"２０２４／１／３　８：０５", "", morning},
		{"２０２４０１０３", "", day},
		{"二〇二四年一月三日", "", day},
		{"二○二四年一月三日", "", day},
		{"二零二四年一月三日", "", day},
		{"二〇二四年十二月三十一日", "", "2024-12-31T00:00:00+08:00"},
		{"二〇二四年十月十日", "", "2024-10-10T00:00:00+08:00"},
		{"二〇二四年十一月二十日", "", "2024-11-20T00:00:00+08:00"},
		{"2024年1月3日 8:05", "", morning},
		{"2024年1月3日8时5分", "", morning},
		{"2024年1月3日8时05分00秒", "", morning},
		{"2024年1月3日8点5分", "", morning},
		{"2024年1月3日 08:05:06", "", "2024-01-03T08:05:06+08:00"},
		{"2024年1月3日8时5分6秒", "", "2024-01-03T08:05:06+08:00"},
		{"2024年1月3日8时", "", "2024-01-03T08:00:00+08:00"},
		{"2024年1月3日 上午8:05", "", morning},
		{"2024年1月3日 下午8:05", "", evening},
		{"2024/1/3 下午 8:05:00", "", evening},
		{"2024年1月3日下午8时5分", "", evening},
		{"2024/1/3 上午 12:05", "", "2024-01-03T00:05:00+08:00"},
		{"2024/1/3 下午 12:05", "", "2024-01-03T12:05:00+08:00"},
		{"2024/1/3 8:05 PM", "", evening},
		{"2024/1/3 8:05 AM", "", morning},
		{"2024年1月3日 星期三", "", day},
		{"2024年1月3日星期三 8:05", "", morning},
		{"2024年1月3日（周三）", "", day},
		{"2024年1月3号", "", day},
		{"2024年2月29日", "", "2024-02-29T00:00:00+08:00"},
		{"2024年1月3日", "2006年1月2日", day},
		{"２０２４年１月３日", "2006年1月2日", day},
		{"1/3/2024", "1/2/2006", day},
		{"03.01.2024 20:05", "02.01.2006 15:04", evening},
		{"2024-01-03 00:05 +0000", "2006-01-02 15:04 -0700", morning},
		{"45294", "excel", day},
		{"45294.5", "excel", "2024-01-03T12:00:00+08:00"},
		{"1704240300", "unix", morning},
		{"1704240300000", "unix-ms", morning},
		{"1/3/2024", "", none},
		{"45294", "", none},
		{"1704240300", "", none},
		{"24-1-3", "", none},
		{"2024年", "", none},
		{"2024年1月", "", none},
		{"1月3日", "", none},
		{"民国113年1月3日", "", none},
		{"民國一一三年一月三日", "", none},
		{"113年1月3日", "", none},
		{"2024年13月3日", "", none},
		{"2024年2月30日", "", none},
		{"2023年2月29日", "", none},
		{"二〇二四年一月三十二日", "", none},
		{"2024年1月3日25时", "", none},
		{"2024年1月3日8时61分", "", none},
		{"2024年1月3日 下午13:05", "", none},
		{"2024年1月3日 下午", "", none},
		{"2024-01-03 8:05 月", "", none},
		{"2024年1月3日8时5分6秒7", "", none},
		{"昨天", "", none},
		{"十", "", none},
		{"", "", none},
		{"二〇二四", "", none},
		{"2024-01-03", "2006年1月2日", none},
		{"13/3/2024", "1/2/2006", none},
		{"60", "excel", none},
		{"-1", "excel", none},
		{"1e9", "unix", none},
		{"2958466", "excel", none},
	} {
		quoted := ""
		if test.format != "" {
			quoted = fmt.Sprintf(", format: %q", test.format)
		}
		m := parsedMapping(t, ".", "key: [k]\nevent_time: {from: at"+quoted+"}\nfields:\n  - {from: k, to: k}\n  - {from: at, to: at, type: time"+quoted+"}")
		d := mapperOf(t, m).draft(rowOf(m, map[string]string{"k": "7", "at": test.text}), time.Time{})
		got, payload := "", `{"k":"7","at":"`+test.want+`"}`
		if d.Rejection == nil {
			got = d.EventTime.In(chinaStandard()).Format(time.RFC3339)
		}
		if got != test.want || got != "" && string(d.Payload) != payload {
			t.Errorf("%q as %q: %s, %s, %v; want %q", test.text, test.format, got, d.Payload, d.Rejection, test.want)
		}
	}
}

// TestCase11TheTimeOfAnEventMayBeComputed takes the time from two columns.
func TestCase11TheTimeOfAnEventMayBeComputed(t *testing.T) {
	m := parsedMapping(t, ".", "key: [k]\nevent_time: {value: 'row.d + \" \" + row.c'}\nfields:\n  - {from: k, to: k}")
	d := mapperOf(t, m).draft(rowOf(m, map[string]string{"k": "7", "d": "2024年1月3日", "c": "8:05"}), time.Time{})
	if d.Rejection != nil || d.EventTime.UTC().Format(time.RFC3339) != "2024-01-03T00:05:00Z" {
		t.Errorf("%s, %+v", d.EventTime, d.Rejection)
	}
}
